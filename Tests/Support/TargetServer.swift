import Foundation

/// A server for the far end of a tunnel: each connection is served on a thread of its own.
///
/// What a handler throws is kept in `failures`, because there is nobody to throw it to.
package final class TargetServer: Sendable {
    package let endpoint: Endpoint
    private let listening: Socket
    private let shared = Locked(State())

    private struct State: Sendable {
        var accepted = 0
        var failures: [String] = []
        var open: [Int: Socket] = [:]
    }

    package init(
        on endpoint: Endpoint = .anyPort, limit: Duration = .seconds(30),
        serve: @escaping @Sendable (Socket) throws -> Void
    ) throws {
        listening = try Socket.listening(on: endpoint, backlog: 1024)
        let descriptor = listening.descriptor
        self.endpoint =
            endpoint.domain == "unix" ? endpoint : try Endpoint(boundTo: descriptor, domain: "tcp")
        let shared = shared
        Thread.detachNewThread {
            while true {
                let accepted = accept(descriptor, nil, nil)
                if accepted < 0 {
                    if errno == ECONNABORTED || errno == EINTR { continue }
                    return
                }
                let socket = Socket(owning: accepted, limit: limit)
                let number = shared.with { state in
                    state.accepted += 1
                    state.open[state.accepted] = socket
                    return state.accepted
                }
                Thread.detachNewThread {
                    defer {
                        shared.with { _ = $0.open.removeValue(forKey: number) }
                        socket.close()
                    }
                    do { try serve(socket) } catch {
                        shared.with { $0.failures.append("connection \(number): \(error)") }
                    }
                }
            }
        }
    }

    /// `shutdown` wakes `accept`; the connections still open are cut, so that no handler outlives its test.
    deinit {
        listening.abandon()
        for socket in shared.get().open.values { socket.abandon() }
        if endpoint.domain == "unix" { unlink(endpoint.address) }
    }

    package var accepted: Int { shared.get().accepted }
    package var open: Int { shared.get().open.count }
    package var failures: [String] { shared.get().failures }

    // MARK: The usual ones

    /// Gives back what it gets, and ends when the client has ended.
    package static func echo(on endpoint: Endpoint = .anyPort, limit: Duration = .seconds(30)) throws
        -> TargetServer
    {
        try TargetServer(on: endpoint, limit: limit) { socket in
            while true {
                let bytes = try socket.receive()
                if bytes.isEmpty { return }
                try socket.send(bytes)
            }
        }
    }

    /// Sends `count` bytes of `content` to each that connects, then waits for its end.
    package static func source(_ content: Content, count: Int, limit: Duration = .seconds(60)) throws
        -> TargetServer
    {
        try TargetServer(limit: limit) { socket in
            try socket.send(content, 0..<count)
            try socket.shutdownWriting()
            _ = try socket.receiveToEnd()
        }
    }

    /// Sends `content` until the connection breaks.
    package static func endlessSource(_ content: Content) throws -> TargetServer {
        try TargetServer(limit: .seconds(120)) { socket in
            // Whatever breaks it is what the test is about, and the test sees it at the other end.
            try? socket.send(content, 0..<Int.max)
        }
    }
}

extension Socket {
    package static func listening(on endpoint: Endpoint, backlog: Int32) throws -> Socket {
        try endpoint.withSocketAddress { family, address, length in
            let socket = Socket(owning: try open(family))
            socket.setLimit(.zero)
            socket.set(SOL_SOCKET, SO_REUSEADDR, Int32(1))
            guard bind(socket.descriptor, address, length) == 0 else { throw SocketError("bind") }
            guard listen(socket.descriptor, backlog) == 0 else { throw SocketError("listen") }
            return socket
        }
    }
}

/// Ports for programs that cannot take port 0, and where nobody is to listen. Below those that Linux gives to whoever asks for any
/// (ip_local_port_range begins at 32,768, unless the machine is set otherwise), and each handed out once: a listener on port 0 that
/// got a "closed" port would forward to itself.
package func freePort() throws -> Int {
    for _ in 0..<Ports.range.count {
        let port = Ports.next()
        do {
            _ = try Socket.listening(on: Endpoint.tcp("127.0.0.1:\(port)"), backlog: 1)
            return port
        } catch SocketError.other(_, errno: EADDRINUSE) {
            // Somebody else's program has it.
            continue
        }
    }
    throw Failure("no port of \(Ports.range) is free")
}

private enum Ports {
    static let range = 20_000..<32_768
    private static let last = Locked(Int.random(in: range))

    static func next() -> Int {
        last.with { last in
            last = last + 1 < range.upperBound ? last + 1 : range.lowerBound
            return last
        }
    }
}

/// A target that answers no SYN: its queue of one unaccepted connection is full, and Linux drops what comes after.
package final class Blackhole: Sendable {
    package let endpoint: Endpoint
    private let listening: Socket
    private let fillers: [Socket]

    package init(on place: Endpoint = .anyPort) throws {
        listening = try Socket.listening(on: place, backlog: 0)
        endpoint = try Endpoint(boundTo: listening.descriptor, domain: "tcp")
        var fillers: [Socket] = []
        while true {
            do {
                fillers.append(try Socket.connect(to: endpoint, limit: .milliseconds(300)))
            } catch SocketError.timedOut {
                break
            }
            guard fillers.count < 16 else { throw Failure("the blackhole answers: \(endpoint)") }
        }
        self.fillers = fillers
    }

    /// Becomes a target after all: takes what filled the queue, then waits for whoever knocks again (its SYN is sent
    /// again after 1, 3 and 7 seconds) and returns that connection.
    package func open() throws -> Socket {
        for number in 0...fillers.count {
            let accepted = accept(listening.descriptor, nil, nil)
            guard accepted >= 0 else { throw SocketError("accept") }
            let socket = Socket(owning: accepted)
            if number == fillers.count { return socket }
        }
        throw Failure("nobody knocked")
    }
}

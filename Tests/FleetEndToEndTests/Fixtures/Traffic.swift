import Foundation
import Support

/// A transfer that goes on until it is told to finish: bytes of a seed to an echo and back, each compared.
final class EndlessTransfer: Sendable {
    private let isFinishing = Locked(false)
    private let checked = Locked(0)
    private let worker: Worker<Int>

    init(through entrance: Endpoint, seed: UInt64) throws {
        let socket = try Socket.connect(to: entrance)
        let (isFinishing, checked) = (isFinishing, checked)
        worker = Worker {
            let content = Content(seed: seed)
            var count = 0
            while !isFinishing.get() {
                let piece = 1 + (count &* 7) % 60_000
                try socket.send(content, count..<count + piece)
                try socket.receive(content, count..<count + piece)
                count += piece
                checked.set(count)
            }
            try socket.shutdownWriting()
            try socket.receiveToEnd(content, count..<count)
            return count
        }
    }

    var count: Int { checked.get() }

    /// Waits until `more` bytes have made the round from now on: it is alive.
    func requireProgress(_ more: Int = 50_000) throws {
        let start = count
        _ = try eventually("the transfer moves on from \(start)", within: .seconds(20)) {
            try worker.check()
            return count >= start + more ? true : nil
        }
    }

    /// Ends in order; throws what had broken it.
    @discardableResult
    func finish() throws -> Int {
        isFinishing.set(true)
        return try worker.value(within: .seconds(30))
    }
}

/// A target that says its name to whoever connects, then gives back what it gets.
func namedTarget(_ name: String) throws -> TargetServer {
    try TargetServer(limit: .seconds(120)) { socket in
        try socket.send(Array("\(name)\n".utf8))
        while true {
            // However it ends, the test sees it at the other end.
            guard let bytes = try? socket.receive(), !bytes.isEmpty else { return }
            try? socket.send(bytes)
        }
    }
}

extension Socket {
    /// The name of the target behind, which speaks first.
    static func named(_ name: String, at entrance: Endpoint) throws -> Socket {
        let socket = try Socket.connect(to: entrance)
        let said = String(decoding: try socket.receive(exactly: name.utf8.count + 1), as: UTF8.self)
        guard said == "\(name)\n" else { throw Failure("behind \(entrance) is \(said), not \(name)") }
        return socket
    }

    func requireAlive(_ text: String = "still there?") throws {
        try send(text)
        guard try receive(exactly: text.utf8.count) == Array(text.utf8) else {
            throw Failure("another echo")
        }
    }

    /// How the connection ended, once it has; a byte before that is a failure.
    func requireEnd(within limit: Duration = .seconds(5)) throws {
        setLimit(limit)
        do {
            let bytes = try receive(upTo: 1)
            guard bytes.isEmpty else { throw Failure("a byte instead of the end") }
        } catch SocketError.reset {
            return
        }
    }
}

/// Whether nobody listens there.
func isClosed(_ endpoint: Endpoint) -> Bool {
    do {
        _ = try Socket.connect(to: endpoint)
        return false
    } catch {
        return error as? SocketError == .refused
    }
}

/// `GOPROXY_SEED` replays a run.
func newSeed(_ test: String) -> UInt64 {
    let seed =
        ProcessInfo.processInfo.environment["GOPROXY_SEED"].flatMap { UInt64($0) }
        ?? UInt64.random(in: 0..<1_000_000_000)
    print("\(test): GOPROXY_SEED=\(seed)")
    return seed
}

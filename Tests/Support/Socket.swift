import Foundation
import Synchronization

/// How a connection ended, or could not be made, as the program at its end sees it.
package enum SocketError: Error, Equatable, CustomStringConvertible {
    case reset, refused, timedOut, brokenPipe
    case ended(after: Int, of: Int)
    case other(call: String, errno: Int32)

    init(_ call: String, _ code: Int32 = errno) {
        switch code {
        case ECONNRESET: self = .reset
        case ECONNREFUSED: self = .refused
        case EAGAIN, ETIMEDOUT, EINPROGRESS: self = .timedOut
        case EPIPE: self = .brokenPipe
        default: self = .other(call: call, errno: code)
        }
    }

    package var description: String {
        switch self {
        case .reset: "connection reset (ECONNRESET)"
        case .refused: "connection refused (ECONNREFUSED)"
        case .timedOut: "nothing happened within the socket's time limit"
        case .brokenPipe: "wrote to a closed connection (EPIPE)"
        case .ended(let after, let count): "ended after \(after) of \(count) bytes"
        case .other(let call, let code): "\(call): \(String(cString: strerror(code)))"
        }
    }
}

/// A blocking stream socket. Each single call has `limit`; then it throws `timedOut`. Closes with its owner.
package final class Socket: Sendable {
    private let held: Atomic<Int32>

    package init(owning descriptor: Int32, limit: Duration = .seconds(30)) {
        held = Atomic(descriptor)
        setLimit(limit)
        set(IPPROTO_TCP, TCP_NODELAY, Int32(1))
    }

    deinit { close() }

    /// `receiveBuffer`: a small one makes a reader that stops reading felt soon at the sender.
    package static func connect(
        to endpoint: Endpoint, from source: Endpoint? = nil, receiveBuffer: Int32? = nil,
        limit: Duration = .seconds(30)
    ) throws -> Socket {
        try endpoint.withSocketAddress { family, address, length in
            let socket = Socket(owning: try open(family), limit: limit)
            if let receiveBuffer { socket.set(SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
            try source?.withSocketAddress { _, address, length in
                guard bind(socket.descriptor, address, length) == 0 else { throw SocketError("bind") }
            }
            while Glibc.connect(socket.descriptor, address, length) != 0 {
                guard errno == EINTR else { throw SocketError("connect") }
            }
            return socket
        }
    }

    package var descriptor: Int32 { held.load(ordering: .acquiring) }

    package func setLimit(_ limit: Duration) {
        let (seconds, attoseconds) = limit.components
        let time = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        set(SOL_SOCKET, SO_RCVTIMEO, time)
        set(SOL_SOCKET, SO_SNDTIMEO, time)
    }

    func set<Value>(_ level: Int, _ name: Int32, _ value: Value) { set(Int32(level), name, value) }

    func set<Value>(_ level: Int32, _ name: Int32, _ value: Value) {
        withUnsafeBytes(of: value) {
            _ = setsockopt(descriptor, level, name, $0.baseAddress, socklen_t($0.count))
        }
    }

    // MARK: Bytes

    package func send(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno != EINTR {
                throw SocketError("send")
            }
        }
    }

    package func send(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try send($0) }
    }

    package func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// 0 is the end of the stream.
    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            guard errno == EINTR else { throw SocketError("recv") }
        }
    }

    /// What there is, at most `count`; empty is the end of the stream.
    package func receive(upTo count: Int = 65_536) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = try receive(into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    package func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receive(upTo: count - bytes.count)
            guard !more.isEmpty else { throw SocketError.ended(after: bytes.count, of: count) }
            bytes += more
        }
        return bytes
    }

    package func receiveToEnd() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    // MARK: Ends

    package func shutdownWriting() throws {
        guard shutdown(descriptor, Int32(SHUT_WR)) == 0 else { throw SocketError("shutdown") }
    }

    /// Wakes a thread that is blocked in a call on this socket; `close` would not.
    package func abandon() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Closes with an RST instead of a FIN.
    package func reset() {
        set(SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        close()
    }

    package func close() {
        let descriptor = held.exchange(-1, ordering: .acquiringAndReleasing)
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    static func open(_ family: Int32) throws -> Int32 {
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SocketError("socket") }
        return descriptor
    }
}

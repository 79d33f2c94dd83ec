import Glibc
import Reactor

/// One end of a connection, simulated or real, that takes down what it receives unless told not to read.
package final class Recorder: TransportHandler {
    package let transport: any StreamTransport
    package private(set) var received: [UInt8] = []
    package private(set) var hasHeardEnd = false
    package private(set) var failure: SystemError?
    package private(set) var isClosed = false
    /// It can be written to: the connection stands.
    package private(set) var isConnected = false
    package var isReading = true {
        didSet { act() }
    }
    /// The most that one read takes.
    package var readBytes = 64 << 10
    private var toSend: [UInt8] = []
    private var endsAfterSending = false
    private var hasEnded = false

    package init(_ transport: any StreamTransport) {
        self.transport = transport
        isConnected = transport.isWritable
        transport.handler = self
    }

    /// It has heard the end, or the connection failed.
    package var isOver: Bool { hasHeardEnd || failure != nil }
    package var text: String { String(decoding: received, as: UTF8.self) }
    package var unsentBytes: Int { toSend.count }

    package func send(_ bytes: [UInt8]) {
        toSend += bytes
        act()
    }

    package func send(_ text: String) { send(Array(text.utf8)) }

    /// Ends its sending half when everything is sent.
    package func end() {
        endsAfterSending = true
        act()
    }

    package func close() {
        isClosed = true
        transport.close()
    }

    package func reset() {
        isClosed = true
        transport.reset()
    }

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        if failed {
            read()
            failure = failure ?? transport.takeError() ?? SystemError(EIO)
            return close()
        }
        act()
    }

    private func act() {
        write()
        read()
    }

    private func read() {
        while !isClosed, isReading, !hasHeardEnd, transport.isReadable {
            var buffer = [UInt8](repeating: 0, count: readBytes)
            let result = buffer.withUnsafeMutableBytes { transport.read(into: $0) }
            switch result {
            case .bytes(let count): received += buffer[..<count]
            case .wouldBlock: continue
            case .end: hasHeardEnd = true
            case .failed(let error): failure = error
            }
        }
    }

    private func write() {
        while !isClosed, transport.isWritable {
            isConnected = true
            guard !toSend.isEmpty else { break }
            switch toSend.withUnsafeMutableBytes({ transport.write($0) }) {
            case .bytes(let count): toSend.removeFirst(count)
            case .wouldBlock, .end: continue
            case .failed(let error):
                failure = error
                return close()
            }
        }
        if endsAfterSending, toSend.isEmpty, !hasEnded, isConnected, !isClosed {
            hasEnded = true
            transport.shutdownWrite()
        }
    }
}

extension StreamTransport {
    /// Reads into one piece of memory.
    package func read(into memory: UnsafeMutableRawBufferPointer) -> IOResult {
        var vector = iovec(iov_base: memory.baseAddress, iov_len: memory.count)
        return withUnsafeMutablePointer(to: &vector) {
            read(into: UnsafeMutableBufferPointer(start: $0, count: 1))
        }
    }

    /// Writes from one piece of memory.
    package func write(_ memory: UnsafeMutableRawBufferPointer) -> IOResult {
        var vector = iovec(iov_base: memory.baseAddress, iov_len: memory.count)
        return withUnsafeMutablePointer(to: &vector) {
            write(UnsafeMutableBufferPointer(start: $0, count: 1))
        }
    }
}

/// Listens, in a simulated world or a real one, and keeps what it accepts.
package final class RecordingListener: AcceptHandler {
    package private(set) var accepted: [Recorder] = []
    package private(set) var clients: [SocketAddress] = []
    package private(set) var pauses: [SystemError] = []
    package var onAccept: ((Recorder) -> Void)?
    package private(set) var socket: (any ListeningTransport)?

    package init(at address: SocketAddress, onlyIPv6: Bool = false, in network: any Network)
        throws(SystemError)
    {
        socket = try network.listen(on: address, onlyIPv6: onlyIPv6, handler: self).get()
    }

    /// As bound.
    package var address: SocketAddress { socket?.boundAddress ?? SocketAddress(unix: "") }

    package func close() {
        socket?.close()
        socket = nil
    }

    package func accepted(_ transport: any StreamTransport, from client: SocketAddress) {
        accepted.append(Recorder(transport))
        clients.append(client)
        onAccept?(accepted[accepted.count - 1])
    }

    package func acceptPaused(_ error: SystemError, turnedAway: Int) {
        pauses.append(error)
    }
}

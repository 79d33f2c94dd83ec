import Glibc
import Reactor

/// One end of a simulated connection that takes down what it receives, unless told not to read.
package final class Recorder: TransportHandler {
    package let socket: SimulatedSocket
    package private(set) var received: [UInt8] = []
    package private(set) var hasHeardEnd = false
    package private(set) var failure: SystemError?
    package var isReading = true {
        didSet { act() }
    }
    private var toSend: [UInt8] = []
    private var endsAfterSending = false

    package init(_ socket: SimulatedSocket) {
        self.socket = socket
        socket.handler = self
    }

    package var isOver: Bool { hasHeardEnd || failure != nil }
    package var text: String { String(decoding: received, as: UTF8.self) }

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

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        if failed {
            failure = failure ?? socket.takeError()
            return socket.close()
        }
        act()
    }

    private func act() {
        while !socket.isClosed, socket.isWritable, !toSend.isEmpty {
            let result = toSend.withUnsafeMutableBytes { bytes in
                var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &vector) {
                    socket.write(UnsafeMutableBufferPointer(start: $0, count: 1))
                }
            }
            guard case .bytes(let count) = result else { break }
            toSend.removeFirst(count)
        }
        if endsAfterSending, toSend.isEmpty { socket.shutdownWrite() }
        while !socket.isClosed, isReading, !hasHeardEnd, socket.isReadable {
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            let result = buffer.withUnsafeMutableBytes { bytes in
                var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &vector) {
                    socket.read(into: UnsafeMutableBufferPointer(start: $0, count: 1))
                }
            }
            switch result {
            case .bytes(let count): received += buffer[..<count]
            case .wouldBlock: return
            case .end: hasHeardEnd = true
            case .failed(let error): failure = error
            }
        }
    }
}

/// Listens in a simulated world and keeps what it accepts.
package final class RecordingListener: AcceptHandler {
    package private(set) var accepted: [Recorder] = []
    package private(set) var clients: [SocketAddress] = []
    package private(set) var socket: (any ListeningTransport)?

    package init(at address: SocketAddress, in world: SimulatedWorld) throws(SystemError) {
        socket = try world.listen(on: address, onlyIPv6: false, handler: self).get()
    }

    package func accepted(_ transport: any StreamTransport, from client: SocketAddress) {
        guard let socket = transport as? SimulatedSocket else { return }
        accepted.append(Recorder(socket))
        clients.append(client)
    }

    package func acceptPaused(_ error: SystemError) {}
}

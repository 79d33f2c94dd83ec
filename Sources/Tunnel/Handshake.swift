import Buffers
import Glibc
import Mux
import Reactor
import TLS

/// Why a connection did not become a link. The text is for the operator of this end; the other end learns nothing from it.
package struct HandshakeFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Cause: Sendable {
        /// It names a credential that there is, and does not have it.
        case wrongCredential
        case unknownCredential
        case other
    }

    package let description: String
    package let cause: Cause

    package init(_ description: String, _ cause: Cause = .other) {
        self.description = description
        self.cause = cause
    }

    init(_ failure: TLSFailure) {
        let cause: Cause =
            switch failure.kind {
            case .wrongCredential: .wrongCredential
            case .unknownCredential: .unknownCredential
            default: .other
            }
        self.init(failure.description, cause)
    }
}

/// What a finished handshake hands over. The connection's next records may already lie in the engine, fed but not read:
/// a link starts reading at once, before the call returns.
package struct SecuredConnection {
    package let transport: any StreamTransport
    package let records: TLSEngine
    package let hello: Hello
    /// The identity that the dialler was accepted with (accepter's side).
    package let identity: [UInt8]?
}

/// Drives one connection from its first byte to an authenticated link: TLS, then HELLO both ways. Both ends run this; the
/// dialler speaks first.
package final class Handshake: TransportHandler {
    package typealias Completion = (Result<SecuredConnection, HandshakeFailure>) -> Void
    /// Says whether the other end's verified HELLO is acceptable: nil, or why not.
    package typealias Judge = (_ hello: Hello, _ identity: [UInt8]?) -> String?

    private let loop: EventLoop
    private let transport: any StreamTransport
    private let engine: TLSEngine
    private let role: Role
    private let key: SigningKey
    private let own: Hello
    private let judge: Judge
    private var completion: Completion?
    private var timeout: LoopTimer?
    private var isSecured = false
    private var hasSentHello = false
    private let place: String

    /// On failure the transport is closed. `completion` is called once, not before `start`.
    package init(
        role: Role, transport: any StreamTransport, context: TLSContext, key: SigningKey, hello: Hello,
        loop: EventLoop,
        timeout nanoseconds: UInt64, judge: @escaping Judge, completion: @escaping Completion
    ) throws(TLSFailure) {
        self.role = role
        self.transport = transport
        self.key = key
        self.loop = loop
        self.judge = judge
        self.completion = completion
        own = hello
        place = role == .dialer ? "the server" : "the node"
        engine = try TLSEngine(context: context, output: ByteQueue(pool: loop.chunks))
        timeout = loop.schedule(after: nanoseconds) { [weak self] in
            self?.fail("no answer within \(nanoseconds / 1_000_000_000) s")
        }
    }

    /// Begins; the dialler's first flight leaves now. `firstBytes` have been read from the transport before.
    package func start(with firstBytes: [UInt8] = []) {
        transport.handler = self
        if firstBytes.isEmpty {
            advance()
        } else {
            firstBytes.withUnsafeBytes {
                engine.feed($0)
                advance()
            }
        }
        if transport.isReadable { transportReady(transport, failed: false) }
    }

    /// Ends it without a word to the completion's owner.
    package func cancel() {
        completion = nil
        finish()
        transport.close()
    }

    package func transportReady(_ transport: any StreamTransport, failed: Bool) {
        // What it said before that, an alert above all, is still heard; then the read says how it failed.
        if failed { _ = transport.takeError() } else { flush() }
        while transport.isReadable, completion != nil {
            let scratch = loop.scratch
            scratch.vectors[0] = iovec(iov_base: scratch.input.baseAddress, iov_len: scratch.input.count)
            switch transport.read(into: UnsafeMutableBufferPointer(rebasing: scratch.vectors[..<1])) {
            case .bytes(let count):
                engine.feed(UnsafeRawBufferPointer(rebasing: scratch.input[..<count]))
                advance()
            case .wouldBlock: return
            case .end: return fail(engine.endOfInput()?.description ?? "\(place) closed the connection")
            case .failed(let error): return fail("\(error)")
            }
        }
    }

    private func advance() {
        if !isSecured {
            switch engine.handshake() {
            case .wantsInput: return flush()
            case .failed(let failure):
                flush()
                return fail(HandshakeFailure(failure))
            case .done:
                isSecured = true
                if role == .dialer { sendHello() }
            }
        }
        readHello()
        flush()
    }

    private func readHello() {
        let plain = UnsafeMutableRawBufferPointer(rebasing: loop.scratch.plain[..<Frame.maximumBytes])
        switch engine.read(into: plain) {
        case .wantsInput: return
        case .closed: fail("\(place) closed the connection")
        case .failed(let failure):
            flush()
            fail(failure.description)
        case .bytes(let count):
            // HELLO stands alone in its record.
            var reader = FrameReader(UnsafeRawBufferPointer(rebasing: plain[..<count]))
            guard let frame = try? reader.next(), frame.kind == .hello,
                Frame.headerBytes + frame.payload.count == count,
                let hello = Hello(
                    frame.payload, from: role.other,
                    exporter: engine.exportKeyingMaterial(label: Hello.exporterLabel))
            else { return fail(HandshakeFailure("\(place) did not prove who it is", .wrongCredential)) }
            guard hello.commonVersion() != nil else {
                return fail(
                    "no common protocol version: it speaks \(hello.leastVersion) to \(hello.greatestVersion)")
            }
            if let objection = judge(hello, engine.peerIdentity) {
                return fail(HandshakeFailure(objection, .wrongCredential))
            }
            if role == .accepter { sendHello() }
            complete(hello)
        }
    }

    private func sendHello() {
        let frame = own.frame(
            from: role, key: key, exporter: engine.exportKeyingMaterial(label: Hello.exporterLabel))
        if let failure = frame.withUnsafeBytes({ engine.write($0) }) { fail(failure.description) }
    }

    private func flush() {
        while !engine.output.isEmpty, transport.isWritable {
            let used = engine.output.describe(in: loop.scratch.vectors)
            switch transport.write(UnsafeMutableBufferPointer(rebasing: loop.scratch.vectors[..<used])) {
            case .bytes(let count): engine.output.discard(count)
            case .wouldBlock, .end: return
            case .failed(let error): return fail("\(error)")
            }
        }
    }

    private func complete(_ hello: Hello) {
        guard let completion else { return }
        self.completion = nil
        finish()
        completion(
            .success(
                SecuredConnection(
                    transport: transport, records: engine, hello: hello, identity: engine.peerIdentity)))
    }

    private func fail(_ reason: String) { fail(HandshakeFailure(reason)) }

    private func fail(_ failure: HandshakeFailure) {
        guard let completion else { return }
        self.completion = nil
        finish()
        // An alert may be on its way: end the sending half first, so that the close does not overtake it.
        transport.shutdownWrite()
        transport.close()
        completion(.failure(failure))
    }

    private func finish() {
        loop.cancel(timeout)
        timeout = nil
        transport.handler = nil
    }
}

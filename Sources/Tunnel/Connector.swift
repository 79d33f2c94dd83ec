import Logging
import Mux
import Reactor
import TLS

/// Keeps a node's link to the server up: dials, proves, hands the link to the peer, and comes back when it has ended. The
/// server's name is looked up again for every attempt.
package final class Connector {
    private static let firstDelay: UInt64 = 500_000_000
    private static let longestDelay: UInt64 = 30_000_000_000
    /// A link that stood this long was a success; one that did not counts as a failed attempt.
    private static let steadyAfter: UInt64 = 60_000_000_000

    private let server: Endpoint
    private let credential: Credential
    private let peer: Peer
    private let context: TLSContext
    private let hello: Hello
    private let key: SigningKey
    private let loop: EventLoop
    private var dialer: Dialer?
    private var handshake: Handshake?
    private var timer: LoopTimer?
    private var attempts = 0
    private var upSince: UInt64?
    private var leastDelay: UInt64 = 0
    /// The server has said how long to stay away.
    private var isSentAway = false
    private var watch: AddressWatch?
    private var look: LoopTimer?
    /// An address and the way that goes with it do not come at the same moment, and one that goes may be back in the next.
    private static let settlingTime: UInt64 = 1_000_000_000
    private static let lookAgainAfter: UInt64 = 5_000_000_000
    private var isStopped = false

    package init(server: Endpoint, credential: Credential, hello: Hello, peer: Peer) throws(TLSFailure) {
        self.server = server
        self.credential = credential
        self.hello = hello
        self.peer = peer
        loop = peer.loop
        key = SigningKey(seed: credential.signingSeed)
        context = try TLSContext.client(identity: credential.id, psk: credential.psk)
        peer.onLink = { [weak self] end in self?.linkChanged(end) }
        peer.onGoAway = { [weak self] reason, milliseconds in self?.goAway(reason, milliseconds) }
    }

    package func start() {
        watch = AddressWatch(on: loop) { [weak self] in self?.lookAtAddress(after: Self.settlingTime) }
        connect()
    }

    package func stop() {
        isStopped = true
        dialer?.cancel()
        handshake?.cancel()
        loop.cancel(timer)
        loop.cancel(look)
    }

    // MARK: On another network

    private func lookAtAddress(after nanoseconds: UInt64) {
        if let look, look.deadline <= loop.now + nanoseconds { return }
        loop.cancel(look)
        guard !isStopped else { return }
        look = loop.schedule(after: nanoseconds) { [weak self] in
            self?.look = nil
            self?.lookAtAddress()
        }
    }

    /// A link from an address that has gone would only be given up when its time is over; and who waits for his next attempt has a
    /// reason not to.
    private func lookAtAddress() {
        guard !isStopped else { return }
        if let link = peer.link {
            switch link.transport.ownAddress {
            case .present: break
            case .gone: lookAtAddress(after: Self.lookAgainAfter)
            case .replaced:
                link.end(LinkEnd(word: .lost, detail: "this machine has another address now"))
            }
        } else if timer != nil, !isSentAway {
            loop.cancel(timer)
            attempts = 0
            scheduleAttempt(after: "new-address")
        }
    }

    private func connect() {
        timer = nil
        guard !isStopped, dialer == nil, handshake == nil else { return }
        let dialer = Dialer(
            server, allow: nil, timeout: peer.settings.connectTimeout, isUrgent: true, loop: loop
        ) { [weak self] result in
            guard let self else { return }
            self.dialer = nil
            switch result {
            case .failure(let failure): retry("connect-failed", server.address, "error", failure.description)
            case .success(let transport): shakeHands(transport)
            }
        }
        self.dialer = dialer
        dialer.start()
    }

    private func shakeHands(_ transport: any StreamTransport) {
        let address = transport.peerAddress.map(\.description) ?? server.address
        do throws(TLSFailure) {
            let handshake = try Handshake(
                role: .dialer, transport: transport, context: context, key: key, hello: hello, loop: loop,
                timeout: peer.settings.connectTimeout,
                judge: { [credential] hello, _ in Self.objection(to: hello, credential) },
                completion: { [weak self] result in self?.finished(result, address) })
            self.handshake = handshake
            handshake.start()
        } catch {
            transport.close()
            retry("handshake-failed", address, "reason", error.description)
        }
    }

    /// A generated uuid names the server's key: another server, even one that knows the credential, is not it.
    private static func objection(to hello: Hello, _ credential: Credential) -> String? {
        guard let pinned = credential.serverFingerprint else { return nil }
        let shown = Credential.fingerprint(of: hello.publicKey)
        return constantTimeEqual(pinned, shown) ? nil : "the server's key is not the one that the uuid names"
    }

    private func finished(_ result: Result<SecuredConnection, HandshakeFailure>, _ address: String) {
        handshake = nil
        switch result {
        case .failure(let failure): retry("handshake-failed", address, "reason", failure.description)
        case .success(let connection):
            upSince = loop.now
            peer.adopt(
                connection.transport, records: connection.records, role: .dialer,
                features: connection.hello.features)
        }
    }

    private func linkChanged(_ end: LinkEnd?) {
        guard let end, !isStopped, peer.link == nil, timer == nil, dialer == nil, handshake == nil else {
            return
        }
        if let upSince, loop.now - upSince >= Self.steadyAfter { attempts = 0 }
        upSince = nil
        scheduleAttempt(after: end.word.rawValue)
    }

    private func goAway(_ reason: GoAwayReason, _ milliseconds: UInt32) {
        switch reason {
        case .stopping: leastDelay = UInt64(min(milliseconds, 600_000)) * 1_000_000
        // Another node uses this uuid; taking the link back at once would only make the two take turns.
        case .replaced: leastDelay = 60_000_000_000
        case .revoked: leastDelay = 60_000_000_000
        case .violation: leastDelay = 60_000_000_000
        }
        if reason != .stopping { Log.error("sent-away", ("node", peer.name), ("reason", reason)) }
        guard !isStopped, timer == nil, dialer == nil, handshake == nil else { return }
        if let upSince, loop.now - upSince >= Self.steadyAfter { attempts = 0 }
        upSince = nil
        scheduleAttempt(after: reason.description)
    }

    private func retry(_ event: StaticString, _ address: String, _ key: StaticString, _ reason: String) {
        guard !isStopped else { return }
        let delay = nextDelay()
        Log.limited(
            .warn, event, key: "\(address) \(reason)", ("address", address), (key, reason),
            ("retry-ms", delay / 1_000_000))
        wait(delay)
    }

    private func scheduleAttempt(after reason: String) {
        let delay = nextDelay()
        Log.info("reconnecting", ("node", peer.name), ("after", reason), ("retry-ms", delay / 1_000_000))
        wait(delay)
    }

    private func wait(_ delay: UInt64) {
        timer = loop.schedule(after: delay) { [weak self] in self?.connect() }
    }

    /// Full jitter: anything up to a ceiling that doubles, so that a thousand nodes whose server restarts do not come
    /// back in one second.
    private func nextDelay() -> UInt64 {
        let ceiling = min(Self.firstDelay << UInt64(min(attempts, 10)), Self.longestDelay)
        attempts += 1
        let delay = UInt64.random(in: 0...ceiling)
        isSentAway = leastDelay != 0
        // What the server asked for is a least time, with as much jitter on top.
        defer { leastDelay = 0 }
        return leastDelay == 0 ? delay : leastDelay + UInt64.random(in: 0...leastDelay / 2) + delay
    }
}

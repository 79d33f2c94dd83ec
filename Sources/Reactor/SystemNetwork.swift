import CLinux
import Glibc

/// The machine's own network, for one loop.
package final class SystemNetwork: Network {
    let poller: EpollPoller
    /// Unowned: the loop holds this network, and a weak reference would make every other one to the loop cost twice as much.
    package internal(set) unowned var loop: EventLoop?
    /// Held back so that a client can be sent away when there are no descriptors left.
    private var spare: Int32
    /// Descriptors are given out lowest first, so the number of a new one says how many are open. The last tenth is kept
    /// for links, dials and files: clients are not accepted into it.
    let descriptorBudget: Int32
    /// Links are, into half of it.
    let linkBudget: Int32
    /// Connections from this descriptor on are a crowd's: `ReceiveBuffer`.
    package var crowdDescriptor = ReceiveBuffer.crowdDescriptor

    private let resolver: Resolver
    private let hosts = HostsFile.shared
    /// While look-ups wait for a place.
    private var review: LoopTimer?
    private static let reviewEvery: UInt64 = 500_000_000

    init(poller: EpollPoller, resolver: Resolver = .shared) {
        self.poller = poller
        self.resolver = resolver
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        descriptorBudget = Int32(clamping: limit.rlim_cur / 10 * 9)
        linkBudget = Int32(clamping: limit.rlim_cur / 20 * 19)
    }

    deinit {
        if spare >= 0 { close(spare) }
    }

    package func listen(
        on address: SocketAddress, onlyIPv6: Bool, handler: any AcceptHandler
    ) -> Result<any ListeningTransport, SystemError> {
        ListeningSocket.open(address, onlyIPv6: onlyIPv6, handler: handler, network: self)
    }

    package func connect(to address: SocketAddress) -> Result<any StreamTransport, SystemError> {
        StreamSocket.connect(to: address, crowd: crowdDescriptor, poller: poller)
    }

    package func resolve(_ name: Name, completion: @escaping (Found) -> Void) {
        guard let loop else { return }
        if let address = SocketAddress(numeric: name.host, port: name.port) {
            return completion(Found(.success([address])))
        }
        let isOwn = hosts.knows(name.host, now: loop.now)
        // Nobody else is asked where this machine is (RFC 6761).
        if !isOwn, name.host.lowercased() == "localhost" {
            let both = [
                SocketAddress(ipv6: 0, 1, port: name.port), SocketAddress(ipv4: 0x7f00_0001, port: name.port),
            ]
            return completion(Found(.success(both.filter { name.family == nil || $0.family == name.family })))
        }
        guard name.family == nil, !isOwn else {
            return ask(name, name.family, isUrgent: isOwn || name.isUrgent, on: loop) {
                completion(Found($0))
            }
        }
        // A question for each: a name server that says nothing of one does not keep the other.
        let pair = FamilyPair(loop: loop, completion: completion)
        ask(name, .ipv6, isUrgent: name.isUrgent, on: loop) { pair.take($0, isIPv6: true) }
        ask(name, .ipv4, isUrgent: name.isUrgent, on: loop) { pair.take($0, isIPv6: false) }
    }

    private func ask(
        _ name: Name, _ family: SocketAddress.Family?, isUrgent: Bool, on loop: EventLoop,
        _ answer: @escaping (Resolver.Found) -> Void
    ) {
        let port = name.port
        let waiting = LoopBound(answer, to: loop)
        let mailbox = loop.mailbox
        let asked = resolver.ask(Resolver.Question(name.host, family), isUrgent: isUrgent) { found in
            mailbox.post { loop in waiting.value(on: loop)(found.map { $0.map { $0.with(port: port) } }) }
        }
        switch asked {
        case .known(let addresses): answer(.success(addresses.map { $0.with(port: port) }))
        case .willAnswer: break
        case .waits: reviewLater(loop)
        case .refused: answer(.failure(ResolveError("too many look-ups are waiting")))
        }
    }

    private func reviewLater(_ loop: EventLoop) {
        guard review == nil else { return }
        review = loop.schedule(after: Self.reviewEvery) { [weak self] in
            guard let self else { return }
            review = nil
            if resolver.review(), let loop = self.loop { reviewLater(loop) }
        }
    }

    package var freeDescriptors: Int { max(Int(descriptorBudget) - poller.watched - poller.elsewhere, 0) }

    /// How many were. It sees a reset: linger 0 is the listener's.
    func sendOneAway(from listener: Int32) -> Int {
        guard spare >= 0 else { return 0 }
        close(spare)
        let client = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        if client >= 0 { close(client) }
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
        return client >= 0 ? 1 : 0
    }
}

/// The answers to the two questions for one name. Whichever finds something is waited with for 50 ms, for the other (RFC 8305, 3).
private final class FamilyPair {
    private static let patience: UInt64 = 50_000_000

    private let loop: EventLoop
    private let completion: (Found) -> Void
    private var six: Resolver.Found?
    private var four: Resolver.Found?
    private var hasSpoken = false
    private var timer: LoopTimer?

    init(loop: EventLoop, completion: @escaping (Found) -> Void) {
        self.loop = loop
        self.completion = completion
    }

    func take(_ found: Resolver.Found, isIPv6: Bool) {
        if isIPv6 { six = found } else { four = found }
        if let six, let four {
            loop.cancel(timer)
            if hasSpoken { return completion(Found(.success((try? found.get()) ?? []))) }
            let both = ((try? six.get()) ?? []) + ((try? four.get()) ?? [])
            return completion(Found(both.isEmpty ? four : .success(both)))
        }
        guard case .success = found else { return }
        timer = loop.schedule(after: Self.patience) { [self] in
            hasSpoken = true
            completion(Found(found, isLast: false))
        }
    }
}

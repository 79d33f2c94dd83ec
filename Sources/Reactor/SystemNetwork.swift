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
    /// Connections from this descriptor on are a crowd's: `ReceiveBuffer`.
    package var crowdDescriptor = ReceiveBuffer.crowdDescriptor

    init(poller: EpollPoller) {
        self.poller = poller
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        descriptorBudget = Int32(clamping: limit.rlim_cur / 10 * 9)
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

    package func resolve(
        _ host: String, port: UInt16, completion: @escaping (Result<[SocketAddress], ResolveError>) -> Void
    ) {
        guard let loop else { return }
        if let address = SocketAddress(numeric: host, port: port) { return completion(.success([address])) }
        let waiting = LoopBound(completion, to: loop)
        let mailbox = loop.mailbox
        let isQueued = Resolver.shared.submit(host, port: port) { result in
            mailbox.post { loop in waiting.value(on: loop)(result) }
        }
        if !isQueued { completion(.failure(ResolveError("too many lookups are waiting"))) }
    }

    func sendOneAway(from listener: Int32) {
        guard spare >= 0 else { return }
        close(spare)
        let client = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        if client >= 0 { close(client) }
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
    }
}

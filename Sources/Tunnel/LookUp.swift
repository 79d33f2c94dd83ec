import Reactor

/// Finds the addresses that an endpoint stands for, as far as they may be used. What is found is told as it is found: neither a name
/// server that says nothing of IPv6 nor a dead name in `-allow` keeps what is known. Cancel it or hear from it; `onNews` may be
/// called before `start` returns.
final class LookUp {
    /// To be used, in the order in which they became known.
    private(set) var permitted: [SocketAddress] = []
    /// All that the endpoint itself stands for has been found; what is permitted of it may still become more.
    private(set) var isFound = false
    /// Nothing more will come.
    private(set) var isOver = false

    private let endpoint: Endpoint
    private let allow: AllowList?
    private let isUrgent: Bool
    private let loop: EventLoop
    private let onNews: () -> Void
    private var found: [SocketAddress] = []
    private var failure: String?
    /// Of the names in the allow-list.
    private var allowed: [SocketAddress] = []
    /// Names in the allow-list that have not been answered; nil: not asked.
    private var unanswered: Int?
    private var isCancelled = false

    init(
        _ endpoint: Endpoint, allow: AllowList?, isUrgent: Bool = false, loop: EventLoop,
        onNews: @escaping () -> Void
    ) {
        self.endpoint = endpoint
        self.allow = allow
        self.isUrgent = isUrgent
        self.loop = loop
        self.onNews = onNews
    }

    func start() {
        if endpoint.domain == .unix {
            return take(Found(.success([SocketAddress(unix: endpoint.address)])))
        }
        let name = Name(host, port: endpoint.port, family: family, isUrgent: isUrgent)
        loop.network.resolve(name) { [weak self] in self?.take($0) }
    }

    func cancel() { isCancelled = true }

    /// Why there is no address, or none that may be used.
    var objection: String {
        if let first = found.first {
            let shown =
                endpoint.numeric == nil && endpoint.domain != .unix
                ? "\(endpoint.address) (\(first))" : "\(first)"
            return (unanswered ?? 0) == 0
                ? "\(shown) is not in -allow"
                : "\(shown) is not in -allow as far as its names were found in time"
        }
        guard isFound else { return "\(host): not found in time" }
        return failure.map { "\(host): \($0)" }
            ?? "\(host): no address in the domain \(endpoint.domain.rawValue)"
    }

    var isNotAllowed: Bool { !found.isEmpty && permitted.isEmpty }

    /// Go's rule: a dial without a host goes to this machine.
    private var host: String { endpoint.host.isEmpty ? "localhost" : endpoint.host }

    private var family: SocketAddress.Family? {
        switch endpoint.domain {
        case .tcp4: .ipv4
        case .tcp6: .ipv6
        case .tcp, .unix: nil
        }
    }

    private func take(_ answer: Found) {
        guard !isCancelled else { return }
        switch answer.result {
        case .failure(let error): failure = error.description
        case .success(let more):
            // A number is of one family whatever was asked for.
            found += more.filter { family == nil || $0.family == family }
        }
        isFound = answer.isLast
        judge()
    }

    private func judge() {
        let next = found.filter { address in
            !permitted.contains(address) && mayUse(address)
        }
        permitted += next
        if permitted.count < found.count, unanswered == nil { askForNames() }
        isOver = isFound && (permitted.count == found.count || unanswered == 0)
        onNews()
    }

    private func mayUse(_ address: SocketAddress) -> Bool {
        guard let allow else { return true }
        if endpoint.domain != .unix, allow.permits(name: host, port: endpoint.port) { return true }
        return allow.permits(address, resolved: allowed)
    }

    /// An address that no number permits may be one of a name's. All are asked at once.
    private func askForNames() {
        let names = endpoint.domain == .unix ? [] : allow?.names(for: endpoint.port) ?? []
        unanswered = names.count
        for name in names {
            loop.network.resolve(Name(name, port: 0)) { [weak self] answer in
                guard let self, !isCancelled else { return }
                allowed += (try? answer.result.get()) ?? []
                if answer.isLast { unanswered = (unanswered ?? 1) - 1 }
                judge()
            }
        }
    }
}

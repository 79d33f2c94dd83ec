import CLinux
import Glibc

/// Hears that this machine's addresses have changed (rtnetlink(7)): it may be on another network than before.
package final class AddressWatch: ReadinessHandler {
    private let descriptor: Int32
    private let poller: EpollPoller
    private let changed: () -> Void

    /// RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR.
    private static let groups: UInt32 = 0x10 | 0x100

    /// Nil where the system does not tell, as in a sandbox without AF_NETLINK.
    package init?(on loop: EventLoop, changed: @escaping () -> Void) {
        guard let network = loop.network as? SystemNetwork else { return nil }
        let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        // NETLINK_ROUTE is 0.
        descriptor = socket(AF_NETLINK, kind, 0)
        poller = network.poller
        self.changed = changed
        guard descriptor >= 0 else { return nil }
        // struct sockaddr_nl: the family and two bytes, the port, the groups.
        let address: (UInt16, UInt16, UInt32, UInt32) = (UInt16(AF_NETLINK), 0, 0, Self.groups)
        let result = withUnsafeBytes(of: address) {
            bind(descriptor, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard result == 0 else { return nil }
        poller.add(descriptor, self, .readableLevel)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// What changed is asked of the kernel by whoever needs it: messages may have been lost.
    package func ready(_ events: Readiness) {
        var bytes = [UInt8](repeating: 0, count: 8_192)
        while recv(descriptor, &bytes, bytes.count, 0) > 0 || errno == ENOBUFS {}
        changed()
    }
}

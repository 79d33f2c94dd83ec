import Reactor
import TLS
import Tunnel

/// The nodes that this server knows, by the identity of each credential. Whatever supplies nodes (flags now, records later)
/// declares them here; the gate asks here.
package final class Registry {
    private struct Entry {
        let psk: [UInt8]
        let publicKey: [UInt8]
        let peer: Peer
    }

    private var entries: [[UInt8]: Entry] = [:]
    package private(set) var peers: [String: Peer] = [:]

    package init() {}

    /// A node by its name; the peer is made at the first call. Its links and mappings are the peer's.
    package func declare(_ name: String, settings: TunnelSettings, loop: EventLoop) -> Peer {
        if let peer = peers[name] { return peer }
        let peer = Peer(name: name, hasAuthority: true, settings: settings, loop: loop)
        peers[name] = peer
        return peer
    }

    /// Lets whoever holds the credential in as that node. A node may have several.
    package func admit(identity: [UInt8], psk: [UInt8], publicKey: [UInt8], as peer: Peer) {
        entries[identity] = Entry(psk: psk, publicKey: publicKey, peer: peer)
    }

    func psk(for identity: UnsafeRawBufferPointer) -> [UInt8]? {
        // 16 bytes; anything longer is not worth a copy.
        identity.count == 16 ? entries[[UInt8](identity)]?.psk : nil
    }

    /// The node that has proved `identity` and signs with `publicKey`.
    func peer(identity: [UInt8]?, publicKey: [UInt8]) -> Peer? {
        guard let identity, let entry = entries[identity], constantTimeEqual(entry.publicKey, publicKey) else { return nil }
        return entry.peer
    }
}

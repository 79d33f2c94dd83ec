/// Who does something, as the audit keeps it.
package struct Actor: Hashable, Sendable {
    /// `alice`, `server`, `node edge-07`.
    package let name: String
    /// The operating system's user behind the control socket; nil for those who are no user.
    package let uid: UInt32?

    /// An operator.
    package static func user(_ name: String, uid: UInt32) -> Actor {
        Actor(name: Limits.cut(name, bytes: 128), uid: uid)
    }

    package static func node(_ name: String) -> Actor { Actor(name: "node \(name)", uid: nil) }

    package static let server = Actor(name: "server", uid: nil)
    package static let flags = Actor(name: "flags", uid: nil)
}

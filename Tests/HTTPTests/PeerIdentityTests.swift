import Foundation
import HTTP
import Support
import Testing

/// Whose process asks, where it runs as somebody else than the one who logged in.
struct PeerIdentityTests {
    @Test func `this process is its user`() {
        let own = PeerIdentity.own
        #expect(own.uid == getuid() && own.gid == getgid() && own.pid == getpid())
    }

    @Test(arguments: [
        ("PATH=/bin\0SUDO_USER=alice\0HOME=/root\0", "alice"), ("SUDO_USER=a.b-c_d@EX9\0", "a.b-c_d@EX9"),
        ("SUDO_USER=\0", nil), ("SUDO_USERS=eve\0", nil), ("X=SUDO_USER=eve\0", nil), ("", nil),
        ("SUDO_USER=al ice\0", nil), ("SUDO_USER=\u{1b}[31m\0", nil), ("SUDO_USER=ålice\0", nil),
        ("SUDO_USER=alice (as root\0", nil),
        ("SUDO_USER=" + String(repeating: "a", count: 33) + "\0", nil),
    ])
    func `what sudo left is a name or nothing`(environment: String, name: String?) {
        #expect(PeerIdentity.Login.sudoUser(in: Array(environment.utf8)) == name)
    }
}

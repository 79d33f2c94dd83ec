import Support
import Testing

@Suite(.serialized, .heavy)
struct SecureShellTests {
    @Test(
        .enabled(if: Tool.exist(Tool.ssh, Tool.sshd), "needs openssh-client and openssh-server"),
        arguments: Kind.allCases)
    func `ssh runs a command and brings back its output and exit code`(kind: Kind) throws {
        let sshd = try OpenSSH()
        try withTunnel(kind, to: sshd.endpoint) { pair in
            let done = try sshd.ssh(
                by: pair.entrance(), "echo through the tunnel; echo complaint >&2; exit 7")
            #expect(done.output == ["through the tunnel"], "\(done.transcript)\n\(pair.logs)")
            #expect(done.errors == ["complaint"])
            #expect(done.end == .exit(7))
        }
    }

    @Test(
        .enabled(if: Tool.exist(Tool.scp, Tool.sshd), "needs openssh-client and openssh-server"),
        arguments: Kind.allCases)
    func `scp carries 200 MB there and back with equal hashes`(kind: Kind) throws {
        let sshd = try OpenSSH()
        let directory = sshd.directory
        let original = try directory.write("original", Content(seed: 200), count: 200_000_000)
        try withTunnel(kind, to: sshd.endpoint) { pair in
            let (there, back) = (directory.file("there"), directory.file("back"))
            try sshd.scp(by: pair.entrance(), .up, local: original, remote: there)
            try sshd.scp(by: pair.entrance(), .down, local: back, remote: there)
            let hash = try Tool.sha256(of: original)
            #expect(try Tool.sha256(of: there) == hash)
            #expect(try Tool.sha256(of: back) == hash)
        }
    }
}

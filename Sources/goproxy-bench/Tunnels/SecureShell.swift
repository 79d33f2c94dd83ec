// SecureShell: OpenSSH as a tunnel: an sshd of its own on loopback, with its own keys, and one ssh that logs in to it as the
// user who runs the benchmark.
import Glibc

struct SecureShell {
    enum Kind: String, CaseIterable {
        /// ssh listens, sshd dials: as a peer listener does.
        case local = "ssh -L"
        /// sshd listens, ssh dials: as a listener does.
        case remote = "ssh -R"
    }

    /// One cipher for both, the same as ours.
    private static let cipher = "aes128-gcm@openssh.com"

    /// Starts both and waits until an echo passes.
    static func start(
        _ kind: Kind, in temporary: TemporaryFolder, origin: Origin, echoLog: Bool
    ) throws(BenchError) -> Route {
        let paths = try Rival.ssh.programs()
        let folder = "\(temporary.path)/\(kind == .local ? "ssh-local" : "ssh-remote")"
        mkdir(folder, 0o700)
        try makeKeys(paths[2], in: folder)
        let (door, entry) = (try freePort(), try freePort())
        try writePrivate(configuration(folder, door), to: "\(folder)/sshd_config")
        let madeFolder = prepareSeparation()
        defer { if madeFolder { rmdir(separationFolder) } }
        let sshd = try Program.start(
            "sshd", path: paths[0], arguments: ["-D", "-e", "-f", "\(folder)/sshd_config"], echoLog: echoLog)
        // It says nothing at this log level; a connection shows that it listens.
        try Deadline().wait("sshd", "does not listen") { () throws(BenchError) in
            if sshd.hasExited { throw sshd.failed("ended at once") }
            return (try? Socket.connected(to: door)) != nil
        }
        let places = "127.0.0.1:\(entry):127.0.0.1:\(origin.port)"
        let ssh = try Program.start(
            "ssh", path: paths[1],
            arguments: options(folder, door) + [
                kind == .local ? "-L" : "-R", places, "\(try userName())@127.0.0.1",
            ],
            echoLog: echoLog)
        try awaitEcho(entry, through: [ssh, sshd])
        return Route(name: kind.rawValue, port: entry, tunnel: TunnelProcesses(programs: [sshd, ssh]))
    }

    private static func options(_ folder: String, _ door: UInt16) -> [String] {
        let settings = [
            "BatchMode=yes", "UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no",
            "ExitOnForwardFailure=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "LogLevel=ERROR",
            "Compression=no",
        ]
        return ["-N", "-F", "/dev/null", "-S", "none", "-p", "\(door)", "-i", "\(folder)/id", "-c", cipher]
            + settings.flatMap { ["-o", $0] }
    }

    private static func configuration(_ folder: String, _ door: UInt16) -> String {
        """
        ListenAddress 127.0.0.1
        Port \(door)
        HostKey \(folder)/host
        AuthorizedKeysFile \(folder)/id.pub
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        PermitRootLogin prohibit-password
        AllowTcpForwarding yes
        MaxSessions 1000
        MaxStartups 1000
        Ciphers \(cipher)
        PidFile none
        LogLevel ERROR

        """
    }

    private static func makeKeys(_ keygen: String, in folder: String) throws(BenchError) {
        for name in ["host", "id"] {
            let program = try Program.start(
                "ssh-keygen", path: keygen,
                arguments: [
                    "-q", "-t", "ed25519", "-N", "", "-C", "goproxy-bench", "-f", "\(folder)/\(name)",
                ],
                echoLog: false)
            try Deadline().wait("ssh-keygen", "does not end") { program.hasExited }
            guard access("\(folder)/\(name).pub", R_OK) == 0 else { throw program.failed("made no key") }
            program.end()
        }
    }

    private static let separationFolder = "/run/sshd"

    /// Started by root, sshd wants an empty folder that its service would make; true when it was made here.
    private static func prepareSeparation() -> Bool {
        geteuid() == 0 && mkdir(separationFolder, 0o755) == 0
    }

    private static func userName() throws(BenchError) -> String {
        guard let entry = getpwuid(geteuid()) else { throw .system("user \(geteuid())", "has no name") }
        return String(cString: entry.pointee.pw_name)
    }
}

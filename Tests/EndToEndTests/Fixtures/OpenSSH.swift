import Foundation
import Support

/// An sshd of this test's own: its keys, its configuration, its port, and a client that trusts it.
final class OpenSSH {
    let endpoint: Endpoint
    let directory: TemporaryDirectory
    private let daemon: Program
    private static let user = String(cString: getpwuid(getuid()).pointee.pw_name)

    init() throws {
        directory = try TemporaryDirectory()
        // sshd started by root wants its empty directory, which a container that never started it does not have.
        if getuid() == 0 { mkdir("/run/sshd", 0o755) }
        for name in ["host", "client"] {
            _ = try run(Tool.sshKeygen, ["-q", "-t", "ed25519", "-N", "", "-f", directory.file(name)])
                .succeeded()
        }
        var started: (program: Program, port: Int)?
        for attempt in 1...5 {
            let port = try freePort()
            let program = try Program(
                Tool.sshd, ["-D", "-e", "-f", try Self.configure(directory, port: port)])
            do {
                _ = try eventually("sshd listens", evidence: { program.transcript }) {
                    guard program.isRunning else { throw Failure("sshd ended\n\(program.transcript)") }
                    return program.errors.first { $0.contains("Server listening") }
                }
                started = (program, port)
                break
            } catch  where attempt < 5 {
                // Lost the port to somebody; the next attempt takes another.
            }
        }
        guard let started else { throw Failure("no sshd") }
        daemon = started.program
        endpoint = .tcp("127.0.0.1:\(started.port)")
    }

    private static func configure(_ directory: TemporaryDirectory, port: Int) throws -> String {
        try directory.write(
            "sshd_config",
            """
            Port \(port)
            ListenAddress 127.0.0.1
            HostKey \(directory.file("host"))
            AuthorizedKeysFile \(directory.file("client.pub"))
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            PermitRootLogin yes
            Subsystem sftp internal-sftp
            """)
    }

    private var options: [String] {
        [
            "-F", "/dev/null", "-i", directory.file("client"), "-o", "IdentitiesOnly=yes", "-o",
            "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        ]
    }

    func ssh(by entrance: Endpoint, _ command: String) throws -> Program.Finished {
        try run(
            Tool.ssh, options + ["-p", "\(entrance.port)", "\(Self.user)@\(entrance.host)", command],
            within: .seconds(30))
    }

    enum Way { case up, down }

    func scp(by entrance: Endpoint, _ way: Way, local: String, remote: String) throws {
        let far = "\(Self.user)@\(entrance.host):\(remote)"
        let ends = way == .up ? [local, far] : [far, local]
        _ = try run(Tool.scp, options + ["-q", "-P", "\(entrance.port)"] + ends, within: .seconds(120))
            .succeeded()
    }
}

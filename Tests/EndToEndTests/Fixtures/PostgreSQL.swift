import Foundation
import Support

/// A database cluster of this test's own, without a unix socket, everyone trusted.
final class PostgreSQL {
    let endpoint: Endpoint
    private let directory: TemporaryDirectory
    private let bin: String
    private let postmaster: Program

    init(bin: String) throws {
        self.bin = bin
        directory = try TemporaryDirectory()
        let data = directory.file("pg")
        mkdir(data, 0o700)
        // PostgreSQL refuses to run as root.
        let wrapper = try Self.unprivileged(owning: [directory.path, data])
        let makeCluster = [
            "\(bin)/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        _ = try Self.start(wrapper + makeCluster).finish(within: .seconds(60)).succeeded()
        var started: (program: Program, port: Int)?
        for attempt in 1...5 {
            let port = try freePort()
            let program = try Self.start(
                wrapper + [
                    "\(bin)/postgres", "-D", data, "-p", "\(port)", "-h", "127.0.0.1", "-k", "", "-F",
                    "-c", "shared_buffers=16MB",
                ])
            do {
                _ = try eventually(
                    "postgres is ready", within: .seconds(30), evidence: { program.transcript }
                ) {
                    guard program.isRunning else { throw Failure("postgres ended\n\(program.transcript)") }
                    return program.errors.first { $0.contains("ready to accept connections") }
                }
                started = (program, port)
                break
            } catch  where attempt < 5 {
                // Lost the port to somebody; the next attempt takes another.
            }
        }
        guard let started else { throw Failure("no postgres") }
        postmaster = started.program
        endpoint = .tcp("127.0.0.1:\(started.port)")
    }

    /// SIGINT is its fast shutdown: the children go too, and only then the directory.
    deinit {
        postmaster.send(SIGINT)
        _ = try? postmaster.waitForExit(within: .seconds(10))
    }

    private static func start(_ command: [String]) throws -> Program {
        try Program(command[0], Array(command.dropFirst()))
    }

    private static func unprivileged(owning paths: [String]) throws -> [String] {
        guard getuid() == 0 else { return [] }
        guard let account = getpwnam("postgres") else { throw Failure("root, but no user postgres") }
        let (user, group) = (account.pointee.pw_uid, account.pointee.pw_gid)
        for path in paths where chown(path, user, group) != 0 { throw Failure("chown \(path)") }
        return [Tool.setpriv, "--reuid=\(user)", "--regid=\(group)", "--clear-groups", "--"]
    }

    func psql(by entrance: Endpoint, _ statement: String) throws -> [String] {
        try client(
            "psql", by: entrance, ["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, "postgres"])
    }

    func pgbench(by entrance: Endpoint, _ arguments: [String]) throws -> [String] {
        try client("pgbench", by: entrance, arguments + ["postgres"])
    }

    private func client(_ name: String, by entrance: Endpoint, _ arguments: [String]) throws -> [String] {
        let place = ["-h", entrance.host, "-p", "\(entrance.port)", "-U", "postgres"]
        return try run("\(bin)/\(name)", place + arguments, within: .seconds(90)).succeeded()
    }
}

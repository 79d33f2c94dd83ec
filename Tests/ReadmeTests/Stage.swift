import Foundation
import Support
import Testing

/// A machine of its own on which the README is followed: its network, ports and folders are nobody else's, the programs are where
/// the README puts them, and every name in the README is this machine's.
final class Stage {
    let clone: String
    let folder: TemporaryDirectory
    private(set) var programs: [Program] = []
    /// What stands in the README for what only a run knows: the uuid, a connection's number.
    var values: [String: String] = [:]

    static let names = ["vpn.example.com", "server.example.com"]

    static func with(_ body: (Stage) throws -> Void) throws {
        let clone = try FreshClone.shared.get().path
        let name = try run("/usr/bin/env", ["hostname"]).succeeded().joined()
        let hosts = "127.0.0.1 localhost \((names + [name]).joined(separator: " "))\n::1 localhost\n"
        try withOwnNetwork(hosts: hosts) {
            let stage = try Stage(clone)
            do { try body(stage) } catch {
                throw Failure("\(error)\n\(stage.programs.map(\.transcript).joined(separator: "\n"))")
            }
        }
    }

    private init(_ clone: String) throws {
        self.clone = clone
        folder = try TemporaryDirectory()
        try command("cp", "-a", "/etc", folder.file("etc"))
        try command("mount", "--bind", folder.file("etc"), "/etc")
        for path in ["/var/lib", "/var/backups", "/usr/local/bin"] {
            try command("mount", "-t", "tmpfs", "tmpfs", path)
        }
        for name in ["goproxy-server", "goproxy-node", "goproxy-admin"] {
            try command("cp", "\(clone)/.build/release/\(name)", "/usr/local/bin/")
        }
        // No systemd and no modules here: what the README tells them must name what is there.
        try Self.tool(
            "systemctl", #"[ "$1 $2" = "enable --now" ] && test -f "/etc/systemd/system/$3.service""#)
        try Self.tool("modprobe", #"[ "$1" = tcp_bbr ]"#)
        try command("mkdir", "-p", "/etc/systemd/system", "/etc/modules-load.d", "/etc/sysctl.d")
    }

    private static func tool(_ name: String, _ script: String) throws {
        let path = "/usr/local/bin/\(name)"
        try "#!/bin/sh\n\(script)\n".write(toFile: path, atomically: false, encoding: .utf8)
        try command("chmod", "755", path)
    }

    private func pasted(_ command: String) -> String {
        values.reduce(command) { $0.replacingOccurrences(of: $1.key, with: $1.value) }
    }

    /// Does what the command's way says; the lines it printed, where it ends.
    @discardableResult
    func follow(_ command: String, in directory: String? = nil) throws -> [String] {
        let place = directory ?? folder.path
        let text = pasted(command)
        switch try Readme.way(of: command) {
        case .elsewhere: return []
        case .ends(let wanted):
            let done = try shell(text, in: place).finish(within: .seconds(60))
            let lines = try done.succeeded()
            if let wanted {
                #expect(lines.contains { $0.contains(wanted) }, "\(command)\n\(done.transcript)")
            }
            return lines
        case .instead(let other):
            let done = try shell(pasted(other), in: place).finish(within: .seconds(120))
            #expect(try !done.succeeded().isEmpty, "\(command)\n\(done.transcript)")
            return done.output
        case .stays(let shown):
            let body = text.hasSuffix("&") ? String(text.dropLast()) : text
            let program = try shell("exec \(body)", in: place)
            programs.append(program)
            if command.hasSuffix("&") { return [] }
            _ = try eventually(
                "\(command) shows \(shown)", within: .seconds(60), evidence: { program.transcript }
            ) {
                if (program.errors + program.output).contains(where: { $0.contains(shown) }) { return true }
                guard program.isRunning else { throw Failure("ended: \(command)") }
                return nil
            }
            return []
        }
    }

    /// The folder is a user's own, with the project's files where the README names them.
    private func shell(_ text: String, in directory: String) throws -> Program {
        if !FileManager.default.fileExists(atPath: folder.file("deploy")) {
            try command("ln", "-s", "\(clone)/deploy", folder.file("deploy"))
        }
        return try Program(
            "/bin/bash", ["-ec", "cd '\(directory)'\n\(text)"], environment: ["HOME": folder.path],
            name: String(text.prefix(40)))
    }

    /// Bytes pass from `port` to a target that listens on `target`, as soon as something listens there.
    func proves(_ port: Int, reaches target: Int, _ body: () throws -> Void = {}) throws {
        let echo = try TargetServer.echo(on: .tcp("127.0.0.1:\(target)"))
        _ = try eventually("port \(port) reaches \(target)", within: .seconds(30)) { () -> Bool? in
            let client = try Socket.connect(to: .tcp("127.0.0.1:\(port)"))
            guard (try? client.send("hello")) != nil, let back = try? client.receive(exactly: 5) else {
                return nil
            }
            #expect(back == Array("hello".utf8))
            try body()
            return true
        }
        #expect(echo.accepted > 0)
    }
}

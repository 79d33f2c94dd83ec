import Foundation
import Support

/// Programs of the system that play the real clients and servers.
enum Tool {
    static let ssh = "/usr/bin/ssh"
    static let scp = "/usr/bin/scp"
    static let sshKeygen = "/usr/bin/ssh-keygen"
    static let sshd = "/usr/sbin/sshd"
    static let curl = "/usr/bin/curl"
    static let openssl = "/usr/bin/openssl"
    static let sha256sum = "/usr/bin/sha256sum"
    static let setpriv = "/usr/bin/setpriv"

    /// Debian keeps them by version, and PATH has only some.
    static let postgresql: String? = {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return versions.max { (Int($0) ?? 0) < (Int($1) ?? 0) }.map { "\(root)/\($0)/bin" }
    }()

    static func exist(_ paths: String...) -> Bool {
        paths.allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
    }

    static func sha256(of path: String) throws -> String {
        let lines = try run(sha256sum, [path], within: .seconds(60)).succeeded()
        return String(lines.joined().prefix(64))
    }
}

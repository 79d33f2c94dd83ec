import Foundation
import Support
import Testing

/// How the keys of a data folder come to be, call by call.
@Suite(.light)
struct KeyFileTests {
    @Test(.enabled(if: Tracing.isPossible, "needs strace, and to be root"))
    func `each key is on disk before it has its name, and its name before anything else happens`() throws {
        let folder = try TemporaryDirectory()
        let (data, file) = (folder.file("data"), folder.file("trace"))
        _ = try run(
            Tracing.strace,
            [
                "-f", "-qq", "-y", "-s", "4096", "-e", "trace=rename,link,unlink,fsync,fdatasync,pwrite64",
                "-e",
                "signal=none", "-o", file, "\(Program.buildDirectory)/goproxy-admin", "node", "add",
                "edge-07",
                "--data", data,
            ]
        ).succeeded()
        // `PID call(…) = 0`; nothing runs beside these on the same folder but SQLite.
        let calls = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
            .map { $0.drop { $0 != " " }.drop { $0 == " " } }
        for name in ["server.key", "seal.key", "seal-verify.key", "seal-now.key"] {
            let named = calls.indices.filter { place in
                let isNaming = calls[place].hasPrefix("rename(") || calls[place].hasPrefix("link(")
                return isNaming && calls[place].contains("\"\(data)/\(name)\"")
                    && calls[place].hasSuffix("= 0")
            }
            let place = try #require(
                named.first, "\(name) never got its name\n\(calls.joined(separator: "\n"))")
            #expect(named.count == 1)
            let before = calls[..<place].last { !$0.contains("goproxy.db") && !$0.contains("openings") } ?? ""
            #expect(
                before.hasPrefix("fsync(") && before.contains("<\(data)/\(name).new"), "\(name): \(before)")
            // Its other name may go first.
            let after = calls[(place + 1)...].first { !$0.hasPrefix("unlink(") } ?? ""
            #expect(
                after.hasPrefix("fsync(") && after.contains("<\(data)>") && after.hasSuffix("= 0"),
                "\(name): \(after)")
        }
    }
}

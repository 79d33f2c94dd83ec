// TunnelProcesses: the processes that carry a route's bytes, whoever made them.
import FoundationEssentials
import Glibc

struct TunnelProcesses {
    /// What was started here; their children belong to the tunnel too (sshd has one for each connection to it).
    let programs: [Program]

    /// All processes of the tunnel now.
    var pids: [pid_t] {
        var found = programs.map(\.pid)
        let parents = Self.parents()
        var next = 0
        while next < found.count {
            found += parents.filter { $0.parent == found[next] }.map(\.pid)
            next += 1
        }
        return found
    }

    var residentBytes: Int { pids.reduce(0) { $0 + goproxy_bench.residentBytes(of: $1) } }

    func end() {
        for program in programs.reversed() { program.end() }
    }

    private static func parents() -> [(pid: pid_t, parent: pid_t)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.compactMap { pid in
            // "pid (name) state parent …", where the name may hold anything.
            let text = textOfFile("/proc/\(pid)/stat")
            guard let end = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: end)...].split(separator: " ")
            return fields.count > 1 ? pid_t(fields[1]).map { (pid, $0) } : nil
        }
    }
}

/// Another tunnel to compare with.
enum Rival: String, CaseIterable {
    case ssh, haproxy

    /// The programs that it needs, from PATH and the folders where Debian keeps those of root.
    func programs() throws(BenchError) -> [String] {
        var found: [String] = []
        for name in self == .ssh ? ["sshd", "ssh", "ssh-keygen"] : ["haproxy"] {
            guard let path = Self.find(name) else {
                throw BenchError(
                    subject: "-against \(rawValue)", failed: "\(name) is not installed",
                    why: self == .ssh
                        ? "apt-get install openssh-server openssh-client" : "apt-get install haproxy")
            }
            found.append(path)
        }
        return found
    }

    private static func find(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/local/sbin", "/sbin"]
        return folders.filter { $0.hasPrefix("/") }.map { "\($0)/\(name)" }.first {
            access($0, X_OK) == 0 && !isFolder($0)
        }
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

/// Waits until an echo passes through `port`; programs that say nothing when they are ready are asked so.
func awaitEcho(_ port: UInt16, through programs: [Program]) throws(BenchError) {
    let deadline = Deadline()
    while true {
        do throws(BenchError) {
            return try EchoConnection(to: port).exchange(0)
        } catch {
            for program in programs where program.hasExited { throw program.failed("ended before it served") }
            if deadline.isPast { throw programs[0].failed("no echo passes: \(error)") }
            usleep(20_000)
        }
    }
}

/// A port of loopback that is free now. A program that cannot be asked to take any port is given one of these; should
/// another process be faster, the program says so and the benchmark ends.
func freePort() throws(BenchError) -> UInt16 {
    try Socket.listening().port
}

/// Writes a file that only this user reads.
func writePrivate(_ text: String, to path: String) throws(BenchError) {
    unlink(path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .system(path, "cannot write") }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard write(descriptor, bytes, bytes.count) == bytes.count else { throw .system(path, "cannot write") }
}

import Foundation

/// The calls of the system in what runs on a loop, as the sources make them, beside those that Reactor's page answers for.
enum LoopCalls {
    /// What a loop runs. In Fleet also threads do, which the page says of each.
    static let targets: Set<String> = [
        "Buffers", "Ciphers", "Fleet", "Logging", "Mux", "Reactor", "TLS", "Threads", "Tunnel",
    ]

    /// Functions of the C library that ask the kernel, or wait, under a name that is no system call's.
    private static let ofLibrary: Set<String> = [
        "arc4random", "closedir", "dlopen", "epoll_create1", "eventfd", "fclose", "fflush", "fgets", "fopen",
        "fputs", "fread", "fwrite", "getaddrinfo", "getgrgid_r", "getgrnam_r",
        "gethostbyname", "getnameinfo", "getpwnam_r", "getpwuid_r", "getservbyname", "getservbyname_r",
        "if_indextoname", "if_nametoindex", "lockf", "malloc_trim", "mkstemp", "opendir", "openlog", "popen",
        "posix_spawn", "pthread_cond_timedwait", "pthread_cond_wait", "pthread_create", "pthread_join",
        "pthread_mutex_lock", "raise", "readdir", "realpath", "recv", "recvmmsg", "sem_timedwait",
        "sem_wait", "send", "sendmmsg", "sigwait", "sleep", "syslog", "system", "tcdrain", "tmpfile",
        "usleep", "wait", "waitpid",
    ]

    /// The kernel's own list, from the header of its interface.
    static let ofKernel: Set<String> = {
        let folders = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
        let text = folders.compactMap { try? String(contentsOfFile: $0, encoding: .utf8) }.joined(
            separator: "\n")
        return Set(text.matches(of: /#define __NR3?2?_?([a-z]\w*)/).map { String($0.output.1) })
    }()

    /// Calls that never wait and tell nothing of the outside: they need no line.
    private static let free: Set<String> = ["exit", "getpid", "geteuid", "getuid"]

    static func calls(in file: TreeFile) -> Set<String> {
        let code = file.codeLines.joined(separator: "\n").replacing(/"(?:\\.|[^"\\\n])*"/, with: "\"\"")
        // A name that the file gives to something of its own is that one's, unless it says Glibc.
        let own = Set(code.matches(of: /(?:func|case) (\w+)/).map { String($0.output.1) })
        let all = ofKernel.union(ofLibrary).subtracting(free)
        var found: Set<String> = []
        // Unicode has no boundary at a point between letters.
        let call = /(?<before>func |\.|Glibc\.)?\b(?<name>[a-z]\w*)\((?<none>\)?)/.wordBoundaryKind(.simple)
        for match in code.matches(of: call) {
            let (before, name) = (match.output.before, String(match.output.name))
            // `stat()` makes an empty structure.
            if name == "stat", !match.output.none.isEmpty { continue }
            guard all.contains(name), before == "Glibc." || before == nil && !own.contains(name) else {
                continue
            }
            found.insert(name)
        }
        return found
    }

    /// Of a page's table under "Calls of the system": each call, and the files that it names for it.
    static func answered(in page: String) -> [String: Set<String>] {
        guard let start = page.range(of: "### Calls of the system") else { return [:] }
        var table: [String: Set<String>] = [:]
        let rows = page[start.upperBound...].split(separator: "\n").drop { !$0.hasPrefix("|-") }.dropFirst()
        for row in rows.prefix(while: { $0.hasPrefix("|") }) {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 3, !cells[2].isEmpty else { continue }
            for call in cells[0].components(separatedBy: ", ") {
                table[call, default: []].formUnion(cells[1].components(separatedBy: ", "))
            }
        }
        return table
    }

    /// A sentence for each call that the page does not answer for, and for each answer to a call that is not made.
    static func faults(in files: [TreeFile], page: String) -> [String] {
        let answered = answered(in: page)
        var made: [String: Set<String>] = [:]
        for file in files where targets.contains(file.target) {
            for call in calls(in: file) {
                made[call, default: []].insert(file.name.replacing(".swift", with: ""))
            }
        }
        let unanswered = made.flatMap { call, files in
            files.subtracting(answered[call] ?? []).map {
                "\($0) calls \(call): say in Reactor's page why a loop does not wait there, or that no loop calls it"
            }
        }
        let unmade = answered.flatMap { call, files in
            files.subtracting(made[call] ?? []).map {
                "Reactor's page answers for \(call) in \($0), which does not call it"
            }
        }
        return (unanswered + unmade).sorted()
    }
}

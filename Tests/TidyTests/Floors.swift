import Foundation

/// What each target may import, and why not more. A target sees lower floors only.
enum Floors {
    /// Parts of the toolchain that any target but Mux may use.
    private static let system: Set<String> = ["Glibc", "Synchronization"]

    static let allowed: [String: Set<String>] = [
        "CLinux": [], "COpenSSL": [], "CIPSecMB": [], "CSQLite": [],
        "Buffers": system, "Logging": system, "Flags": system, "Charts": system, "JSON": [],
        "CMicrohttpd": [], "CCurl": [], "HTTP": system.union(["CMicrohttpd", "CCurl"]),
        "Mux": [],
        "Threads": system.union(["CLinux"]),
        "Reactor": system.union(["CLinux", "Buffers", "Logging", "Threads"]),
        "Ciphers": system.union(["COpenSSL", "CIPSecMB"]),
        "TLS": system.union(["COpenSSL", "Buffers", "Ciphers"]),
        "SQLite": system.union(["CSQLite"]),
        "Digests": system.union(["COpenSSL"]),
        "Records": system.union([
            "FoundationEssentials", "SQLite", "Digests", "migrations", "Logging", "Threads", "CLinux",
        ]),
        "Tunnel": tunnel,
        "Control": control,
        "Fleet": fleet,
        "goproxy-server": fleet.union(["Flags", "Fleet"]),
        "Admin": fleet.union(["Flags", "Fleet"]),
        "goproxy-admin": system.union(["Admin", "Reactor"]),
        "goproxy-node": traffic.union(["Flags"]),
        // It makes a fleet's records, a long history by SQL of its own, and asks the control socket, as an operator's machine would.
        "goproxy-bench": traffic.union(["Charts", "Flags", "Fleet", "HTTP", "Records", "SQLite", "Threads"]),
    ]

    private static let tunnel = system.union([
        "CLinux", "FoundationEssentials", "Buffers", "JSON", "Logging", "Mux", "Reactor", "TLS",
    ])
    private static let control = system.union(["FoundationEssentials", "JSON", "Logging", "HTTP", "Records"])
    private static let traffic = tunnel.union(["Tunnel"])
    /// Where the two columns meet.
    private static let fleet = traffic.union(["Records", "HTTP", "Control", "Threads"])

    /// Why this import is not allowed.
    static func reason(_ target: String, imports module: String) -> String {
        switch (target, module) {
        case ("Mux", _):
            "Mux imports nothing: without socket, clock or randomness, its determinism is a fact of compilation"
        case (_, "Foundation"), (_, "FoundationNetworking"), (_, "FoundationInternationalization"):
            "FoundationEssentials (JSON, UUID, Date) is enough, from Tunnel upwards: the rest brings 40 MB of ICU"
        case (_, "FoundationEssentials"):
            "floors 0 to 2 are the data path: no Foundation types below Tunnel"
        case (_, "Dispatch"):
            "one event loop a thread does the work; queues would bring threads that own nothing"
        case (_, "COpenSSL"):
            "OpenSSL is spoken to in TLS and Digests alone, where its traps are written down"
        case (_, "CMicrohttpd"), (_, "CCurl"):
            "these libraries are spoken to in HTTP alone, where their callbacks and limits are"
        case ("goproxy-node", "SQLite"), ("goproxy-node", "HTTP"), ("goproxy-node", "Fleet"):
            "the node runs on small machines, with no database, no HTTP and nothing of the server's own"
        case (_, "CSQLite"):
            "SQLite is spoken to in SQLite alone, where its traps are written down"
        case ("Records", "Reactor"), ("Records", "Mux"), ("Records", "TLS"), ("Records", "Tunnel"):
            "records and traffic are two columns: they meet in the server"
        case (_, "Flags"):
            "flags belong to programs; libraries take values"
        case (_, "Admin"):
            "Admin is the admin program as a library"
        case (_, "Fleet"):
            "Fleet is the server's own"
        case (_, "Testing"), (_, "XCTest"):
            "tests are not shipped"
        default:
            allowed[target] == nil
                ? "\(target) is on no floor yet: give it a line in Tests/TidyTests/Floors.swift"
                : "a target imports lower floors only, and of those what its line in Floors.swift names"
        }
    }

    /// One sentence for each import that the table does not allow.
    static func violations(in files: [TreeFile]) -> [String] {
        files.flatMap { file in
            imports(of: file).filter { allowed[file.target]?.contains($0) != true }.map {
                "\(file.path): imports \($0): \(reason(file.target, imports: $0))"
            }
        }
    }

    static func imports(of file: TreeFile) -> [String] {
        let kind = "struct|class|enum|protocol|func|var|let|typealias|actor"
        let pattern = #"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:\w+\s+)?import\s+(?:(?:\#(kind))\s+)?(\w+)"#
        guard let regex = try? NSRegularExpression(pattern: pattern) else { return ["a broken pattern"] }
        return file.codeLines.flatMap { $0.split(separator: ";") }.compactMap { part in
            let line = String(part)
            let match = regex.firstMatch(in: line, range: NSRange(line.startIndex..., in: line))
            return match.flatMap { Range($0.range(at: 1), in: line) }.map { String(line[$0]) }
        }
    }

    /// The standard library itself, always imported, has clocks and randomness; the pure machine must not reach for them.
    static func impurities(in files: [TreeFile]) -> [String] {
        let pattern =
            #"\.random\(|\.randomElement|\.shuffle|RandomNumberGenerator|ContinuousClock|SuspendingClock|\bTask\b"#
        return files.filter { $0.target == "Mux" }.flatMap { file in
            file.codeLines.filter { $0.range(of: pattern, options: .regularExpression) != nil }.map {
                "\(file.path): \($0.trimmingCharacters(in: .whitespaces)): Mux has no clock, randomness or tasks"
            }
        }
    }

    /// Each target of Package.swift with all that it links, directly or not.
    static func linked(by manifest: String) -> [String: Set<String>] {
        var direct: [String: Set<String>] = [:]
        let flat = manifest.replacingOccurrences(of: "\n", with: " ")
        let pattern = #"(?:library|program)\(\s*"([^"]+)"(?:,\s*\[([^\]]*)\])?"#
        guard let regex = try? NSRegularExpression(pattern: pattern) else { return [:] }
        for match in regex.matches(in: flat, range: NSRange(flat.startIndex..., in: flat)) {
            guard let name = Range(match.range(at: 1), in: flat) else { continue }
            let list = Range(match.range(at: 2), in: flat).map { flat[$0] } ?? ""
            direct[String(flat[name])] = Set(
                list.split(separator: "\"").map(String.init).filter { $0.first?.isLetter == true })
        }
        return direct.mapValues { first in
            var reached = first
            while true {
                let next = reached.union(reached.flatMap { direct[$0] ?? [] })
                if next == reached { return reached }
                reached = next
            }
        }
    }
}

import Testing

struct FloorTests {
    @Test func `every target imports only what its floor allows`() {
        let files = PackageTree.files(under: "Sources", endingIn: ".swift")
        #expect(files.count > 10)
        for violation in Floors.violations(in: files) { Issue.record("\(violation)") }
    }

    @Test func `the multiplexer reaches for no clock and no randomness`() {
        for impurity in Floors.impurities(in: PackageTree.files(under: "Sources/Mux", endingIn: ".swift")) {
            Issue.record("\(impurity)")
        }
    }

    @Test func `the node links neither the database nor HTTP nor the server's own`() throws {
        let linked = Floors.linked(by: try #require(PackageTree.file("Package.swift")).text)
        let node = try #require(linked["goproxy-node"])
        #expect(node.isSuperset(of: ["Tunnel", "Mux"]), "the manifest was read")
        for module in [
            "SQLite", "HTTP", "Fleet", "CSQLite", "CMicrohttpd", "Records", "Control", "migrations",
        ] {
            #expect(!node.contains(module), "\(Floors.reason("goproxy-node", imports: module))")
        }
    }

    /// `swift build` builds every target that is no test target, and with --static-swift-stdlib, as README has it, there is no Testing.
    @Test func `what a plain build builds of the tests' helpers does without Testing`() throws {
        let manifest = try #require(PackageTree.file("Package.swift")).text
        let folders = manifest.components(separatedBy: "path: \"Tests/").dropFirst().compactMap {
            $0.split(separator: "\"").first.map { "Tests/\($0)" }
        }
        #expect(folders.contains("Tests/Support") && folders.contains("Tests/Simulation"))
        var guarded = 0
        for file in folders.flatMap({ PackageTree.files(under: $0, endingIn: ".swift") })
        where Floors.imports(of: file).contains("Testing") {
            let before = file.text.components(separatedBy: "import Testing")[0]
            #expect(before.contains("#if canImport(Testing)\n") && !before.contains("#endif"), "\(file.path)")
            guarded += 1
        }
        #expect(guarded > 0, "the files were read")
    }

    @Test(arguments: [
        ("Mux", "import Glibc", "Mux imports nothing"),
        ("Mux", "internal import struct Synchronization.Mutex", "Mux imports nothing"),
        ("Reactor", "import FoundationEssentials", "data path"),
        ("TLS", "@preconcurrency import Foundation", "FoundationEssentials"),
        ("Tunnel", "import Foundation", "FoundationEssentials"),
        ("Tunnel", "import COpenSSL", "traps"),
        ("Tunnel", "import Flags", "programs"),
        ("Tunnel", "import Fleet", "server's own"),
        ("Reactor", "import Glibc; import TLS", "lower floors"),
        ("goproxy-node", "import SQLite", "small machines"),
        ("goproxy-node", "@_implementationOnly import Fleet", "small machines"),
        ("Fleet", "import Dispatch", "threads"),
        ("Records", "import Tunnel", "two columns"),
        ("Records", "import CSQLite", "traps"),
        ("Unheard", "import SQLite", "on no floor yet"),
    ])
    func `a planted import is found, with its reason`(target: String, line: String, reason: String) {
        let file = TreeFile(path: "Sources/\(target)/Planted.swift", text: "// About it.\n\(line)\n")
        let violations = Floors.violations(in: [file])
        #expect(violations.count == 1)
        #expect(violations.first?.contains(reason) == true)
    }

    @Test func `allowed imports and words in comments are no violation`() {
        let text =
            "// import Foundation\nimport Glibc\nimport struct Logging.Line // import SQLite\nlet important = 1\n"
        #expect(Floors.violations(in: [TreeFile(path: "Sources/Reactor/A.swift", text: text)]).isEmpty)
    }

    @Test(arguments: ["let a = Int.random(in: 0..<3)", "let now = ContinuousClock().now", "Task { }"])
    func `a planted impurity is found`(line: String) {
        #expect(Floors.impurities(in: [TreeFile(path: "Sources/Mux/A.swift", text: line)]).count == 1)
    }

    @Test func `what a target links is followed through others`() {
        let linked = Floors.linked(
            by: """
                library("SQLite"), library("Store", ["SQLite"]),
                library("Tunnel", [
                    "Store",
                ]), program("goproxy-node", ["Tunnel"]),
                """)
        #expect(linked["goproxy-node"] == ["Tunnel", "Store", "SQLite"])
    }
}

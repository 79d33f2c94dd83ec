import Foundation
import Testing

struct TidinessTests {
    private var sources: [TreeFile] { PackageTree.files(under: "Sources") }
    private var allText: [TreeFile] {
        ["Sources", "Tests", "deploy", "migrations", ".ci"].flatMap { PackageTree.files(under: $0) }
    }

    private func planted(_ text: String, at path: String = "Sources/Mux/Planted.swift") -> [TreeFile] {
        [TreeFile(path: path, text: text)]
    }

    @Test func `the package depends on no other package`() throws {
        let manifest = try #require(PackageTree.file("Package.swift"))
        #expect(Tidiness.packageLines(in: manifest).isEmpty)
        let fault = planted("    dependencies: [.package(url: \"https://example.com/x\", from: \"1.0.0\")],")
        #expect(Tidiness.packageLines(in: fault[0]).count == 1)
        #expect(Tidiness.packageLines(in: planted("// no .package( line")[0]).isEmpty)
    }

    @Test func `the visible top level is what the design says`() {
        #expect(PackageTree.paths.contains("Package.swift"))
        #expect(Tidiness.strangers(atTopLevel: PackageTree.paths) == [])
        let fault = ["Package.swift", ".ci/run", "Sources/A/a.swift", "notes.txt", "scripts/x"]
        #expect(Tidiness.strangers(atTopLevel: fault).count == 2)
    }

    @Test func `places that the compiler does not check are few and proven`() {
        let places = Tidiness.uncheckedPlaces(in: sources.filter { $0.name.hasSuffix(".swift") })
        #expect(places.count <= Tidiness.uncheckedLimit, "\(places.map(\.place))")
        for place in places where !place.isProven {
            Issue.record("\(place.place): no comment above it says \"Proof:\", why this cannot race")
        }
    }

    @Test func `a planted unchecked place is found, and its proof is looked for right above it`() {
        let proven =
            "// Proof: only one thread\n// ever sees it.\n@frozen\nfinal class A: @unchecked Sendable {}"
        #expect(Tidiness.uncheckedPlaces(in: planted(proven)).map(\.isProven) == [true])
        let far = "// Proof: of something else\nlet a = 1\nnonisolated(unsafe) var b = 1"
        #expect(Tidiness.uncheckedPlaces(in: planted(far)).map(\.isProven) == [false])
        #expect(Tidiness.uncheckedPlaces(in: planted("// not @unchecked Sendable")).isEmpty)
    }

    @Test func `every folder of Sources has its page`() {
        for folder in Tidiness.foldersWithoutPage(among: sources) { Issue.record("\(folder)") }
        let folder = "Sources/Records"
        #expect(Tidiness.foldersWithoutPage(among: planted("let a = 1", at: "\(folder)/A.swift")).count == 1)
        #expect(Tidiness.foldersWithoutPage(among: planted("// Records", at: "\(folder)/A.swift")).count == 1)
        let page = "// Records: what operators and nodes did, kept for years.\n"
        #expect(Tidiness.foldersWithoutPage(among: planted(page, at: "\(folder)/A.swift")) == [])
    }

    @Test func `nothing is left unfinished`() {
        for mark in Tidiness.unfinishedMarks(in: allText) { Issue.record("\(mark)") }
        let mark = "TO" + "DO"
        #expect(Tidiness.unfinishedMarks(in: planted("let a = 1 // \(mark): later")).count == 1)
        #expect(Tidiness.unfinishedMarks(in: planted("let \(mark)S = 1")).isEmpty)
    }

    @Test func `tests run in release mode, where nothing is testable by attribute`() {
        // Optimised as shipped, a module keeps its internals to itself; what tests hold is `package`.
        let attribute = "@" + "testable"
        let files = PackageTree.files(under: "Tests", endingIn: ".swift").filter {
            $0.text.contains(attribute)
        }
        #expect(files.map(\.path) == [])
    }

    @Test func `files are short enough to be read from the top`() {
        let lengths = Tidiness.lengths(of: allText)
        for (path, lines) in lengths where lines > 250 { print("long file: \(lines) lines: \(path)") }
        for (path, lines) in lengths where lines > Tidiness.longestFile {
            Issue.record("\(path): has \(lines) lines: split it, at most \(Tidiness.longestFile)")
        }
        let fault = planted(String(repeating: "\n", count: Tidiness.longestFile + 1))
        #expect(Tidiness.lengths(of: fault).first?.lines == 401)
    }

    @Test func `the format is four spaces and 110 columns`() throws {
        let text = try #require(PackageTree.file(".swift-format")).text
        #expect(text.contains(#""lineLength": 110"#))
        #expect(text.contains(#""spaces": 4"#))
    }

    @Test func `scripts can be run and bash reads them`() throws {
        let scripts = ["deploy", ".ci"].flatMap { PackageTree.files(under: $0) }.filter {
            $0.text.hasPrefix("#!")
        }
        #expect(Set(scripts.map(\.path)).isSuperset(of: ["deploy/up", "deploy/test", ".ci/run"]))
        for script in scripts {
            let file = PackageTree.root.appending(path: script.path).path
            #expect(FileManager.default.isExecutableFile(atPath: file), "\(script.path): chmod +x")
            guard script.lines[0].contains("bash") else { continue }
            #expect(script.text.contains("set -euo pipefail"), "\(script.path): goes on after a failure")
            let check = PackageTree.run("bash", "-n", file)
            #expect(check.status == 0, "\(script.path): \(check.output)")
        }
    }

    @Test func `a script that bash cannot read is found`() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "tidy-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try "if true; then\n".write(to: file, atomically: true, encoding: .utf8)
        #expect(PackageTree.run("bash", "-n", file.path).status != 0)
    }

    @Test func `a test that a page's table names is there`() throws {
        let page = try #require(PackageTree.file("Sources/Tunnel/Tunnel.docc/Tunnel.md"))
        let tests = PackageTree.files(under: "Tests", endingIn: "Tests.swift")
        let named = Tidiness.testsNamed(inTableOf: page.text)
        #expect(named.count > 12)
        for name in named where !tests.contains(where: { $0.text.contains("func `\(name)`") }) {
            Issue.record("Tunnel's page names a test that is not there: \(name)")
        }
        #expect(
            Tidiness.testsNamed(inTableOf: "| a | `no test` | `one`, `two` |\nbeside `none`") == [
                "one", "two",
            ])
    }
}

import Foundation
import Testing

/// No call on a loop may wait: whoever adds one says in Reactor's page why it cannot.
struct LoopCallTests {
    private static let page = PackageTree.file("Sources/Reactor/Reactor.docc/Reactor.md")?.text ?? ""

    @Test func `every call of the system on a loop is answered for, file by file`() {
        #expect(LoopCalls.ofKernel.isSuperset(of: ["connect", "fsync", "flock", "readv", "openat"]))
        let files = PackageTree.files(under: "Sources", endingIn: ".swift")
        for fault in LoopCalls.faults(in: files, page: Self.page) { Issue.record("\(fault)") }
    }

    @Test(arguments: [
        ("fsync(file)", ["fsync"]), ("Glibc.connect(probe, $0, $1)", ["connect"]),
        ("if getaddrinfo(name, nil, &hints, &found) == 0 {}", ["getaddrinfo"]),
        ("link.close(reason); say(\"read(1)\") // flock(file, 1)", []),
        ("func read() {}\nread()", []), ("func read() {}\nGlibc.read(file)", ["read"]),
    ])
    func `a planted call is found, and what only looks like one is not`(code: String, calls: [String]) {
        let file = TreeFile(path: "Sources/Tunnel/Planted.swift", text: code)
        #expect(LoopCalls.calls(in: file) == Set(calls))
        #expect(LoopCalls.faults(in: [file], page: "").count == calls.count)
    }

    @Test func `an answer for a call that nobody makes any more is found`() {
        let page = """
            ### Calls of the system

            | call | where | why |
            |---|---|---|
            | readv, poll | A, B | they do not block |
            """
        let files = ["A": "readv(x)\npoll(x)", "B": "readv(x)"].map {
            TreeFile(path: "Sources/Reactor/\($0.key).swift", text: $0.value)
        }
        #expect(
            LoopCalls.faults(in: files, page: page) == [
                "Reactor's page answers for poll in B, which does not call it"
            ])
    }
}

import Testing

struct DoorTests {
    @Test func `no form that traps stands at a door without its reason`() {
        let files = PackageTree.files(under: "Sources", endingIn: ".swift")
        #expect(Doors.files.allSatisfy { door in files.contains { $0.path.hasPrefix("Sources/" + door) } })
        for fault in Doors.faults(in: files) { Issue.record("\(fault)") }
    }

    @Test(arguments: [
        "let revision = Int64(message.revision)", "let a = Int(number)", "return UInt32(a + b)",
        "ids.map(UInt16.init)",
        "let a = b!", "names[0]!.count", "let a = try! read()", "let a = b as! Int", "precondition(a > 0)",
        "fatalError(\"no\")", "preconditionFailure()", "Dictionary(uniqueKeysWithValues: pairs)",
        "queue.removeFirst()",
        "list.removeLast(count)", "try JSONDecoder().decode(A.self, from: data)",
        "let a = String(detail.prefix(256))",
        "let a = String((detail ?? \"\").prefix(256))", "let a = b.unsafelyUnwrapped",
    ])
    func `a planted form is found`(line: String) {
        for path in [
            "Sources/Mux/Planted.swift", "Sources/Fleet/FleetState.swift", "Sources/SQLite/Row.swift",
        ] {
            let faults = Doors.faults(in: [TreeFile(path: path, text: "// Of it.\n\(line)\n")], reasons: [:])
            #expect(faults.count == 1 && faults.first?.hasPrefix("\(path):2: ") == true, "\(faults)")
        }
        #expect(Doors.faults(in: [TreeFile(path: "Sources/Charts/A.swift", text: line)], reasons: [:]) == [])
    }

    @Test(arguments: [
        "let a = Int64(exactly: b)", "let a = Int(clamping: b)", "UInt8(truncatingIfNeeded: a)",
        "UInt64(bitPattern: a)",
        "let a = UInt64(bytes.count)", "UInt8(0)", "guard let a = Int64(text), a > 0 else { return }",
        "if a != b {}",
        "let a = !isOver", "// Int(a) and b! in a comment", "queue.first.map { $0 }", "let a: Int64 = 5",
        "let a = String(text.utf8.prefix(5))", "flatMap(UInt32.init(exactly:))",
    ])
    func `what fails as a value, or cannot fail, is none`(line: String) {
        #expect(Doors.faults(in: [TreeFile(path: "Sources/Mux/A.swift", text: line)], reasons: [:]) == [])
    }

    @Test func `a reason is for one file, and goes with the line that needed it`() {
        let file = TreeFile(path: "Sources/Mux/A.swift", text: "let a = Int(b)\n")
        #expect(Doors.faults(in: [file], reasons: ["Mux/A.swift": [("Int(b)", "32 bits to 64")]]) == [])
        #expect(Doors.faults(in: [file], reasons: ["Mux/B.swift": [("Int(b)", "32 bits to 64")]]).count == 2)
        #expect(Doors.faults(in: [file], reasons: ["Mux/A.swift": [("Int(b)", "")]]).count == 2)
        #expect(Doors.faults(in: [], reasons: ["Mux/A.swift": [("Int(b)", "32 bits to 64")]]).count == 1)
    }
}

import Foundation

/// The files that a byte of a peer, a client, an operator, the database or a journal reaches first. A trap there ends the server for
/// everybody, so a form that traps for some value stands there only with the reason why it cannot have that value: conversions
/// that may fail are failable (`exactly:`), cut (`clamping:`) or of text; what comes behind has a type that says what was checked.
enum Doors {
    static let files: [String] = [
        "Mux/", "JSON/", "Fleet/", "Control/ControlService", "Control/Field", "Control/Route.",
        "Control/JSONText",
        "Control/Answers", "Control/HistoryAnswers", "HTTP/HTTPServer", "HTTP/PercentCoding", "HTTP/Places",
        "TLS/RecordInput", "TLS/RecordProtection", "TLS/TrafficKey", "TLS/TLSEngine", "TLS/KeyUpdateSchedule",
        "Tunnel/ControlMessage", "Tunnel/Hello", "Tunnel/Handshake", "Tunnel/MainLink", "Tunnel/Peer",
        "Tunnel/MappingText", "Tunnel/StrangersText", "Tunnel/LineBudget", "Tunnel/SubConnection",
        "Tunnel/Shares",
        "Reactor/Endpoint", "Reactor/SocketAddress", "Records/OpeningJournal+Reading", "Records/SlotFile",
        "Records/Recovery", "Records/EndReason", "Records/Timestamp", "Records/ParsedAddress",
        "Records/ClientPlace", "Records/ClientRange", "Records/Anchor", "Records/PruneNote", "Records/Reader",
        "Records/Connection", "Records/HistoryTotals", "Records/NodeRecord", "Records/MappingRecord",
        "SQLite/Row",
    ]

    private static let number = #"U?Int(?:8|16|32|64)?"#
    /// What is right by its form: a failable one whose result is bound, which the compiler checks.
    private static let bound = #"(?:guard|if|while|,)\s+let \w+ = \#(number)\("#
    private static let forms: [(what: String, pattern: String)] = [
        (
            "a conversion that traps where the number does not fit",
            #"(?<![\w.])\#(number)\((?!exactly:|clamping:|truncatingIfNeeded:|bitPattern:|bigEndian:|"#
                + #"littleEndian:|ascii:|(?:\w+\.)*count\)|\d+\))"#
        ),
        (
            "a conversion that traps where the number does not fit",
            #"(?<![\w.])\#(number)\.init\b(?!\((?:exactly|clamping|truncatingIfNeeded|bitPattern))"#
        ),
        ("a value that is taken to be there", #"[\w)\]]!(?![=\w"])|\btry!|\bas!|unsafelyUnwrapped"#),
        ("a condition that ends the program", #"\b(?:precondition|preconditionFailure|fatalError)\("#),
        ("keys that are taken to differ", #"uniqueKeysWithValues:"#),
        ("an element that is taken to be there", #"\b(?:removeFirst|removeLast)\("#),
        ("a decoder that hashes keys of any length", #"\bJSONDecoder\("#),
        (
            "text cut by characters, of which one may have any length",
            #"\bString\((?!.*(?:utf8|UTF8|unicodeScalars)).*\.prefix\("#
        ),
    ]

    /// One sentence for each line that has such a form and no reason, and for each reason that no line needs.
    static func faults(in files: [TreeFile], reasons: [String: [(code: String, why: String)]] = reasons)
        -> [String]
    {
        var faults: [String] = []
        var needed: Set<String> = []
        for file in files where Self.files.contains(where: { file.path.hasPrefix("Sources/" + $0) }) {
            let known = reasons[String(file.path.dropFirst("Sources/".count))] ?? []
            for (index, line) in file.codeLines.enumerated() {
                let rest = line.replacingOccurrences(of: bound, with: "", options: .regularExpression)
                guard
                    let form = forms.first(where: {
                        rest.range(of: $0.pattern, options: .regularExpression) != nil
                    })
                else { continue }
                let right = known.filter { rest.contains($0.code) && $0.why.count > 5 }
                needed.formUnion(right.map { file.path + $0.code })
                guard right.isEmpty else { continue }
                faults.append(
                    "\(file.path):\(index + 1): \(form.what): \(line.trimmingCharacters(in: .whitespaces)): make it "
                        + "failable, or give it its reason in Tests/TidyTests/DoorReasons.swift")
            }
        }
        for (path, list) in reasons.sorted(by: { $0.key < $1.key }) {
            for entry in list where !needed.contains("Sources/" + path + entry.code) {
                faults.append("Sources/\(path): a reason that no line needs: \(entry.code)")
            }
        }
        return faults
    }
}

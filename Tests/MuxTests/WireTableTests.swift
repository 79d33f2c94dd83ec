import Foundation
import Mux
import Testing

@Suite struct WireTableTests {
    @Test func `the table of Mux.docc and the code say the same`() throws {
        let table = try rows()
        #expect(table.count == FrameKind.allCases.count)
        for (row, kind) in zip(table, FrameKind.allCases) {
            #expect(row[0] == "\(kind)")
            #expect(row[1] == "\(kind.rawValue)")
            #expect(row[2] == "\(kind.scope)")
            let lengths = kind.payloadBytes
            let isOne = lengths.count == 1
            #expect(
                row[3] == (isOne ? "\(lengths.lowerBound)" : "\(lengths.lowerBound)...\(lengths.upperBound)"))
        }
    }

    @Test func `the fields of fixed payloads add up to their length`() throws {
        let sizes = ["u8": 1, "u16": 2, "u32": 4, "u64": 8, "16 bytes": 16]
        for row in try rows() {
            guard let length = Int(row[3]), length > 0 else { continue }
            // A remark in brackets may hold commas; a remark behind a semicolon is no field.
            let payload = row[4].replacing(#/\([^)]*\)/#, with: "").split(separator: ";")[0]
            let fields = payload.split(separator: ",").map { field in
                sizes.first { field.split(separator: " ").joined(separator: " ").contains($0.key) }?.value
                    ?? 0
            }
            #expect(fields.reduce(0, +) == length, "\(row[0])")
        }
    }

    private func rows() throws -> [[String]] {
        let here = URL(fileURLWithPath: #filePath)
        let file = here.appendingPathComponent("../../../Sources/Mux/Mux.docc/Mux.md").standardized
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix("| kind |") })
        return lines[(start + 2)...].prefix { $0.hasPrefix("|") }.map { line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }
}

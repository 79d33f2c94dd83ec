import Foundation

/// Rules about the text of the package; each returns a sentence for each fault.
enum Tidiness {
    /// A handful: each one is a place where the compiler no longer checks for data races.
    static let uncheckedLimit = 6
    /// Files have 50 to 250 lines; beyond 400 a file is no longer read from the top.
    static let longestFile = 400
    static let topLevel: Set<String> = [
        "Package.swift", "Sources", "Tests", "migrations", "deploy", "README.md",
    ]

    static func strangers(atTopLevel paths: [String]) -> [String] {
        let visible = Set(paths.compactMap { $0.split(separator: "/").first.map(String.init) }).filter {
            !$0.hasPrefix(".")
        }
        return visible.subtracting(topLevel).sorted().map { "\($0): does not belong to the top level" }
    }

    static func uncheckedPlaces(in files: [TreeFile]) -> [(place: String, isProven: Bool)] {
        files.flatMap { file in
            let lines = file.lines.map { $0.trimmingCharacters(in: .whitespaces) }
            let codeLines = file.codeLines
            let unchecked = codeLines.indices.filter {
                codeLines[$0].contains("@unchecked Sendable") || codeLines[$0].contains("nonisolated(unsafe)")
            }
            return unchecked.map { index in
                let above = lines[..<index].reversed().prefix { $0.hasPrefix("//") || $0.hasPrefix("@") }
                return (
                    place: "\(file.path):\(index + 1)", isProven: above.contains { $0.contains("Proof:") }
                )
            }
        }
    }

    /// A folder's page is its DocC article, or the comment that its main file begins with.
    static func foldersWithoutPage(among files: [TreeFile]) -> [String] {
        Dictionary(grouping: files.filter { !$0.target.isEmpty }, by: \.target).sorted { $0.key < $1.key }
            .compactMap {
                folder, files in
                let hasPage = files.contains { file in
                    switch file.name {
                    case "\(folder).md": file.path.contains("/\(folder).docc/") && file.text.count > 200
                    case "module.modulemap", "main.swift", "Main.swift": file.leadingComment.count > 40
                    default: file.leadingComment.count > 40 && file.leadingComment.hasPrefix(folder)
                    }
                }
                return hasPage ? nil : "Sources/\(folder): has no page: write \(folder).docc/\(folder).md"
            }
    }

    static func unfinishedMarks(in files: [TreeFile]) -> [String] {
        // Spelled apart, or this file would be its own fault.
        let pattern = #"\b("# + "TO" + "DO|FIX" + "ME" + #")\b"#
        return files.flatMap { file in
            file.lines.enumerated().filter {
                $0.element.range(of: pattern, options: .regularExpression) != nil
            }.map {
                "\(file.path):\($0.offset + 1): finish it or leave it out: \($0.element)"
            }
        }
    }

    static func lengths(of files: [TreeFile]) -> [(path: String, lines: Int)] {
        files.map { ($0.path, $0.text.count { $0 == "\n" || $0 == "\r\n" }) }.sorted { $0.1 > $1.1 }
    }

    static func packageLines(in manifest: TreeFile) -> [String] {
        manifest.codeLines.filter { $0.contains(".package(") }
    }

    /// What stands in the last cell of a table's rows, each between its marks.
    static func testsNamed(inTableOf page: String) -> [String] {
        page.split(separator: "\n").filter { $0.hasPrefix("|") }.flatMap { row in
            row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }.last { !$0.isEmpty }
                .map { $0.matches(of: /`([^`]+)`/).map { String($0.output.1) } } ?? []
        }
    }
}

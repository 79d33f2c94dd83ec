import Foundation

/// The files of this package as they stand in the working tree, found from where this file was compiled.
enum PackageTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Tracked files and new ones that are not ignored, as paths from the root.
    static let paths: [String] = {
        let list = run(
            "git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard")
        return list.output.split(separator: "\n").map(String.init).filter {
            FileManager.default.fileExists(atPath: root.appending(path: $0).path)
        }
    }()

    /// The text files below a folder.
    static func files(under folder: String, endingIn suffix: String = "") -> [TreeFile] {
        paths.filter { $0.hasPrefix(folder + "/") && $0.hasSuffix(suffix) }.compactMap(file)
    }

    static func file(_ path: String) -> TreeFile? {
        guard let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) else {
            return nil
        }
        return TreeFile(path: path, text: text)
    }

    /// Runs a program in the root of the package and waits for it.
    static func run(_ command: String...) -> (status: Int32, output: String) {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = root
        process.standardOutput = pipe
        process.standardError = pipe
        do { try process.run() } catch { return (-1, "\(command): \(error)") }
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}

/// One file and its text; the checks take these, so that a test can plant a fault without touching the tree.
struct TreeFile {
    let path: String
    let text: String

    var lines: [String] { text.components(separatedBy: "\n") }
    var name: String { String(path.split(separator: "/").last ?? "") }

    /// The folder of `Sources` that holds it: its target.
    var target: String {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : ""
    }

    /// The comment that the file begins with, without its marks.
    var leadingComment: String {
        lines.prefix { $0.hasPrefix("//") }.map { $0.drop { $0 == "/" || $0 == " " } }.joined(separator: " ")
    }

    /// The lines with comments blanked; a `//` inside a string (an address) does not begin one.
    var codeLines: [String] {
        lines.map { line in
            guard let mark = line.range(of: #"(^|\s)//.*"#, options: .regularExpression) else { return line }
            return String(line[..<mark.lowerBound])
        }
    }
}

import Foundation

/// A directory of its own for one test, gone with its owner.
package final class TemporaryDirectory: Sendable {
    package let path: String

    /// Short, because a unix socket's path may have 107 bytes.
    package init() throws {
        var template = Array("/tmp/goproxy-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp: \(String(cString: strerror(errno)))") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func file(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult
    package func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        let path = file(name)
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        guard chmod(path, mode) == 0 else { throw Failure("chmod \(path)") }
        return path
    }

    @discardableResult
    package func write(_ name: String, _ content: Content, count: Int) throws -> String {
        let path = file(name)
        guard let out = fopen(path, "w") else { throw Failure("cannot create \(path)") }
        defer { fclose(out) }
        content.forEachPiece(of: 0..<count) { _ = fwrite($0.baseAddress, 1, $0.count, out) }
        return path
    }

    /// Compares a file with the stream, byte for byte, and its length.
    package func check(_ name: String, is content: Content, count: Int) throws {
        guard let input = fopen(file(name), "r") else { throw Failure("no file \(name)") }
        defer { fclose(input) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var offset = 0
        while case let read = fread(buffer.baseAddress, 1, buffer.count, input), read > 0 {
            if let wrong = content.firstDifference(
                in: UnsafeRawBufferPointer(rebasing: buffer[..<read]), at: offset)
            {
                throw Failure("\(name): wrong byte at \(wrong)")
            }
            offset += read
        }
        guard offset == count else { throw Failure("\(name) has \(offset) bytes, \(count) were sent") }
    }
}

import Digests
import Foundation
import Records
import Testing

/// What becomes of the bytes of keys that are over.
@Suite(.serialized) struct SealKeyFileTests {
    let scratch = Scratch()

    private func seal(_ directory: String, times: Int) throws {
        for _ in 0..<times {
            let store = try Store.open(directory: directory, server: "1.0.0")
            let id = store.history.newConnectionID()
            let route = store.history.newRouteID()
            store.history.append([
                .route(.sample(route)), .opened(.sample(id, route: route)), .closed(.sample(id)),
            ])
            store.close()
        }
    }

    private func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(filePath: path)))
    }

    /// K_0, K_1, … as the page says that they come about.
    private func keys(_ verification: [UInt8], through last: Int) -> [[UInt8]] {
        (0..<last).reduce(into: [verification]) { keys, _ in
            keys.append(hmacSHA256(key: keys[keys.count - 1], Array("next".utf8)))
        }
    }

    private func has(_ key: [UInt8], _ content: [UInt8]) -> Bool {
        Data(content).range(of: Data(key)) != nil
    }

    private func written(_ step: SealKeySlots.Step, _ count: Int, on content: [UInt8]) -> [UInt8] {
        var content = content
        let end = step.offset + count
        if content.count < end { content += [UInt8](repeating: 0, count: end - content.count) }
        content.replaceSubrange(step.offset..<end, with: step.bytes[..<count])
        return content
    }

    /// The older form: the number and the key.
    private func old(_ number: UInt64, _ key: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) } + key
    }

    @Test(arguments: [false, true])
    func `cut anywhere, the key file has a whole key, and the next start leaves no other`(isOld: Bool) throws
    {
        let verification = (0..<32).map { _ in UInt8.random(in: 1...255) }
        let all = keys(verification, through: 12)
        var key = SealKey(verification: verification)
        key.evolve(to: 3)
        var content = isOld ? old(3, all[3]) : SealKeySlots([]).steps(to: key)[0].bytes
        var cuts = 0
        while key.number < 8 {
            let before = key
            // As a start that finds the seals ahead of its key.
            key.evolve(to: key.number + [1, 1, 2, 1, 1].randomElement()!)
            let steps = SealKeySlots(content).steps(to: key)
            #expect(steps.count == 2)
            for step in steps {
                for count in [0, 1, 7, 8, 16, 40, 47, 48, 79, 80, 511, 512, 4_095, step.bytes.count] {
                    let torn = written(step, count, on: content)
                    let found = try #require(
                        SealKeySlots(torn).key, "\(count) bytes of a step at \(step.offset)")
                    #expect(found.number == before.number || found.number == key.number)
                    #expect(found.mac([1]) == (found.number == before.number ? before : key).mac([1]))
                    // What the next start does.
                    let mended = SealKeySlots(torn).steps(to: key).reduce(torn) {
                        written($1, $1.bytes.count, on: $0)
                    }
                    #expect(SealKeySlots(mended).key?.number == key.number)
                    #expect(SealKeySlots(mended).steps(to: key).isEmpty)
                    for (number, one) in all.enumerated() {
                        #expect(has(one, mended) == (number == Int(key.number)))
                    }
                    cuts += 1
                }
                content = written(step, step.bytes.count, on: content)
            }
            #expect(content.count == SealKeySlots.fileBytes)
        }
        #expect(cuts > 80)
    }

    @Test func `the key file is written where it lies, and holds the present key alone`() throws {
        try seal(scratch.directory, times: 1)
        let path = scratch.path(SealKey.nowName)
        let inode = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? UInt64
        let all = keys(try bytes(scratch.path(SealKey.verifyName)), through: 5)
        for number in 2..<6 {
            let content = try bytes(path)
            #expect(all.indices.filter { has(all[$0], content) } == [number])
            try seal(scratch.directory, times: 1)
        }
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? UInt64 == inode)
    }

    @Test func `a key file of an earlier program goes on in its place, and what it held is overwritten`()
        throws
    {
        try seal(scratch.directory, times: 2)
        let all = keys(try bytes(scratch.path(SealKey.verifyName)), through: 4)
        let path = scratch.path(SealKey.nowName)
        try FileManager.default.removeItem(atPath: path)
        // Of its second seal: the third is in the database.
        try Data(old(2, all[2])).write(to: URL(filePath: path))
        #expect(chmod(path, 0o600) == 0)
        // As that program left it where it was stopped.
        let half = scratch.path("\(SealKey.nowName).new")
        try Data(old(1, all[1])).write(to: URL(filePath: half))
        #expect(chmod(half, 0o600) == 0 && link(half, scratch.path("witness")) == 0)
        #expect(SealKey.next(in: scratch.directory) == 2)
        try seal(scratch.directory, times: 1)
        let content = try bytes(path)
        #expect(content.count == SealKeySlots.fileBytes && SealKey.next(in: scratch.directory) == 4)
        #expect(all.indices.filter { has(all[$0], content) } == [4])
        #expect(!FileManager.default.fileExists(atPath: half))
        #expect(try bytes(scratch.path("witness")) == [UInt8](repeating: 0, count: 40))
        var verifier = ChainVerifier(path: scratch.path(Store.fileName))
        verifier.keys = [all[0]]
        #expect(try verifier.run().fault == nil)
    }

    @Test(.enabled(if: DiskImage.isPossible, "needs to be root, mkfs.ext4, and to be let mount"))
    func `erased keys are not on the disk`() throws {
        let image = try DiskImage()
        let seals = 13
        try seal(image.folder, times: seals)
        let verification = try bytes("\(image.folder)/\(SealKey.verifyName)")
        try SecretFile.shred("\(image.folder)/\(SealKey.verifyName)", in: image.folder)
        let raw = try image.content()
        let all = keys(verification, through: seals + 1)
        #expect(all.indices.filter { has(all[$0], raw) } == [seals + 1], "the present key, and no other")
    }
}

/// An ext4 in a file, mounted while this is there.
private final class DiskImage {
    private let scratch = Scratch()
    private let file: String
    let folder: String

    static let isPossible: Bool = (try? DiskImage()) != nil

    init() throws {
        file = scratch.path("image")
        folder = scratch.path("mounted")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(count: 48 << 20).write(to: URL(filePath: file))
        try Self.run("/usr/sbin/mkfs.ext4", "-q", "-F", file)
        try Self.run("/usr/bin/mount", "-o", "loop", file, folder)
        guard chmod(folder, 0o700) == 0 else { throw POSIXError(.EPERM) }
    }

    deinit { try? Self.run("/usr/bin/umount", "-l", folder) }

    /// As the disk has it.
    func content() throws -> [UInt8] {
        try Self.run("/usr/bin/umount", folder)
        return [UInt8](try Data(contentsOf: URL(filePath: file)))
    }

    private static func run(_ words: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: words[0])
        process.arguments = Array(words.dropFirst())
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw POSIXError(.EPERM) }
    }
}

import Digests

/// The content of `seal-now.key`: two slots of a disk's block each, of which one holds the key and the other zeros. A new key
/// is written over the zeros, and when it is on disk the one before is overwritten where it lies. A value: what is to be
/// written when, without the file.
///
/// A slot: "gpxseal2", the number (8 bytes, big-endian), the key (32 bytes), SHA-256 of all that, zeros.
///
///     key, zeros ─write, sync─► key, next key ─zeros, sync─► zeros, next key
///
/// Cut anywhere, there is one whole key at least: the higher number counts. Programs before this one had the number and the
/// key alone, 40 bytes; they lie where the first slot is, and are overwritten there.
package struct SealKeySlots {
    package static let slotBytes = 4_096
    package static let fileBytes = 2 * slotBytes
    /// A file may end within a slot only where the power was cut when it got its size.
    static let oldBytes = 8 + SealKey.bytes
    private static let magic = Array("gpxseal2".utf8)
    private static let emptySlot = [UInt8](repeating: 0, count: slotBytes)

    /// One write at a place, which has to be on disk before the next begins.
    package struct Step: Equatable {
        package let offset: Int
        package let bytes: [UInt8]
    }

    private let content: [UInt8]
    /// Where the key lies; nil: there is none, or it is of an earlier program.
    private let slot: Int?
    /// Nil: the content is no key file.
    package let key: SealKey?

    package init(_ content: [UInt8]) {
        self.content = content
        let found = [0, 1].map { Self.key(in: content, slot: $0) }
        if let first = found[0], first.number >= found[1]?.number ?? .min {
            (slot, key) = (0, first)
        } else if let second = found[1] {
            (slot, key) = (1, second)
        } else {
            (slot, key) = (nil, Self.oldKey(content))
        }
    }

    /// What makes `next` the key and leaves no other; without a file, all of it. Nothing when that is how it is.
    package func steps(to next: SealKey) -> [Step] {
        guard let key else { return [Step(offset: 0, bytes: Self.bytes(next) + Self.emptySlot)] }
        let isThere = slot != nil && key.number == next.number
        // Of an earlier program it lies where the first slot is.
        let place = isThere ? slot ?? 0 : 1 - (slot ?? 0)
        var steps: [Step] = []
        if !isThere { steps.append(Step(offset: place * Self.slotBytes, bytes: Self.bytes(next))) }
        let other = 1 - place
        if other == slot || !isEmpty(other) {
            steps.append(Step(offset: other * Self.slotBytes, bytes: Self.emptySlot))
        }
        return steps
    }

    private func isEmpty(_ slot: Int) -> Bool {
        let bytes = content.dropFirst(slot * Self.slotBytes).prefix(Self.slotBytes)
        return bytes.count == Self.slotBytes && bytes.allSatisfy { $0 == 0 }
    }

    private static func bytes(_ key: SealKey) -> [UInt8] {
        let text = magic + key.fileBytes
        return text + SHA256.digest(text)
            + [UInt8](repeating: 0, count: slotBytes - text.count - SHA256.bytes)
    }

    private static func key(in content: [UInt8], slot: Int) -> SealKey? {
        let bytes = Array(content.dropFirst(slot * slotBytes).prefix(slotBytes))
        let end = magic.count + oldBytes
        guard bytes.count >= end + SHA256.bytes, bytes.starts(with: magic),
            SHA256.digest(Array(bytes[..<end])) == Array(bytes[end..<end + SHA256.bytes])
        else { return nil }
        return key(bytes[magic.count..<end])
    }

    /// Also where its slots were being made when the power was cut: then nothing but zeros follows it in its slot.
    private static func oldKey(_ content: [UInt8]) -> SealKey? {
        guard content.count >= oldBytes, !content.starts(with: magic),
            content[oldBytes..<min(content.count, slotBytes)].allSatisfy({ $0 == 0 }),
            let key = key(content[..<oldBytes]), key.number > 0
        else { return nil }
        return key
    }

    private static func key(_ bytes: ArraySlice<UInt8>) -> SealKey? {
        let number = bytes.prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        return Int64(exactly: number).map { SealKey(number: $0, key: Array(bytes.dropFirst(8))) }
    }
}

import Support

/// The first record that a TLS 1.3 client with a PSK sends, and where its credential stands in it (RFC 8446, 4.2.11).
struct ClientHello {
    private(set) var bytes: [UInt8]
    let identity: Range<Int>
    let binder: Range<Int>

    init(_ recorded: [UInt8]) throws {
        var reader = Reader(bytes: recorded)
        guard try reader.byte() == 22 else { throw Failure("not a handshake record") }
        try reader.skip(2)
        let recordEnd = 5 + (try reader.word())
        guard recorded.count >= recordEnd, try reader.byte() == 1 else { throw Failure("not a ClientHello") }
        try reader.skip(3 + 2 + 32)
        try reader.skip(Int(try reader.byte()))
        try reader.skip(try reader.word())
        try reader.skip(Int(try reader.byte()))
        let end = try reader.word() + reader.position
        var found: (identity: Range<Int>, binder: Range<Int>)?
        while reader.position < end {
            let type = try reader.word()
            let length = try reader.word()
            let start = reader.position
            if type == 41 {
                try reader.skip(2)
                let identity = try reader.word()
                let identityStart = reader.position
                try reader.skip(identity + 4 + 2)
                let binder = Int(try reader.byte())
                found = (
                    identityStart..<identityStart + identity, reader.position..<reader.position + binder
                )
            }
            reader.position = start + length
        }
        guard let found else { throw Failure("the ClientHello offers no PSK") }
        (identity, binder) = found
        bytes = Array(recorded[..<recordEnd])
    }

    func flipping(_ index: Int) -> [UInt8] {
        var changed = bytes
        changed[index] ^= 1
        return changed
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func byte() throws -> UInt8 {
            guard position < bytes.count else { throw Failure("the ClientHello is cut short") }
            defer { position += 1 }
            return bytes[position]
        }

        mutating func word() throws -> Int { Int(try byte()) << 8 | Int(try byte()) }

        mutating func skip(_ count: Int) throws { position += count }
    }
}

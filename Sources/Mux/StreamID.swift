/// Which end of the link this is. The end that dialled and the end that accepted differ in nothing else.
package enum Role: UInt32, Sendable {
    case dialer = 0
    case accepter = 1

    package var other: Role { self == .dialer ? .accepter : .dialer }
}

/// Names one stream on a link: who opened it (1 bit), the slot's generation (15 bits), the slot (16 bits).
package struct StreamID: Equatable, Hashable, Sendable {
    package let rawValue: UInt32

    /// The link itself. Generations begin at 1, so no stream has this id.
    package static let link = StreamID(rawValue: 0)

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    init(opener: Role, slot: Int, generation: UInt16) {
        rawValue = opener.rawValue << 31 | UInt32(generation & 0x7fff) << 16 | UInt32(slot)
    }

    package var opener: Role { Role(rawValue: rawValue >> 31)! }
    package var slot: Int { Int(rawValue & 0xffff) }
    var generation: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 16) & 0x7fff }

}

/// The numbers that an operator or a test may change. Times are nanoseconds.
package struct TunnelSettings: Sendable {
    /// Streams that each end may have open on a link.
    package var maximumStreams = 8_192
    package var maximumMappings = 256
    /// For a forward address: its name and all addresses of it together.
    package var dialTimeout: UInt64 = 10_000_000_000
    /// For the server: the same, and the handshake once more.
    package var connectTimeout: UInt64 = 10_000_000_000
    /// For TLS and HELLO together; longer is only of use to somebody who holds connections open.
    package var handshakeTimeout: UInt64 = 5_000_000_000
    /// Silence after which an end gives the link up. A connection without a tunnel outlives a phone's way from one cell to the next and a
    /// router that starts again, so a link does.
    package var deadAfter: UInt64 = 120_000_000_000
    /// Silence after which an end asks for a sign of life.
    package var pingAfter: UInt64 { min(30_000_000_000, deadAfter / 3 * 2) }
    /// How often the kernel asks whether the machine of a client or of a target is still there, and how long it is quiet before; 0: never.
    package var keepAliveSeconds = 15
    /// How much later if the question has not even been acknowledged, and the path worked meanwhile.
    package var pathPatience: UInt64 = 15_000_000_000
    /// How much later than the server a node asks. More than the second by which a question may be late, and its way.
    package var pingPatience: UInt64 = 3_000_000_000
    /// A sub-connection with one direction ended and nothing moving in the other.
    package var halfClosedIdle: UInt64 = 12 * 3_600 * 1_000_000_000
    /// A sub-connection of a link that is over, which only writes what had come, and whose socket takes nothing.
    package var lingerIdle: UInt64 = 60 * 1_000_000_000
    /// A line per sub-connection.
    package var isVerbose = false
    /// Ciphertext that may wait for the link before sub-connections are read no more. More would only make a keystroke
    /// wait behind a backup; less makes short writes.
    package var linkQueueBytes = 256 << 10

    package init() {}
}

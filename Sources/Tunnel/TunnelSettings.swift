/// The numbers that an operator or a test may change. Times are nanoseconds.
package struct TunnelSettings: Sendable {
    /// Streams that each end may have open on a link.
    package var maximumStreams = 16_384
    package var maximumMappings = 256
    /// For a forward address and for the server: all addresses of a name together.
    package var connectTimeout: UInt64 = 10_000_000_000
    /// For TLS and HELLO together; longer is only of use to somebody who holds connections open.
    package var handshakeTimeout: UInt64 = 5_000_000_000
    /// Silence after which an end asks for a sign of life, and after which it gives the link up.
    package var pingAfter: UInt64 = 30_000_000_000
    package var deadAfter: UInt64 = 45_000_000_000
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

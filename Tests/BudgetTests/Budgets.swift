import Support

/// What a MiB and a short connection may cost in the release build, at each program.
///
/// A MiB is 64 full frames, so whatever is done once for each of them adds 64: a bound stands below the least that was measured and
/// 64, and above the most that was measured, with room for turns that carry little on a busy machine. Behind each: what was measured.
struct Budget {
    let allocations: Double
    /// OpenSSL's and SQLite's.
    let libraries: Double
    let retains: Double
    /// System calls that do something, and those that wait or wake.
    let calls: Double
    let waits: Double

    /// Of the program that reads from a socket and seals.
    static let sealedMebibyte = Budget(
        allocations: 8,  // 0.0
        libraries: 8,  // 0.0
        retains: 140,  // 80 to 94 with full turns: a dozen for each turn
        calls: 60,  // 20 to 24
        waits: 40)  // 4 to 10

    /// Of the program that opens what comes and writes to a socket.
    static let openedMebibyte = Budget(
        allocations: 8,  // 0.0 to 0.1
        libraries: 8,  // 0.0
        retains: 115,  // 43 to 106
        calls: 60,  // 13 to 30
        waits: 40)  // 4 to 10

    static let serverConnection = Budget(
        allocations: 12,  // 7.3 and 8.3
        libraries: 45,  // 27 to 29: SQLite's
        retains: 190,  // 126 and 136
        calls: 37,  // 21 and 26
        waits: 30)  // 9 to 12

    static let nodeConnection = Budget(
        allocations: 6,  // 2.0: the sub-connection and its socket
        libraries: 8,  // 0.0
        retains: 105,  // 72 and 73
        calls: 25,  // 11 to 16
        waits: 20)  // 3 to 6

    /// The data goes from the end that listens, or to it; a program that seals one way opens the other.
    static func mebibyte(of program: Program, in pair: TunnelPair, _ kind: Kind, _ way: SteadyLoad.Way)
        -> Budget
    {
        (program === pair.listening(kind)) == (way == .up) ? sealedMebibyte : openedMebibyte
    }
}

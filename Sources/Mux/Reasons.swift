/// Why a sub-connection ended. The words are what logs and history show; the numbers are the wire's.
package enum CloseReason: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    case clientEOF = 1
    case targetEOF = 2
    case clientReset = 3
    case targetReset = 4
    case targetRefused = 5
    case targetTimeout = 6
    case targetUnreachable = 7
    case notAllowed = 8
    case idle = 9
    case limit = 10
    case revoked = 11
    case mappingRemoved = 12
    case linkLost = 13
    case serverStop = 14
    case nodeStop = 15
    case killed = 16
    case nodeAway = 17
    /// The server could not write that it was opened.
    case notRecorded = 18
    /// The mapping leads to its own listener. Said only to an end that knows it.
    case loop = 19

    /// What happened to the socket itself, behind all that it had said; the others are somebody's decision, and take effect at once.
    package var isSaidBySocket: Bool { self == .clientReset || self == .targetReset }

    package var description: String {
        switch self {
        case .clientEOF: "client-eof"
        case .targetEOF: "target-eof"
        case .clientReset: "client-reset"
        case .targetReset: "target-reset"
        case .targetRefused: "target-refused"
        case .targetTimeout: "target-timeout"
        case .targetUnreachable: "target-unreachable"
        case .notAllowed: "not-allowed"
        case .idle: "idle"
        case .limit: "limit"
        case .revoked: "revoked"
        case .mappingRemoved: "mapping-removed"
        case .linkLost: "link-lost"
        case .serverStop: "server-stop"
        case .nodeStop: "node-stop"
        case .killed: "killed"
        case .nodeAway: "node-away"
        case .notRecorded: "not-recorded"
        case .loop: "loop"
        }
    }
}

/// Why an end stops using a link.
package enum GoAwayReason: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    /// The program stops; come back after the time given.
    case stopping = 1
    /// A newer session of the same node has taken over.
    case replaced = 2
    /// The node's credential is not valid any more.
    case revoked = 3
    /// The other end broke the protocol.
    case violation = 4

    package var description: String {
        switch self {
        case .stopping: "stopping"
        case .replaced: "replaced"
        case .revoked: "revoked"
        case .violation: "violation"
        }
    }
}

/// What the other end did that no correct end does. Each ends the link; none may trap.
package enum Violation: Error, CaseIterable, Sendable, CustomStringConvertible {
    case truncatedFrame
    case unknownKind
    case unknownFlags
    case wrongLength
    case wrongScope
    case unexpectedHello
    case slotBeyondTable
    case slotInUse
    case wrongGeneration
    case wrongOpener
    case badWindow
    case badAddress
    case neverOpened
    case openedTwice
    case tallyTwice
    case beyondStreamCredit
    case beyondLinkCredit
    case afterFin
    case countsDiffer
    case creditOverflow
    case unknownReason
    case unexpectedPong
    case controlTooLarge
    case flood
    case lateFlood
    case openAfterGoAway
    /// The payload of CONTROL was not what this end accepts. Found by the owner, not by the multiplexer.
    case badControl
    /// OPEN named a mapping that this end never had. Found by the owner.
    case unknownMapping
    /// A report answered a revision that this end never sent, or one before the last answered. Found by the owner.
    case falseRevision

    package var description: String {
        switch self {
        case .truncatedFrame: "a frame was cut off by its record's end"
        case .unknownKind: "a frame of unknown kind"
        case .unknownFlags: "a frame with unknown flags"
        case .wrongLength: "a frame of a length that its kind does not have"
        case .wrongScope: "a stream's frame on the link, or the link's on a stream"
        case .unexpectedHello: "HELLO after the handshake"
        case .slotBeyondTable: "OPEN left slots out, or went beyond the stream limit"
        case .slotInUse: "OPEN of a slot in use"
        case .wrongGeneration: "OPEN with a generation out of turn"
        case .wrongOpener: "OPEN or OPENED from the wrong end"
        case .badWindow: "a first window out of range"
        case .badAddress: "a client address of unknown family"
        case .neverOpened: "a frame for a stream that was never opened"
        case .openedTwice: "OPENED twice"
        case .tallyTwice: "more TALLYs than streams"
        case .beyondStreamCredit: "DATA beyond the stream's credit"
        case .beyondLinkCredit: "DATA beyond the link's credit"
        case .afterFin: "a frame after FIN"
        case .countsDiffer: "a final count that differs from the bytes received"
        case .creditOverflow: "WINDOW of 0 or above the cap"
        case .unknownReason: "a reason of unknown number"
        case .unexpectedPong: "PONG without its PING"
        case .controlTooLarge: "a control message larger than any of its kind"
        case .flood: "too many pings or control messages"
        case .lateFlood: "too many frames for closed streams"
        case .openAfterGoAway: "OPEN after GOAWAY"
        case .badControl: "a control message that is not understood or not permitted"
        case .unknownMapping: "OPEN of a mapping that this end does not have"
        case .falseRevision: "a report of a revision that was never sent, or older than the last answered"
        }
    }
}

import Foundation
import Support

/// What one client and one target say to each other, decided by a seed: how much each sends, and who ends first.
///
/// The client writes it down in 40 bytes at the start, so that one target serves them all.
struct Conversation: Sendable, CustomStringConvertible {
    enum Order: UInt64, CaseIterable, Sendable {
        /// The client ends its direction; only then the target sends, and ends.
        case clientFirst
        /// The target ends its direction; only then the client sends, and ends.
        case targetFirst
        /// Both send at once, each ends when it is through.
        case together
        /// The client ends; the target has sent nearly all by then and ends long after.
        case targetLongAfter
        case clientLongAfter
    }

    let number: Int
    let up: Int
    let down: Int
    let order: Order

    /// Sizes of all magnitudes, 0 and 1 among them.
    init(number: Int, random: inout SeededRandom, order: Order, limit: Int = 3_000_000) {
        self.number = number
        self.order = order
        up = Self.size(&random, limit)
        down = Self.size(&random, limit)
    }

    init(number: Int, up: Int, down: Int, order: Order) {
        (self.number, self.up, self.down, self.order) = (number, up, down, order)
    }

    private static func size(_ random: inout SeededRandom, _ limit: Int) -> Int {
        let magnitude = Int.random(in: 0...5, using: &random)
        return Int.random(
            in: 0...min(limit, [0, 1, 1_000, 20_000, 300_000, limit][magnitude]), using: &random)
    }

    var description: String { "conversation \(number) (\(order), up \(up), down \(down))" }

    private var upward: Content { Content(seed: UInt64(number) * 2) }
    private var downward: Content { Content(seed: UInt64(number) * 2 + 1) }
    /// What the side that ends long after keeps for then.
    private static let rest = 100

    // MARK: The two sides

    /// A target for any number of conversations. A late side waits for `release`.
    static func target(release: Locked<Bool>) throws -> TargetServer {
        try TargetServer(limit: .seconds(60)) { socket in
            let words = try socket.receive(exactly: 40).withUnsafeBytes {
                Array($0.bindMemory(to: UInt64.self))
            }
            guard words[0] == magic, let order = Order(rawValue: words[4]) else {
                throw Failure("a wrong greeting")
            }
            let conversation = Conversation(
                number: Int(words[1]), up: Int(words[2]), down: Int(words[3]), order: order)
            try conversation.named {
                try conversation.speak(socket, isClient: false, release)
            }
        }
    }

    func hold(_ socket: Socket, release: Locked<Bool>) throws {
        try named {
            let words = [Self.magic, UInt64(number), UInt64(up), UInt64(down), order.rawValue]
            try words.withUnsafeBytes { try socket.send($0) }
            try speak(socket, isClient: true, release)
        }
    }

    private static let magic: UInt64 = 0x676f_7072_6f78_7921

    private enum Part { case first, second, together, late }

    private func speak(_ socket: Socket, isClient: Bool, _ release: Locked<Bool>) throws {
        let (outgoing, incoming) = isClient ? (upward, downward) : (downward, upward)
        let (sends, receives) = isClient ? (up, down) : (down, up)
        let part: Part =
            switch order {
            case .clientFirst: isClient ? .first : .second
            case .targetFirst: isClient ? .second : .first
            case .together: .together
            case .targetLongAfter: isClient ? .together : .late
            case .clientLongAfter: isClient ? .late : .together
            }
        switch part {
        case .first:
            try socket.send(outgoing, 0..<sends)
            try socket.shutdownWriting()
            try socket.receiveToEnd(incoming, 0..<receives)
        case .second:
            try socket.receiveToEnd(incoming, 0..<receives)
            try socket.send(outgoing, 0..<sends)
            try socket.shutdownWriting()
        case .together, .late:
            let writer = Worker {
                let early = part == .late ? max(0, sends - Self.rest) : sends
                try socket.send(outgoing, 0..<early)
                if part == .late {
                    _ = try eventually("the release", within: .seconds(60)) { release.get() ? true : nil }
                    try socket.send(outgoing, early..<sends)
                }
                try socket.shutdownWriting()
            }
            try socket.receiveToEnd(incoming, 0..<receives)
            try writer.value(within: .seconds(90))
        }
    }

    private func named(_ body: () throws -> Void) throws {
        do { try body() } catch { throw Failure("\(self): \(error)") }
    }
}

/// The seed of this run: `GOPROXY_SEED` replays one.
let runSeed: UInt64 =
    ProcessInfo.processInfo.environment["GOPROXY_SEED"].flatMap { UInt64($0) }
    ?? UInt64.random(in: 0..<1_000_000_000)

import Foundation
import Support
import Synchronization

/// What a client knows of a connection that is over.
struct Call: Sendable, CustomStringConvertible {
    enum End: String, Sendable {
        /// Everything came back, and the other end's end.
        case orderly
        /// By the client.
        case reset
        /// By the other side.
        case broken
    }

    /// 127.x.y.z, this connection's alone: by it the history's row is found.
    let address: UInt32
    let kind: Kind
    /// At most so many bytes went out; exactly so many came back, of which `latest` are of the piece that came back last,
    /// whole or not.
    var sent = 0
    var received = 0
    var latest = 0
    var end = End.broken
    /// Of the callers, when it was over.
    var era = 0
    /// What should never happen, such as a wrong byte.
    var fault: String?

    var description: String {
        "\(kind) from \(text(address)): sent \(sent), received \(received), latest \(latest), \(end), era \(era)"
    }
}

private func text(_ address: UInt32) -> String {
    [24, 16, 8, 0].map { "\(address >> $0 & 255)" }.joined(separator: ".")
}

/// Clients that come and go, a few at a time: short and long connections, each from an address of its own. A client sends
/// the next piece when the last has come back, so there is at most one under way in each direction. The first four bytes
/// are the client's address, which `target` notes.
final class Callers: Sendable {
    private struct State: Sendable {
        var era = 0
        var calls: [Call] = []
        var isStopping = false
        var returned = 0
        var refused = 0
    }

    private let state = Locked(State())
    private let workers: [Worker<Void>]

    /// No two connections of a test run have one address.
    private static let addresses = Atomic<UInt32>(127 << 24 | 64 << 16)

    /// `areBrief`: a few hundred bytes each, and no more.
    init(
        _ count: Int, at entrances: [(kind: Kind, endpoint: Endpoint)], areBrief: Bool = false, seed: UInt64
    ) {
        let state = state
        workers = (0..<count).map { number in
            Worker {
                var random = SeededRandom(seed: seed &+ UInt64(number))
                while !state.with({ $0.isStopping }) {
                    guard let (kind, entrance) = entrances.randomElement(using: &random) else { return }
                    let address = Self.addresses.add(1, ordering: .relaxed).newValue
                    var call = Call(address: address, kind: kind)
                    guard
                        let socket = try? Socket.connect(
                            to: entrance, from: .tcp("\(text(address)):0"), limit: .seconds(20))
                    else {
                        state.with { $0.refused += 1 }
                        usleep(UInt32.random(in: 2_000..<20_000, using: &random))
                        continue
                    }
                    Self.talk(socket, &call, state, areBrief, &random)
                    // Whoever is turned away comes back, but not at once.
                    if call.received == 0, call.end == .broken {
                        usleep(UInt32.random(in: 2_000..<20_000, using: &random))
                    }
                    let done = call
                    state.with { state in
                        var call = done
                        call.era = state.era
                        state.calls.append(call)
                    }
                }
            }
        }
    }

    private static func talk(
        _ socket: Socket, _ call: inout Call, _ state: Locked<State>, _ areBrief: Bool,
        _ random: inout SeededRandom
    ) {
        let isShort = areBrief || Int.random(in: 0..<3, using: &random) > 0
        let pieces = isShort ? 1 : Int.random(in: 2...200, using: &random)
        let largest = isShort ? 300 : Int.random(in: 8...20_000, using: &random)
        let end = Int.random(in: 0..<10, using: &random)
        do {
            for number in 0..<pieces where !state.with({ $0.isStopping }) {
                var bytes = (0..<4).map { UInt8(truncatingIfNeeded: call.address >> (24 - 8 * UInt32($0))) }
                let count = Int.random(in: 4...largest, using: &random)
                bytes += repeatElement(UInt8(truncatingIfNeeded: number), count: count - 4)
                call.sent += count
                try socket.send(bytes)
                if end == 0, number == pieces - 1 { break }
                while !bytes.isEmpty {
                    let more = try socket.receive(upTo: bytes.count)
                    guard !more.isEmpty else { return }
                    if !bytes.starts(with: more) { call.fault = "another echo" }
                    bytes.removeFirst(more.count)
                    call.received += more.count
                    call.latest = count - bytes.count
                    state.with { $0.returned += more.count }
                }
            }
            if end < 2 {
                call.end = .reset
                return socket.reset()
            }
            try socket.shutdownWriting()
            if try socket.receiveToEnd().isEmpty {
                call.end = .orderly
            } else {
                call.fault = "a byte too many"
            }
        } catch SocketError.timedOut {
            call.fault = "hung"
        } catch {
            // Broken, as it says already.
        }
    }

    // MARK: What the test sees

    /// The first four bytes of each connection, and an echo.
    static func target(noting heard: Locked<Set<UInt32>>) throws -> TargetServer {
        try TargetServer(limit: .seconds(60)) { socket in
            var first: [UInt8] = []
            while let bytes = try? socket.receive(), !bytes.isEmpty {
                if first.count < 4 {
                    first += bytes.prefix(4 - first.count)
                    let address = first.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
                    if first.count == 4 { heard.with { _ = $0.insert(address) } }
                }
                guard (try? socket.send(bytes)) != nil else { return }
            }
        }
    }

    /// Bytes that have come back, of all connections.
    var bytes: Int { state.with { $0.returned } }
    /// Clients that could not connect at all.
    var refusals: Int { state.with { $0.refused } }
    /// Connections that are over and not taken yet.
    var ended: Int { state.with { $0.calls.count } }

    var era: Int { state.with { $0.era } }

    /// What is over by now was served before the new era.
    func nextEra() { state.with { $0.era += 1 } }

    /// Those that were over before this era.
    func take(before era: Int = .max) -> [Call] {
        state.with { state in
            let taken = state.calls.filter { $0.era < era }
            state.calls.removeAll { $0.era < era }
            return taken
        }
    }

    /// Waits until bytes come back, `count` more than now.
    func requireProgress(_ count: Int = 1, within limit: Duration = .seconds(10)) throws {
        let start = bytes
        _ = try eventually("bytes come back", within: limit) { bytes >= start + count ? true : nil }
    }

    func stop() throws {
        state.with { $0.isStopping = true }
        for worker in workers { try worker.value(within: .seconds(30)) }
    }
}

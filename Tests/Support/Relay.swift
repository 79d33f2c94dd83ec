import Foundation

/// A man in the middle of TCP: forwards both ways, records, and does harm on request.
package final class Relay: Sendable {
    package let endpoint: Endpoint
    private let server: TargetServer
    private let shared: Locked<State>

    package enum Direction: Sendable { case toTarget, toClient }

    private struct State: Sendable {
        var recorded: [Direction: [UInt8]] = [.toTarget: [], .toClient: []]
        var flips: Set<Direction> = []
        var frozen = false
        var pairs: [[Socket]] = []
    }

    /// Keeps the first 64 KiB of each direction of all connections together.
    package init(to target: Endpoint) throws {
        let shared = Locked(State())
        self.shared = shared
        server = try TargetServer(limit: .seconds(600)) { client in
            let far = try Socket.connect(to: target, limit: .seconds(600))
            shared.with { $0.pairs.append([client, far]) }
            let back = Worker { Relay.pump(from: far, to: client, .toClient, shared) }
            Relay.pump(from: client, to: far, .toTarget, shared)
            try back.value(within: .seconds(600))
        }
        endpoint = server.endpoint
    }

    deinit {
        thaw()
        cut()
    }

    package var connections: Int { shared.get().pairs.count }

    package func recorded(_ direction: Direction) -> [UInt8] { shared.get().recorded[direction] ?? [] }

    /// Flips one bit of the next piece that goes this way.
    package func flip(_ direction: Direction) { shared.with { _ = $0.flips.insert(direction) } }

    /// Takes nothing and gives nothing from now on: what a pulled cable looks like.
    package func freeze() { shared.with { $0.frozen = true } }

    package func thaw() { shared.with { $0.frozen = false } }

    /// Ends all connections on both sides.
    package func cut() {
        let pairs = shared.with { state in
            defer { state.pairs = [] }
            return state.pairs
        }
        for socket in pairs.joined() {
            socket.abandon()
        }
    }

    private static func pump(
        from near: Socket, to far: Socket, _ direction: Direction, _ shared: Locked<State>
    ) {
        while var bytes = try? near.receive(), !bytes.isEmpty {
            while shared.get().frozen { usleep(5_000) }
            let flip = shared.with { state in
                let room = 65_536 - (state.recorded[direction]?.count ?? 0)
                state.recorded[direction]?.append(contentsOf: bytes.prefix(max(0, room)))
                return state.flips.remove(direction) != nil
            }
            if flip { bytes[bytes.count / 2] ^= 1 }
            if (try? far.send(bytes)) == nil { break }
        }
        try? far.shutdownWriting()
    }
}

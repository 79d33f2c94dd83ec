import Foundation
import Support
import Synchronization

/// Bytes that flow through a tunnel until the load is let go of, on a number of connections, one way.
final class SteadyLoad {
    enum Way: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        /// From the client to the target.
        case up
        case down
    }

    let pair: TunnelPair
    private let received: Count
    private let target: TargetServer
    private let clients: [Socket]

    private final class Count: Sendable {
        let bytes = Atomic<Int>(0)
    }

    init(_ kind: Kind, _ way: Way, connections: Int, environment: [String: String] = [:]) throws {
        let received = Count()
        target = try TargetServer { way == .up ? Self.take($0, received) : Self.give($0) }
        let pair = try TunnelPair([(kind, Mapping(forward: target.endpoint))]) {
            $0.environment = environment
        }
        clients = try pair.explained { try (0..<connections).map { _ in try pair.connect() } }
        for client in clients {
            Thread.detachNewThread { way == .up ? Self.give(client) : Self.take(client, received) }
        }
        (self.pair, self.received) = (pair, received)
    }

    deinit { for client in clients { client.abandon() } }

    var mebibytes: Double { Double(received.bytes.load(ordering: .relaxed)) / 1_048_576 }

    /// Until so much has arrived; answers how much it was.
    func wait(for amount: Double) throws -> Double {
        try eventually("\(Int(amount)) MiB arrive", within: .seconds(60), evidence: { "\(self.mebibytes)" }) {
            let now = mebibytes
            return now >= amount ? now : nil
        }
    }

    /// Both end when the connection does, which the test decides.
    private static func give(_ socket: Socket) {
        let bytes = [UInt8](repeating: 7, count: 262_144)
        while (try? socket.send(bytes)) != nil {}
    }

    private static func take(_ socket: Socket, _ received: Count) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 262_144, alignment: 16)
        defer { buffer.deallocate() }
        while let count = try? socket.receive(into: buffer), count > 0 {
            received.bytes.add(count, ordering: .relaxed)
        }
    }
}

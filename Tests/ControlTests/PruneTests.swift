import Control
import Foundation
import Records
import Testing

struct PruneTests {
    /// What the answer has, and no more.
    private struct Answer: Decodable {
        let more: Bool
        let opened: Int64
    }

    @Test func `a pruning ends with the service, and says that there is more`() throws {
        let fixture = try ControlFixture()
        let store = fixture.store
        let at = Timestamp(microseconds: 1_787_000_000_000_000)
        let route = store.history.newRouteID()
        let id = store.history.newConnectionID()
        store.history.append([
            .route(
                ConnectionRoute(
                    id: route, nodeID: "5f0c2b1a-0102-0304-0506-0708090a0b0c", node: "edge",
                    identity: [UInt8](repeating: 7, count: 16), mapping: 1, kind: .listener, mappingName: nil,
                    listen: "tcp 0.0.0.0:1", target: "tcp 127.0.0.1:2")),
            .opened(
                Opened(
                    id: id, route: route, at: at, monotonicMicroseconds: 0,
                    client: ClientPlace(ipv4: 1, port: 2))),
            .closed(
                Closed(
                    connection: id, at: at, durationMicroseconds: 0, up: 0, down: 0, reason: .clientEOF)),
        ])
        // A clean stop seals.
        store.close()
        let again = try Store.open(directory: fixture.directory)
        defer { again.close() }
        let service = ControlService(
            store: again, fleet: fixture.fleet, credentials: CountingMaker(), serverVersion: "9.9.9")
        let body = Array(#"{"before":"2026-09-30T00:00:00Z"}"#.utf8)
        func prune(_ service: ControlService) throws -> Answer {
            let response = service.handle(
                "POST", ["v1", "history", "prune"], body: body, actor: ControlFixture.actor)
            #expect(response.status == 200)
            return try JSONDecoder().decode(Answer.self, from: Data(response.body))
        }
        service.stop()
        let stopped = try prune(service)
        #expect(stopped.more && stopped.opened == 0)
        let next = ControlService(
            store: again, fleet: fixture.fleet, credentials: CountingMaker(), serverVersion: "9.9.9")
        let whole = try prune(next)
        #expect(!whole.more && whole.opened == 1)
    }
}

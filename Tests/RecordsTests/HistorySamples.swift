import Foundation
import Records
import Synchronization
import Testing

/// What a log tells, kept for a test to wait on.
final class Outcomes: Sendable {
    private let told = Mutex<[HistoryOutcome]>([])
    private let bell = DispatchSemaphore(value: 0)

    init(_ log: HistoryLog) {
        log.onOutcome = { [self] outcome in
            told.withLock { $0.append(outcome) }
            bell.signal()
        }
    }

    var all: [HistoryOutcome] { told.withLock { $0 } }

    /// At most 30 seconds.
    @discardableResult
    func wait(
        _ location: SourceLocation = #_sourceLocation, until isThere: (HistoryOutcome) -> Bool
    ) -> Bool {
        let end = DispatchTime.now() + 30
        while !all.contains(where: isThere) {
            guard bell.wait(timeout: end) == .success else {
                Issue.record("not told in 30 seconds: \(all)", sourceLocation: location)
                return false
            }
        }
        return true
    }

    func waitForDurable(_ ticket: UInt64, _ location: SourceLocation = #_sourceLocation) {
        wait(location) { if case .durable(let through) = $0 { through >= ticket } else { false } }
    }

    func waitForFailed(_ ticket: UInt64, _ location: SourceLocation = #_sourceLocation) {
        wait(location) { if case .failed(let through, _) = $0 { through >= ticket } else { false } }
    }

    var healings: Int { all.count { if case .healed = $0 { true } else { false } } }

    /// The one with that number, from 1.
    func waitForHealing(_ number: Int, _ location: SourceLocation = #_sourceLocation) {
        wait(location) { _ in healings >= number }
    }

    func waitForHealed(_ location: SourceLocation = #_sourceLocation) {
        wait(location) { if case .healed = $0 { true } else { false } }
    }
}

extension ConnectionRoute {
    static func sample(_ id: Int64, node: String = "edge-07") -> ConnectionRoute {
        ConnectionRoute(
            id: id, nodeID: "5f0c2b1a-0102-0304-0506-0708090a0b0c", node: node,
            identity: [UInt8](repeating: 7, count: 16), mapping: 14, kind: .listener, mappingName: "rdp",
            listen: "tcp 0.0.0.0:13389", target: "tcp 127.0.0.1:3389")
    }
}

extension Opened {
    static func sample(
        _ id: Int64, route: Int64, at: Timestamp = .now,
        client: ClientPlace = ClientPlace(ipv4: 0xcb00_7109, port: 51_514)
    ) -> Opened {
        Opened(id: id, route: route, at: at, monotonicMicroseconds: 1_000_000, client: client)
    }
}

extension Closed {
    static func sample(
        _ connection: Int64, nodeUp: Int64? = nil, nodeDown: Int64? = nil, reason: EndReason = .clientEOF
    ) -> Closed {
        Closed(
            connection: connection, at: .now, durationMicroseconds: 5_000, up: 10, down: 20, nodeUp: nodeUp,
            nodeDown: nodeDown, reason: reason)
    }
}

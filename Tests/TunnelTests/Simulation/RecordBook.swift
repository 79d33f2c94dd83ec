import Mux
import Simulation
import Tunnel

/// The server's records in the simulation: some become durable at once, most later, a few never.
final class RecordBook: SubConnectionRecorder {
    /// By the number of the call, which the client's address holds.
    private(set) var records: [Int: Record] = [:]
    private(set) var refused: Set<Int> = []
    private unowned(unsafe) let simulation: TunnelSimulation

    final class Record: SubConnectionRecord {
        weak var connection: SubConnection?
        let totals = UnsafeMutablePointer<UInt64>.allocate(capacity: 3)
        fileprivate(set) var isDurable = false
        fileprivate(set) var isRefused = false
        fileprivate(set) var counts: ByteCounts?
        fileprivate(set) var other: ByteCounts?
        fileprivate(set) var reason: CloseReason?
        fileprivate(set) var isSettled = false
        private var endedAt: UInt64 = 0
        fileprivate(set) var isGivenUp = false
        private unowned(unsafe) let book: RecordBook

        init(_ book: RecordBook) {
            self.book = book
            totals.initialize(repeating: 0, count: 3)
        }

        deinit { totals.deallocate() }

        func ended(_ reason: CloseReason, counts: ByteCounts) {
            if self.reason != nil { book.simulation.fault("a record ended twice") }
            if counts != ByteCounts(up: totals[0], down: totals[1]) {
                book.simulation.fault("the running totals differ from the last counts: \(counts)")
            }
            if !isDurable, counts != ByteCounts(up: 0, down: 0) {
                book.simulation.fault("bytes passed before the record was durable")
            }
            self.reason = reason
            self.counts = counts
            endedAt = book.simulation.world.clock
        }

        func settled(other: ByteCounts?) {
            if reason == nil || isSettled { book.simulation.fault("a record was settled out of turn") }
            isSettled = true
            self.other = other
            // The other end may have written to a slow socket for longer than anybody waits.
            isGivenUp = other == nil && book.simulation.world.clock - endedAt >= 5_000_000_000
        }
    }

    init(_ simulation: TunnelSimulation) {
        self.simulation = simulation
    }

    func opening(mapping: UInt32, client: ClientAddress, of peer: Peer) -> (any SubConnectionRecord)? {
        let number = Int(client.high >> 32) - 0x0a09_0000
        guard simulation.calls.indices.contains(number), records[number] == nil else {
            simulation.fault("a record of nobody: \(number)")
            return nil
        }
        let call = simulation.calls[number]
        if simulation.moods.unrecorded, simulation.random.oneIn(16) {
            call.disturb("cannot be recorded")
            refused.insert(number)
            return nil
        }
        let record = Record(self)
        records[number] = record
        if simulation.random.oneIn(8) {
            record.isDurable = true
            return record
        }
        let fails = simulation.moods.unrecorded && simulation.random.oneIn(8)
        if fails { call.disturb("could not be recorded") }
        simulation.world.after(UInt64(simulation.random.size(bits: 26))) { [weak record] in
            guard let record else { return }
            if fails {
                record.isRefused = true
                record.connection?.abort(.notRecorded)
            } else {
                record.isDurable = true
                record.connection?.recorded()
            }
        }
        return record
    }

    func refused(_ cause: RefusalCause, _ count: Int, mapping: UInt32, of peer: Peer) {}

    /// Somebody received a byte of this call.
    func judgeByte(of call: Call) {
        guard let record = records[call.number] else { return simulation.fault("a byte without a record") }
        if !record.isDurable { simulation.fault("a byte before the record was durable: call \(call.number)") }
    }

    /// At the very end.
    func judgeAll() throws {
        for (number, record) in records.sorted(by: { $0.key < $1.key }) where !record.isSettled {
            throw SimulationFailure("the record of call \(number) has no end")
        }
    }

    /// What must be on record of a call that nothing disturbed, once it is over.
    func judge(_ call: Call) throws {
        guard call.client.target.manner.isOrderly, call.newTarget?.manner.isOrderly ?? true else { return }
        guard let record = records[call.number] else {
            throw simulation.failure("without a record", call)
        }
        guard let reason = record.reason, let counts = record.counts else {
            throw simulation.failure("its record has no end", call)
        }
        guard record.isSettled else { throw simulation.failure("its record is not settled", call) }
        guard reason == .clientEOF || reason == .targetEOF, call.client.isOrderly,
            call.targetActor?.isOrderly ?? true
        else { return }
        let (up, down) = (UInt64(call.client.sent), UInt64(call.client.received))
        guard counts == ByteCounts(up: up, down: down) else {
            throw simulation.failure("\(counts) on record", call)
        }
        // Its last word may have waited for a link that was taken over.
        guard record.other == counts || record.isGivenUp || call.link?.isDoomed == true else {
            throw simulation.failure("\(counts) here, \(String(describing: record.other)) there", call)
        }
    }
}

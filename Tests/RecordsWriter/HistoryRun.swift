import Glibc
import Records
import Synchronization

/// Opens, moves and closes connections as a server does, until it is killed. It prints what it may rely on: `opened ID` and
/// `closed ID` when that is durable, `moved ID UP` after UP was stored in the slot (down is three times as much).
func runHistory(_ directory: String) throws -> Never {
    struct Live {
        let id: Int64
        let slot: ConnectionSlots.Slot
        var up: UInt64 = 0
    }
    let store = try Store.open(directory: directory, server: "crash")
    guard let slots = store.takeSlots() else { exit(1) }
    let log = store.history
    let recorded = Atomic<UInt64>(0)
    let durable = Atomic<UInt64>(0)
    log.onOutcome = { outcome in
        switch outcome {
        case .recorded(let through): recorded.store(through, ordering: .releasing)
        case .durable(let through): durable.store(through, ordering: .releasing)
        case .failed, .healed: exit(1)
        }
    }
    let route = log.newRouteID()
    log.append([
        .route(
            ConnectionRoute(
                id: route, nodeID: "n", node: "crash", identity: [1], mapping: 1, kind: .listener,
                mappingName: nil,
                listen: "tcp :1", target: "tcp :2"))
    ])
    var live: [Live] = []
    var opening: [(ticket: UInt64, id: Int64)] = []
    var closing: [(ticket: UInt64, connection: Live)] = []
    var turn = 0
    while true {
        turn += 1
        let now = Monotonic.nanoseconds
        var lines = ""
        let through = durable.load(ordering: .acquiring)
        let openedThrough = max(through, recorded.load(ordering: .acquiring))
        while let first = opening.first, first.ticket <= openedThrough {
            lines += "opened \(opening.removeFirst().id)\n"
        }
        while let first = closing.first, first.ticket <= through {
            slots.free(closing.removeFirst().connection.slot)
            lines += "closed \(first.connection.id)\n"
        }
        if live.count < 100, opening.count < 200 {
            let id = log.newConnectionID()
            let slot = try slots.take(id: id, at: .now, monotonicNanoseconds: now)
            live.append(Live(id: id, slot: slot))
            let opened = Opened(
                id: id, route: route, at: .now, monotonicMicroseconds: Int64(now / 1_000),
                client: ClientPlace(ipv4: 0x7f00_0001, port: 1))
            opening.append((log.append([.opened(opened)]), id))
        }
        let place = turn % live.count
        live[place].up += 1_000
        live[place].slot.counts[0] = live[place].up
        live[place].slot.counts[1] = 3 * live[place].up
        live[place].slot.counts[2] = now
        lines += "moved \(live[place].id) \(live[place].up)\n"
        // Its opening has long been asked for: the log keeps the order.
        if turn % 3 == 0, live.count > 50 {
            let ended = live.remove(at: place)
            slots.close(ended.slot, reason: .clientEOF, monotonicNanoseconds: now)
            let closed = Closed(
                connection: ended.id, at: .now, durationMicroseconds: 1, up: Int64(ended.up),
                down: 3 * Int64(ended.up), reason: .clientEOF)
            closing.append((log.append([.closed(closed)]), ended))
        }
        slots.heartbeat(at: .now, monotonicNanoseconds: now)
        say(lines, to: STDOUT_FILENO)
    }
}

private enum Monotonic {
    static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

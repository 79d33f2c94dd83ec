// BulkLoad: any number of transfers in one direction, their clients on one thread.
import Glibc
import Synchronization

/// Transfers that run until `finish`. Their origin's ends are in the origin's process.
final class BulkLoad: Sendable {
    private final class Counter: Sendable {
        let bytes = Atomic<Int>(0)
    }

    struct Wish {
        let connections: Int
        let way: Way
        /// Where the clients connect, in turn.
        let ports: [UInt16]
        var stallsAfter = 0

        init(_ connections: Int, _ way: Way, to ports: [UInt16], stallsAfter: Int = 0) {
            self.connections = connections
            self.way = way
            self.ports = ports
            self.stallsAfter = stallsAfter
        }

        /// What the system lets so many sockets grow to would be more memory than it gives to all.
        var socketBuffers: Int { connections >= 500 ? 32_768 : 0 }
    }

    let wish: Wish
    private let origin: Origin
    private let counters: [Counter]
    private let isStopping = Atomic<Bool>(false)
    private let isResumed = Atomic<Bool>(false)
    private let hasEnded = Atomic<Bool>(false)
    private let failure = Mutex<BenchError?>(nil)

    /// Connects all clients and returns when each of their transfers has begun to arrive. The slots of the origin are
    /// this load's, so one load runs at a time; `beside` is one that runs already and keeps its slots, and `earlier` loads
    /// beside it have had theirs.
    static func start(
        _ wish: Wish, origin: Origin, beside other: BulkLoad? = nil, earlier: Int = 0
    ) throws(BenchError) -> BulkLoad {
        let load = BulkLoad(wish, origin, firstSlot: (other?.wish.connections ?? 0) + earlier)
        if other == nil { _ = try origin.ask(.prepare(count: wish.connections + Self.spareSlots)) }
        try WorkThread { load.run() }.detach()
        do {
            try Deadline(seconds: Double(Deadline.patienceSeconds + wish.connections / 200)).wait(
                "\(wish.connections) transfers \(wish.way.rawValue)", "not all of them began"
            ) { () throws(BenchError) in
                try load.throwFailure()
                return try load.arrived().bytes.allSatisfy { $0 > 0 }
            }
        } catch {
            load.abandon()
            throw error
        }
        return load
    }

    private static let spareSlots = 64
    private let firstSlot: Int

    private init(_ wish: Wish, _ origin: Origin, firstSlot: Int) {
        self.wish = wish
        self.origin = origin
        self.firstSlot = firstSlot
        counters = (0..<wish.connections).map { _ in Counter() }
    }

    private var slots: Range<Int> { firstSlot..<firstSlot + wish.connections }
    private var here: [Int] { counters.map { $0.bytes.load(ordering: .relaxed) } }

    /// Bytes that have arrived and were found right, by transfer, and when that was.
    func arrived() throws(BenchError) -> (nanoseconds: Int, bytes: [Int]) {
        if wish.way == .down { return (monotonicNanoseconds(), here) }
        let account = try origin.ask(.read)
        return (account.nanoseconds, Array(account.bytes[slots]))
    }

    /// Bytes on their way: sent, and held by somebody between the two ends.
    func underWay() throws(BenchError) -> Int {
        let there = try origin.ask(.read).bytes[slots].reduce(0, +)
        return (there - here.reduce(0, +)).magnitude.asInt
    }

    /// Transfers that have stopped receiving go on.
    func resume() throws(BenchError) {
        isResumed.store(true, ordering: .relaxed)
        _ = try origin.ask(.resume)
    }

    /// Ends the transfers, and those that were started beside them, and checks that every byte sent has arrived.
    func finish() throws(BenchError) {
        isStopping.store(true, ordering: .relaxed)
        if wish.way == .down { _ = try origin.ask(.stopSending(from: firstSlot)) }
        let patience = Double(Deadline.patienceSeconds + wish.connections / 200)
        do {
            try Deadline(seconds: patience).wait("transfers \(wish.way.rawValue)", "do not end") {
                () throws(BenchError) in
                try throwFailure()
                return hasEnded.load(ordering: .acquiring)
            }
        } catch {
            abandon()
            throw error
        }
        try throwFailure()
        let account = try origin.ask(.read)
        guard account.wrong == 0 else { throw broken("wrong content", "\(account.wrong) transfers") }
        guard account.broken == 0 else { throw broken("ended early", "\(account.broken) transfers") }
        let there = Array(account.bytes[slots])
        guard let index = there.indices.first(where: { there[$0] != here[$0] }) else { return }
        let (sent, got) =
            wish.way == .down ? (there[index], here[index]) : (here[index], there[index])
        throw broken("bytes lost", "\(got) arrived of \(sent)")
    }

    private func broken(_ failed: String, _ why: String) -> BenchError {
        BenchError(subject: "transfer \(wish.way.rawValue)", failed: failed, why: why)
    }

    private func throwFailure() throws(BenchError) {
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Lets the thread end without waiting for it.
    private func abandon() {
        failure.withLock { $0 = $0 ?? BenchError(subject: "load", failed: "given up", why: "") }
    }

    // MARK: The clients' thread

    private func run() {
        do throws(BenchError) {
            var clients = try BulkClients(wish, firstSlot: firstSlot)
            defer { clients.release() }
            while !clients.isDone, failure.withLock({ $0 }) == nil {
                try clients.turn(
                    isStopping: isStopping.load(ordering: .relaxed),
                    isResumed: isResumed.load(ordering: .relaxed)
                ) { index, bytes in counters[index].bytes.store(bytes, ordering: .relaxed) }
            }
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
        hasEnded.store(true, ordering: .releasing)
    }
}

extension UInt {
    fileprivate var asInt: Int { Int(clamping: self) }
}

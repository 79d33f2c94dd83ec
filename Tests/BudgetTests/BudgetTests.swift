import Foundation
import Support
import Testing

/// What the programs ask of the allocator, of the runtime and of the kernel while nothing changes but bytes.
@Suite(
    .serialized, .heavy, .enabled(if: Budget.isMeaningful, "a debug build retains and allocates as it likes"))
struct BudgetTests {
    @Test(arguments: Kind.allCases, SteadyLoad.Way.allCases)
    func `a MiB costs no allocation and no retain for each frame`(kind: Kind, way: SteadyLoad.Way) throws {
        for connections in [1, 8] {
            let counting = try Counting()
            let load = try SteadyLoad(
                kind, way, connections: connections, environment: counting.environment)
            let pair = load.pair
            try pair.explained {
                let start = try load.wait(for: 64)
                let before = try pair.programs.map { try counting.counts(of: $0) }
                let amount = try load.wait(for: start + 192) - start
                for (program, before) in zip(pair.programs, before) {
                    let spent = try counting.counts(of: program) - before
                    let what = "\(program.name), \(kind), \(way), \(connections) connections, each MiB"
                    try Budget.mebibyte(of: program, in: pair, kind, way).judge(
                        spent, of: amount, counting.countsRetains(of: program), what)
                }
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `a short connection costs what it did`(kind: Kind) throws {
        let counting = try Counting()
        let echo = try TargetServer.echo()
        try withTunnel(kind, to: echo.endpoint, { $0.environment = counting.environment }) { pair in
            try pair.makeShortConnections(200, echo)
            let before = try pair.programs.map { try counting.counts(of: $0) }
            try pair.makeShortConnections(500, echo)
            for (program, before) in zip(pair.programs, before) {
                let spent = try counting.counts(of: program) - before
                let budget = program === pair.server ? Budget.serverConnection : Budget.nodeConnection
                try budget.judge(
                    spent, of: 500, counting.countsRetains(of: program),
                    "\(program.name), \(kind), each connection")
            }
        }
    }

    @Test(
        .enabled(if: SystemCalls.isPossible, "needs strace, and to be allowed to use it"),
        arguments: Kind.allCases)
    func `system calls carry many frames each, and a short connection makes few`(kind: Kind) throws {
        for (way, connections) in [(SteadyLoad.Way.up, 1), (.down, 1), (.up, 8), (.down, 8)] {
            let load = try SteadyLoad(kind, way, connections: connections)
            let pair = load.pair
            try pair.explained {
                _ = try load.wait(for: 32)
                for program in pair.programs {
                    let calls = try SystemCalls(of: program, into: pair.directory)
                    let start = load.mebibytes
                    let amount = try load.wait(for: start + 48) - start
                    let table = try calls.stop()
                    let what = "\(program.name), \(kind), \(way), \(connections) connections, each MiB"
                    Budget.mebibyte(of: program, in: pair, kind, way).judge(table, of: amount, what)
                }
            }
        }
        let echo = try TargetServer.echo()
        try withTunnel(kind, to: echo.endpoint) { pair in
            try pair.makeShortConnections(50, echo)
            for program in pair.programs {
                let calls = try SystemCalls(of: program, into: pair.directory)
                try pair.makeShortConnections(200, echo)
                let table = try calls.stop()
                let budget = program === pair.server ? Budget.serverConnection : Budget.nodeConnection
                budget.judge(table, of: 200, "\(program.name), \(kind), each connection")
            }
        }
    }
}

extension TunnelPair {
    var programs: [Program] { [server, node] }

    /// One after the other, each with an echo, until the target has seen the end of all.
    func makeShortConnections(_ count: Int, _ echo: TargetServer) throws {
        let entrance = try entrance()
        for _ in 0..<count {
            let client = try Socket.connect(to: entrance)
            try client.requireEcho()
            client.close()
        }
        _ = try eventually("the targets end") { echo.open == 0 ? true : nil }
    }
}

extension Budget {
    static let isMeaningful: Bool = {
        #if DEBUG
            false
        #else
            true
        #endif
    }()

    func judge(_ spent: Counts, of amount: Double, _ countsRetains: Bool, _ what: String) {
        let allocations = Double(spent.allocations) / amount
        let libraries = Double(spent.librariesAllocations) / amount
        let retains = Double(spent.retains) / amount
        print(
            "budget: \(what): \(rounded(allocations)) allocations, \(rounded(libraries)) of libraries,",
            "\(rounded(retains)) retains")
        #expect(allocations <= self.allocations, "\(what): allocations")
        #expect(libraries <= self.libraries, "\(what): allocations of OpenSSL and SQLite")
        // Linked into the programs the runtime calls its own functions: it cannot be asked.
        if countsRetains { #expect(retains <= self.retains, "\(what): retains") }
    }

    func judge(_ table: SystemCalls.Table, of amount: Double, _ what: String) {
        let calls = Double(table.working) / amount
        let waits = Double(table.waiting) / amount
        print("budget: \(what): \(rounded(calls)) system calls, \(rounded(waits)) waits: \(table.shown)")
        #expect(calls <= self.calls, "\(what): system calls: \(table.shown)")
        #expect(waits <= self.waits, "\(what): waits: \(table.shown)")
    }

    private func rounded(_ number: Double) -> Double { (number * 10).rounded() / 10 }
}

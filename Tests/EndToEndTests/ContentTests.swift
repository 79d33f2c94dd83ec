import Support
import Testing

@Suite(.heavy)
struct ContentTests {
    @Test(arguments: Kind.allCases)
    func `64 connections at once, half-closed in every order, carry every byte right`(kind: Kind) throws {
        var random = SeededRandom(seed: runSeed)
        let release = Locked(false)
        let target = try Conversation.target(release: release)
        try withTunnel(kind, to: target.endpoint) { pair in
            let conversations = (1...64).map { number in
                let orders = Conversation.Order.allCases
                return Conversation(number: number, random: &random, order: orders[number % orders.count])
            }
            let workers = try conversations.map { conversation in
                let socket = try pair.connect(limit: .seconds(60))
                return Worker { try conversation.hold(socket, release: release) }
            }
            let isLate = { (conversation: Conversation) in
                conversation.order == .clientLongAfter || conversation.order == .targetLongAfter
            }
            for (conversation, worker) in zip(conversations, workers) where !isLate(conversation) {
                try worker.value()
            }
            release.set(true)
            for worker in workers { try worker.value() }
            _ = try eventually("every target's connection ends") { target.open == 0 ? true : nil }
            #expect(target.failures == [], "replay with GOPROXY_SEED=\(runSeed)\n\(pair.logs)")
        }
    }

    /// Of many sizes, so that for some of them the end is there while bytes still wait for the socket.
    @Test(arguments: Kind.allCases)
    func `an end does not overtake bytes that wait for a client that reads late`(kind: Kind) throws {
        let sizes = Array(stride(from: 50_000, through: 4_000_000, by: 79_000))
        let sent = Locked(0)
        let target = try TargetServer(limit: .seconds(60)) { socket in
            let index = Int(try socket.receive(exactly: 1)[0])
            try socket.send(Content(seed: UInt64(index)), 0..<sizes[index])
            sent.with { $0 += 1 }
            try socket.shutdownWriting()
            _ = try socket.receiveToEnd()
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            let clients = try sizes.indices.map { index in
                let client = try pair.connect(receiveBuffer: 4_096, limit: .seconds(60))
                try client.send([UInt8(index)])
                return client
            }
            // The small ones get through to the end, the large ones stand still: until no more ends come.
            var (before, quiet) = (-1, 0)
            _ = try eventually("no more targets end", within: .seconds(30)) {
                let now = sent.get()
                quiet = now == before && now > 0 ? quiet + 1 : 0
                before = now
                return quiet > 100 ? true : nil
            }
            for (index, client) in clients.enumerated() {
                try client.receiveToEnd(Content(seed: UInt64(index)), 0..<sizes[index])
                try client.shutdownWriting()
            }
            _ = try eventually("every target's connection ends") { target.open == 0 ? true : nil }
            #expect(target.failures == [])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a client that resets in mid-transfer is a reset at the target`(kind: Kind) throws {
        let ends = Locked<[SocketError?]>([])
        let target = try TargetServer { socket in
            do { try socket.send(Content(seed: 1), 0..<Int.max) } catch let error as SocketError {
                ends.with { $0.append(error) }
            }
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            for number in 0..<8 {
                let client = try pair.connect()
                try client.receive(Content(seed: 1), 0..<number * 40_000 + 1)
                client.reset()
            }
            _ = try eventually("eight targets see an end") { ends.get().count == 8 ? true : nil }
            #expect(ends.get() == Array(repeating: .reset, count: 8))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a target that resets in mid-transfer is a reset at the client`(kind: Kind) throws {
        let target = try TargetServer { socket in
            try socket.send(Content(seed: 2), 0..<500_000)
            // What was acknowledged last: the client has taken something before the reset goes out.
            _ = try socket.receive(exactly: 1)
            socket.reset()
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            for _ in 0..<8 {
                let client = try pair.connect()
                try client.receive(Content(seed: 2), 0..<100_000)
                try client.send([0])
                let (count, error) = try client.drain(Content(seed: 2), from: 100_000)
                try #require(error == .reset, "after \(count) bytes\n\(pair.logs)")
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `resets of silent connections arrive too, both ways`(kind: Kind) throws {
        let seen = Locked<[SocketError?]>([])
        let target = try TargetServer { socket in
            if try socket.receive(exactly: 1) == [1] { return socket.reset() }
            try socket.send([0])
            let end = socket.end().error
            seen.with { $0.append(end) }
        }
        try withTunnel(kind, to: target.endpoint) { pair in
            let patient = try pair.connect()
            try patient.send([1])
            #expect(patient.end().error == .reset)

            let hasty = try pair.connect()
            try hasty.send([0])
            _ = try hasty.receive(exactly: 1)
            hasty.reset()
            _ = try eventually("the target sees the end") { seen.get().isEmpty ? nil : true }
            #expect(seen.get() == [.reset])
        }
    }
}

import Glibc
import Reactor
import Synchronization
import Testing

/// Names: who waits for whom. The look-ups block until the test answers them, and time passes when the test says so.
@Suite final class ResolverTests {
    private final class World: Sendable {
        private struct State {
            var now: UInt64 = 1_000_000_000
            var asked: [Resolver.Question] = []
            var answers: [Resolver.Question: [Resolver.Found]] = [:]
            var heard: [String: Int] = [:]
            var isOver = false
        }

        private let state = Mutex(State())
        static let address = SocketAddress(ipv4: 0x7f4d_0215, port: 0)
        static let found = Resolver.Found.success([address])
        static let unknown = Resolver.Found.failure(ResolveError("name not known"))

        func makeResolver() -> Resolver {
            Resolver(lookUp: { self.lookUp($0) }, clock: { self.state.withLock { $0.now } })
        }

        private func lookUp(_ question: Resolver.Question) -> Resolver.Found {
            state.withLock { $0.asked.append(question) }
            while true {
                let answer = state.withLock { state -> Resolver.Found? in
                    if state.isOver { return World.unknown }
                    guard state.answers[question]?.isEmpty == false else { return nil }
                    return state.answers[question]?.removeFirst()
                }
                if let answer { return answer }
                usleep(500)
            }
        }

        /// Answers one look-up of the name: the present one, or the next.
        func answer(_ name: String, _ found: Resolver.Found = World.found) {
            state.withLock { $0.answers[Resolver.Question(name, nil), default: []].append(found) }
        }

        /// No thread is left behind.
        func end() { state.withLock { $0.isOver = true } }

        func pass(_ nanoseconds: UInt64) { state.withLock { $0.now += nanoseconds } }

        func asked(_ name: String) -> Int {
            state.withLock { $0.asked.count { $0 == Resolver.Question(name, nil) } }
        }

        var askedInAll: Int { state.withLock { $0.asked.count } }

        func heard(_ name: String) -> Int { state.withLock { $0.heard[name] ?? 0 } }

        @discardableResult
        func ask(_ name: String, isUrgent: Bool = false, of resolver: Resolver) -> Resolver.Asked {
            resolver.ask(Resolver.Question(name, nil), isUrgent: isUrgent) { found in
                self.state.withLock { $0.heard[name, default: 0] += found == World.found ? 1 : 1_000 }
            }
        }
    }

    private let world = World()
    private let resolver: Resolver

    init() {
        resolver = world.makeResolver()
    }

    deinit { world.end() }

    /// The threads are the resolver's own: what they do is waited for.
    private func until(_ what: String, _ condition: () -> Bool) throws {
        for _ in 0..<40_000 {
            if condition() { return }
            usleep(500)
        }
        throw ResolveError("never: \(what)")
    }

    /// So many names whose look-ups never end, all begun.
    private func silence(_ count: Int, _ prefix: String = "silent") throws {
        for number in 0..<count {
            #expect(world.ask("\(prefix)\(number)", of: resolver) == .willAnswer)
        }
        try until("all are asked") { (0..<count).allSatisfy { world.asked("\(prefix)\($0)") == 1 } }
    }

    @Test func `a name is looked up once for all who ask meanwhile, however they write it`() throws {
        for _ in 0..<100 { #expect(world.ask("name", of: resolver) == .willAnswer) }
        #expect(world.ask("NAME", of: resolver) == .willAnswer)
        world.answer("name")
        try until("all hear") { world.heard("name") == 100 && world.heard("NAME") == 1 }
        #expect(world.askedInAll == 1)
    }

    @Test func `what was found is good for seconds, what was not found is asked for again`() throws {
        world.answer("name", World.unknown)
        world.ask("name", of: resolver)
        try until("it is not found") { world.heard("name") == 1_000 }
        world.answer("name")
        world.ask("name", of: resolver)
        try until("it is found") { world.heard("name") == 1_001 }
        #expect(world.asked("name") == 2)
        world.pass(Resolver.keptFor - 1)
        #expect(world.ask("name", of: resolver) == .known([World.address]))
        #expect(world.ask("name", isUrgent: true, of: resolver) == .willAnswer, "a link asks each time")
        world.pass(1)
        world.answer("name", World.unknown)
        #expect(world.ask("name", of: resolver) == .willAnswer)
        try until("both hear") { world.heard("name") == 3_001 }
    }

    @Test func `names that are never answered keep no other one`() throws {
        try silence(Resolver.places - 1)
        world.answer("name")
        #expect(world.ask("name", of: resolver) == .willAnswer)
        try until("it is found") { world.heard("name") == 1 }
    }

    @Test func `what takes too long gives its place to who waits, and still answers`() throws {
        try silence(Resolver.places)
        world.answer("name")
        #expect(world.ask("name", of: resolver) == .waits)
        #expect(resolver.review(), "nothing has taken long yet")
        world.pass(Resolver.lateAfter)
        #expect(!resolver.review())
        try until("it is found") { world.heard("name") == 1 }
        world.answer("silent0")
        try until("the late answer is heard") { world.heard("silent0") == 1 }
        #expect(world.ask("silent0", of: resolver) == .known([World.address]))
    }

    @Test func `names that were silent share half of the places`() throws {
        try silence(Resolver.places)
        world.pass(Resolver.lateAfter)
        world.ask("name", of: resolver)
        resolver.review()
        // Whoever asks again is looked up beside the first time, but not all of them at once.
        let again = (0..<Resolver.places).map { world.ask("silent\($0)", of: resolver) }
        #expect(again.count { $0 == .willAnswer } == Resolver.places / 2)
        #expect(again.count { $0 == .waits } == Resolver.places / 2)
        #expect(world.ask("other", of: resolver) == .willAnswer)
        // And no third time.
        world.pass(Resolver.lateAfter)
        #expect(world.ask("silent0", of: resolver) == .willAnswer)
        try until("the others are asked") { world.asked("other") == 1 && world.asked("silent0") == 2 }
    }

    @Test func `who asks anew is answered by whichever answer comes first`() throws {
        world.ask("name", of: resolver)
        try until("it is asked") { world.asked("name") == 1 }
        world.pass(Resolver.lateAfter)
        world.ask("name", of: resolver)
        try until("it is asked anew") { world.asked("name") == 2 }
        world.answer("name")
        try until("both hear") { world.heard("name") == 2 }
    }

    @Test func `what is urgent waits for no place`() throws {
        try silence(Resolver.places)
        #expect(world.ask("own", of: resolver) == .waits)
        world.answer("own")
        #expect(world.ask("own", isUrgent: true, of: resolver) == .willAnswer)
        try until("both hear") { world.heard("own") == 2 }
        #expect(world.asked("own") == 1)
    }

    @Test func `names without end are refused, and those who wait do not wait for ever`() throws {
        try silence(Resolver.places)
        for number in 0..<Resolver.maximumWaiting {
            #expect(world.ask("waiting\(number)", of: resolver) == .waits)
        }
        #expect(world.ask("one too many", of: resolver) == .refused)
        // All places are lost to late ones, and those who come next lose theirs too, until no more may be late.
        for _ in 0..<10 {
            world.pass(Resolver.lateAfter)
            resolver.review()
        }
        try until("the rest is given up") { world.heard("waiting1000") == 1_000 }
        #expect(world.askedInAll <= Resolver.places + Resolver.maximumLate)
    }

    @Test func `the hosts file says which names ask nobody, as it is now`() throws {
        let path = "/tmp/goproxy-hosts-\(getpid())"
        defer { unlink(path) }
        func write(_ text: String) {
            let descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0o600)
            #expect(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
            close(descriptor)
        }
        let hosts = HostsFile(path: path)
        #expect(!hosts.knows("gw.example", now: 0), "there is no file")
        write("127.0.0.1\tlocalhost Gw.Example # not.here\n#127.0.0.2 nor.here\n::1 six\n")
        var now: UInt64 = 0
        func learns(_ name: String) throws {
            try until("\(name) is known") {
                now += 1_000_000_000
                return hosts.knows(name, now: now)
            }
        }
        for name in ["localhost", "gw.example", "GW.example", "six"] { try learns(name) }
        for name in ["not.here", "nor.here", "127.0.0.1", "here", "example"] {
            #expect(!hosts.knows(name, now: 0), "\(name)")
        }
        #expect(HostsFile(path: path).knows("gw.example", now: 0), "it is read at the start")
        write("127.0.0.1 other\n")
        try learns("other")
        #expect(!hosts.knows("gw.example", now: 0))
    }
}

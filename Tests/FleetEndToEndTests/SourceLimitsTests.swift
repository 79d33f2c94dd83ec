import Fleet
import Reactor
import Testing

@Suite(.light) struct SourceLimitsTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: UInt64 = 1_000 * second

    private func address(_ number: Int) -> SocketAddress {
        SocketAddress(ipv4: 0x0a00_0000 + UInt32(number), port: 40_000)
    }

    @Test func `a source has so many at the gate at once, and another as many`() {
        var limits = SourceLimits(maximumPerSource: 3)
        for _ in 0..<3 { #expect(limits.enter(address(1), now: Self.start) == nil) }
        #expect(limits.enter(address(1), now: Self.start) == "too many connections from one source")
        #expect(limits.enter(address(2), now: Self.start) == nil)
        limits.left(address(1), failed: false, now: Self.start)
        #expect(limits.enter(address(1), now: Self.start) == nil)
    }

    @Test func `a source of IPv6 is a network of 64 bits`() {
        var limits = SourceLimits(maximumPerSource: 1)
        let network: UInt64 = 0x2001_0db8_0000_0001
        #expect(limits.enter(SocketAddress(ipv6: network, 1, port: 1), now: Self.start) == nil)
        #expect(limits.enter(SocketAddress(ipv6: network, 2, port: 2), now: Self.start) != nil)
        #expect(limits.enter(SocketAddress(ipv6: network + 1, 1, port: 1), now: Self.start) == nil)
    }

    @Test func `who has failed fifteen times waits a second for each more, and at most a minute`() {
        var limits = SourceLimits(maximumPerSource: 16)
        var now = Self.start
        func fail() {
            #expect(limits.enter(address(1), now: now) == nil)
            limits.left(address(1), failed: true, now: now)
        }
        for _ in 0..<16 { fail() }
        #expect(limits.enter(address(1), now: now) == "too many failures")
        #expect(limits.enter(address(2), now: now) == nil, "another's failures are not its own")
        now += Self.second
        fail()
        #expect(limits.enter(address(1), now: now) == "too many failures")

        // All that are at the gate at once may fail together: a minute is the most that they cost.
        now += 60 * Self.second
        for _ in 0..<16 { #expect(limits.enter(address(3), now: now) == nil) }
        for _ in 0..<16 { limits.left(address(3), failed: true, now: now) }
        for _ in 0..<100 {
            guard limits.enter(address(3), now: now) == nil else {
                now += Self.second
                continue
            }
            limits.left(address(3), failed: true, now: now)
        }
        now += 60 * Self.second
        #expect(limits.enter(address(3), now: now) == nil)
    }

    @Test func `success costs nothing`() {
        var limits = SourceLimits(maximumPerSource: 1)
        for _ in 0..<100 {
            #expect(limits.enter(address(1), now: Self.start) == nil)
            limits.left(address(1), failed: false, now: Self.start)
        }
        #expect(limits.knownSources == 0)
    }

    @Test func `in a crowd some are turned away, and all when the gate is full`() {
        var limits = SourceLimits(maximumPerSource: 1)
        var inside: [Int] = []
        for number in 0..<SourceLimits.crowded {
            #expect(limits.enter(address(number), now: Self.start) == nil)
            inside.append(number)
        }
        var next = SourceLimits.crowded
        var refused = 0
        // At the crowd's beginning three of ten are turned away: of 1,000, between 200 and 400.
        for _ in 0..<1_000 {
            if limits.enter(address(next), now: Self.start) == nil {
                limits.left(address(next), failed: false, now: Self.start)
            } else {
                refused += 1
            }
            next += 1
        }
        #expect((200...400).contains(refused), "\(refused)")
        var tries = 0
        while inside.count < SourceLimits.full, tries < 1_000_000 {
            tries += 1
            next += 1
            if limits.enter(address(next), now: Self.start) == nil { inside.append(next) }
        }
        #expect(inside.count == 512)
        for number in 0..<1_000 {
            #expect(
                limits.enter(address(next + 1 + number), now: Self.start)
                    == "too many connections are being authenticated")
        }
        limits.left(address(inside[0]), failed: false, now: Self.start)
        let isLetIn = (0..<10_000).contains {
            limits.enter(address(next + 2_000 + $0), now: Self.start) == nil
        }
        #expect(isLetIn, "one in a thousand, when one place is free")
    }

    @Test func `sources are forgotten before there are too many, those that have served most first`() {
        var limits = SourceLimits(maximumPerSource: 16)
        for number in 0..<SourceLimits.maximumSources {
            #expect(limits.enter(address(number), now: Self.start) == nil)
            limits.left(address(number), failed: true, now: Self.start)
        }
        for _ in 0..<15 {
            #expect(limits.enter(address(7), now: Self.start) == nil)
            limits.left(address(7), failed: true, now: Self.start)
        }
        #expect(limits.enter(address(1_000_000), now: Self.start) == nil)
        #expect(limits.knownSources <= SourceLimits.maximumSources)
        #expect(limits.enter(address(7), now: Self.start) == "too many failures")
    }
}

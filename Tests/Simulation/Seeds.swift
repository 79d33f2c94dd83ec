import Glibc
import Synchronization

/// Runs a simulation for many seeds. GOPROXY_SEED=n replays one; GOPROXY_SEEDS=n says how many there are.
package enum Seeds {
    package static let only = getenv("GOPROXY_SEED").flatMap { UInt64(String(cString: $0)) }

    /// 10,000 optimised, where they take seconds.
    package static let count: UInt64 =
        getenv("GOPROXY_SEEDS").flatMap { UInt64(String(cString: $0)) }
        ?? (_isDebugAssertConfiguration() ? 300 : 10_000)

    /// The seed under way, for the case that a trap ends the whole process.
    private static let current = Atomic<UInt64>(0)

    /// Runs `body` for every seed; after the third that fails, no more. The answer is a sentence for each failure.
    package static func run(_ name: String, count: UInt64 = Seeds.count, _ body: (UInt64) throws -> Void)
        -> [String]
    {
        if only == nil { printSeedOnTrap() }
        var failures: [String] = []
        let clock = ContinuousClock()
        let began = clock.now
        var done = 0
        for seed in only.map({ $0...$0 }) ?? 1...count {
            current.store(seed, ordering: .relaxed)
            done += 1
            do {
                try body(seed)
            } catch {
                failures.append("\(name): \(error); replay with GOPROXY_SEED=\(seed)")
                if failures.count == 3 { break }
            }
        }
        let took = clock.now - began
        print("\(name): \(done) seeds in \(took), \(took / done) each")
        return failures
    }

    /// A trap prints where, but not with which seed. Only async-signal-safe calls.
    private static func printSeedOnTrap() {
        for number in [SIGILL, SIGTRAP, SIGSEGV] {
            signal(number) { number in
                Seeds.write("\ntrap at GOPROXY_SEED=")
                var digits: InlineArray<20, UInt8> = .init(repeating: 0)
                var left = Seeds.current.load(ordering: .relaxed)
                var used = 0
                repeat {
                    digits[used] = UInt8(48 + left % 10)
                    left /= 10
                    used += 1
                } while left > 0
                while used > 0 {
                    used -= 1
                    _ = Glibc.write(2, [digits[used]], 1)
                }
                Seeds.write("\n")
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    private static func write(_ text: StaticString) {
        _ = Glibc.write(2, text.utf8Start, text.utf8CodeUnitCount)
    }
}

/// What a simulation saw that must not be.
package struct SimulationFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

import Glibc
import Synchronization
import Testing

/// GOPROXY_SEED=n replays one seed; GOPROXY_SEEDS=n says how many there are.
enum Seeds {
    static let only = getenv("GOPROXY_SEED").flatMap { UInt64(String(cString: $0)) }

    static let count: UInt64 =
        getenv("GOPROXY_SEEDS").flatMap { UInt64(String(cString: $0)) }
        ?? (_isDebugAssertConfiguration() ? 500 : 10_000)

    /// The seed under way, for the case that a trap ends the whole process.
    private static let current = Atomic<UInt64>(0)

    /// Runs `body` for every seed; stops at the third that fails.
    static func run(_ name: String, _ body: (UInt64) throws -> Void) {
        printSeedOnTrap()
        var failures = 0
        let clock = ContinuousClock()
        let began = clock.now
        for seed in only.map({ $0...$0 }) ?? 1...count {
            current.store(seed, ordering: .relaxed)
            do {
                try body(seed)
            } catch {
                Issue.record("\(name): \(error); replay with GOPROXY_SEED=\(seed)")
                failures += 1
                if failures == 3 { return }
            }
        }
        let took = clock.now - began
        print("\(name): \(only == nil ? count : 1) seeds in \(took)")
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
                    var digit = digits[used]
                    _ = Glibc.write(2, &digit, 1)
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

// Every plain build builds this target, and one with --static-swift-stdlib has no module Testing.
#if canImport(Testing)
    import Foundation
    import Testing

    /// Runs each test of a suite on a thread of its own, and only so many at once.
    ///
    /// Tests here block on sockets and processes. On the threads that Swift Testing owns, one a core, two of them would
    /// stop every other test; and sixty pairs of programs at once would stretch each other's time limits.
    package struct Lane: SuiteTrait, TestTrait, TestScoping {
        private let cost: Int
        package let isRecursive = true

        private static let gate = Gate(capacity: 4)

        package func scopeProvider(for test: Test, testCase: Test.Case?) -> Lane? {
            testCase == nil ? nil : self
        }

        package func provideScope(
            for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
        ) async throws {
            await Self.gate.enter(cost)
            defer { Self.gate.leave(cost) }
            try await withTaskExecutorPreference(ThreadPerJob.shared, operation: function)
        }

        /// Tests that only wait cost 0, tests that start a few programs 1, those that keep a core busy 2.
        package init(cost: Int) { self.cost = cost }
    }

    extension Trait where Self == Lane {
        package static var waiting: Self { Lane(cost: 0) }
        package static var light: Self { Lane(cost: 1) }
        package static var heavy: Self { Lane(cost: 2) }
    }

    private final class ThreadPerJob: TaskExecutor {
        static let shared = ThreadPerJob()

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            Thread.detachNewThread { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        }
    }

    /// Lets in whoever came first as soon as its cost fits.
    private final class Gate: Sendable {
        private struct State: Sendable {
            var free: Int
            var waiting: [(cost: Int, continuation: CheckedContinuation<Void, Never>)] = []
        }

        private let state: Locked<State>

        init(capacity: Int) { state = Locked(State(free: capacity)) }

        func enter(_ cost: Int) async {
            await withCheckedContinuation { continuation in
                admit { $0.waiting.append((cost, continuation)) }
            }
        }

        func leave(_ cost: Int) {
            admit { $0.free += cost }
        }

        private func admit(_ change: @Sendable (inout State) -> Void) {
            let admitted = state.with { state in
                change(&state)
                var admitted: [CheckedContinuation<Void, Never>] = []
                while let next = state.waiting.first, next.cost <= state.free {
                    state.free -= next.cost
                    admitted.append(state.waiting.removeFirst().continuation)
                }
                return admitted
            }
            for continuation in admitted { continuation.resume() }
        }
    }
#endif

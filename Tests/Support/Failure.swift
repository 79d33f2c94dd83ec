import Foundation

/// What a helper throws: a sentence for the person who reads the red test, with whatever evidence the helper holds.
package struct Failure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// Asks `probe` until it answers, at most `limit`. The only way a test here waits for another process.
package func eventually<Value>(
    _ what: @autoclosure () -> String, within limit: Duration = .seconds(10),
    evidence: () -> String = { "" }, _ probe: () throws -> Value?
) throws -> Value {
    let deadline = ContinuousClock.now + limit
    while true {
        if let value = try probe() { return value }
        guard ContinuousClock.now < deadline else {
            throw Failure("not within \(limit): \(what())\n\(evidence())")
        }
        usleep(3_000)
    }
}

/// Runs `work` on a thread of its own; `value` hands over what it returned or threw, once it has ended.
package final class Worker<Value: Sendable>: Sendable {
    private let outcome = Locked<Result<Value, any Error>?>(nil)

    package init(_ work: @escaping @Sendable () throws -> Value) {
        let outcome = outcome
        Thread.detachNewThread {
            let result = Result { try work() }
            outcome.set(result)
        }
    }

    /// Throws what it threw, if it has ended so already.
    package func check() throws { _ = try outcome.get()?.get() }

    package func value(within limit: Duration = .seconds(60)) throws -> Value {
        try eventually("the worker ends", within: limit) { outcome.get() }.get()
    }
}

import Synchronization

/// A value that several threads share; a class, so that closures can hold it.
package final class Locked<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    package init(_ value: Value) {
        mutex = Mutex(value)
    }

    package func get() -> Value {
        mutex.withLock { $0 }
    }

    package func set(_ value: Value) {
        mutex.withLock { $0 = value }
    }

    package func with<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try mutex.withLock { value in try body(&value) }
    }
}

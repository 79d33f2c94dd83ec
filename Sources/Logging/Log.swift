/// How much an operator should care. `debug` is written only when asked for (`-verbose`).
package enum LogLevel: Int, Sendable, Comparable {
    case debug, info, warn, error

    package var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warn: "warn"
        case .error: "error"
        }
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// The process's log: one line per event on standard error. Callable from any thread.
///
/// Names are `StaticString`, so that nothing a peer sent can become an event or a key; values may be anything and
/// are escaped. A field's description is made only when the line will be written.
package enum Log {
    package typealias Field = (StaticString, any CustomStringConvertible)

    /// Where every call below goes.
    package static let shared = Logger(
        sink: DescriptorSink().write, showsTime: !DescriptorSink.isJournal)

    package static func debug(_ event: StaticString, _ fields: Field...) { shared.log(.debug, event, fields) }

    package static func info(_ event: StaticString, _ fields: Field...) { shared.log(.info, event, fields) }

    package static func warn(_ event: StaticString, _ fields: Field...) { shared.log(.warn, event, fields) }

    package static func error(_ event: StaticString, _ fields: Field...) { shared.log(.error, event, fields) }

    /// Like the calls above, for lines that somebody else can cause as often as they like: only the first
    /// `LineLimiter.linesPerWindow` of one event and key in a window are written, the others are counted, and the
    /// count is a line of its own (`lines-left-out`) at the first call after the window.
    package static func limited(_ level: LogLevel, _ event: StaticString, key: String, _ fields: Field...) {
        shared.log(level, event, limitKey: key, fields)
    }

    /// The lowest level that is written; `info` at first.
    package static var threshold: LogLevel {
        get { shared.threshold }
        set { shared.threshold = newValue }
    }

    /// Whether a line of this level would be written; for callers whose fields are costly, or who write details
    /// as `info` only with `-verbose`.
    package static func isEnabled(_ level: LogLevel) -> Bool { level >= shared.threshold }

    /// Sends lines (without their newline) somewhere else. The sink is called on the logging thread, several
    /// threads at a time.
    package static func replaceSink(_ sink: @escaping LogSink) { shared.replaceSink(sink) }

    /// Writes the counts of lines left out so far, without waiting for the window's end. Call it before exit.
    package static func flush() { shared.flush() }
}

/// Decides which repeated lines are written, and counts the others exactly. Pure: the caller brings the time.
///
/// One window holds for all keys: it begins with the first limited line and at its end the table is emptied. So the
/// table needs no order of expiry and at most `keyLimit` counts are reported a window.
package struct LineLimiter {
    /// Enough to see the pattern of a failure, too little to fill a disk: 256 keys make 2,560 lines a minute.
    package static let linesPerWindow = 10
    package static let windowNanoseconds: Int64 = 60_000_000_000
    /// Keys are often addresses, which an attacker has many of. Beyond this many, all new keys of an event count as one.
    package static let keyLimit = 256
    /// The key of those beyond the limit; not a name that an address or an id could be.
    package static let otherKeys = "(others)"
    private static let keyLimitScalars = 128

    package struct Count: Equatable {
        package let level: LogLevel
        package let event: String
        package let key: String
        package let leftOut: Int
    }

    private struct Name: Hashable {
        let event: String
        let key: String
    }

    private struct Entry {
        let level: LogLevel
        /// Tells the order in which reports are made.
        let number: Int
        var seen = 0
    }

    private var entries: [Name: Entry] = [:]
    private var windowEnd: Int64 = 0

    package init() {}

    package var keyCount: Int { entries.count }

    /// Whether this line is to be written. Call `takeCounts(now:)` with the same time before it.
    package mutating func admit(_ level: LogLevel, _ event: StaticString, key: String, now: Int64) -> Bool {
        if entries.isEmpty { windowEnd = now &+ Self.windowNanoseconds }
        let head = String(String.UnicodeScalarView(key.unicodeScalars.prefix(Self.keyLimitScalars)))
        var name = Name(event: event.description, key: head)
        if entries[name] == nil, entries.count >= Self.keyLimit {
            name = Name(event: name.event, key: Self.otherKeys)
        }
        var entry = entries[name] ?? Entry(level: level, number: entries.count)
        entry.seen += 1
        entries[name] = entry
        return entry.seen <= Self.linesPerWindow
    }

    /// The counts of a window that has ended, in the order in which the keys were first seen.
    package mutating func takeCounts(now: Int64) -> [Count] {
        entries.isEmpty || now < windowEnd ? [] : takeCounts()
    }

    /// The counts so far; ends the window.
    package mutating func takeCounts() -> [Count] {
        let ended = entries.sorted { $0.value.number < $1.value.number }
        entries.removeAll(keepingCapacity: true)
        return ended.compactMap { name, entry in
            let leftOut = entry.seen - Self.linesPerWindow
            guard leftOut > 0 else { return nil }
            return Count(level: entry.level, event: name.event, key: name.key, leftOut: leftOut)
        }
    }
}

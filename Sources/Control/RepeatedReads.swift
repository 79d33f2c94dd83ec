import Records
import Synchronization

/// Who reads the same again and again, as a monitor does: the first time is a row of the audit, the others of the hour are
/// counted here and are one row more, when the hour is over or the service stops. A crash loses the count, not the first row.
package final class RepeatedReads: Sendable {
    private struct Key: Hashable {
        let actor: Actor
        let words: String
    }

    private struct Count {
        let words: String
        let begin: ContinuousClock.Instant
        var more = 0
        var last: Timestamp
    }

    private let counts = Mutex<[Key: Count]>([:])
    private static let hour = Duration.seconds(3_600)
    /// Beyond, each read is a row of its own.
    private static let limit = 1_024

    package init() {}

    /// What makes a read the same as another: all that was asked; of times, how long ago they are, by the minute and from two
    /// hours on by the hour.
    func alike(_ what: String, _ call: Call, now: Timestamp = .now) -> String {
        let asked = call.query.sorted { $0.key < $1.key }.map { name, text in
            guard ["since", "until", "at"].contains(name), let time = Timestamp(text) else {
                return "\(name)=\(text)"
            }
            let seconds = now.distance(from: time) / 1_000_000
            let unit: Int64 = abs(seconds) < 7_200 ? 60 : 3_600
            return "\(name)=-\((seconds + unit / 2) / unit)*\(unit)"
        }
        return ([what] + call.segments.map { "\($0.key)=\($0.value)" } + asked).joined(separator: " ")
    }

    /// Whether it is to be written; counted otherwise.
    package func isFirst(
        _ actor: Actor, _ alike: String, _ words: String, _ now: ContinuousClock.Instant
    ) -> Bool {
        counts.withLock { counts in
            let key = Key(actor: actor, words: alike)
            guard var count = counts[key] else {
                if counts.count < Self.limit { counts[key] = Count(words: words, begin: now, last: .now) }
                return true
            }
            count.more += 1
            count.last = .now
            counts[key] = count
            return false
        }
    }

    /// Its row could not be written: the next one is the first.
    func forget(_ actor: Actor, _ alike: String) {
        counts.withLock { $0[Key(actor: actor, words: alike)] = nil }
    }

    /// What is to be written of hours that were over at `now`; nil: of all.
    package func takeEnded(_ now: ContinuousClock.Instant?) -> [(actor: Actor, words: String)] {
        counts.withLock { counts in
            let ended = counts.filter { _, count in now.map { $0 - count.begin >= Self.hour } ?? true }
            for key in ended.keys { counts[key] = nil }
            return ended.filter { $0.value.more > 0 }.map { key, count in
                (key.actor, "\(count.words) (\(count.more) times more, the last at \(count.last))")
            }
        }
    }
}

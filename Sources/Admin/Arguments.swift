import Flags
import Fleet
import Glibc
import Records

/// All that a command line can say; each verb takes its share.
package struct Arguments: Equatable, Sendable {
    package enum Output: String, CaseIterable, Sendable {
        case table, json, jsonl, csv
    }

    package var targets: [String] = []
    package var output = Output.table
    package var data: String?
    package var isForced = false

    package var name: String?
    package var listen: Place?
    package var forward: Place?
    package var node: String?
    package var kind: MappingKind?
    package var state: NodeState?
    package var tags: [String: String] = [:]
    package var removedTags: [String] = []
    package var tagFilter: String?
    package var waits = false
    package var timeout = Duration.seconds(30)
    package var overlap = Duration.zero
    package var since: Since?
    package var limit: Int?
    package var host: String?
    package var port: Int?
    package var keeping = KeepingArguments()
    package var history = HistoryArguments()

    /// A time, or how long ago.
    package enum Since: Equatable, Sendable {
        case time(Timestamp)
        case ago(Duration)
        /// What a clock shows; of a date alone, where that day begins.
        case clock(String)
        /// Where that day begins.
        case daysAgo(Int)

        func time(now: Timestamp, isLocal: Bool = false) -> Timestamp {
            switch self {
            case .clock(let clock): Self.moment(clock, isLocal: isLocal)
            case .daysAgo(let days): Self.day(before: days, now: now, isLocal: isLocal)
            case .time(let time): time
            case .ago(let duration): now.adding(seconds: -duration.components.seconds)
            }
        }
    }

    package init() {}

    /// `--data`, `GOPROXY_DATA`, or where a server started by this user would have it.
    func directory(_ environment: [String: String]) -> String {
        data ?? environment["GOPROXY_DATA"].flatMap { $0.isEmpty ? nil : $0 } ?? DataDirectory.defaultPath
    }
}

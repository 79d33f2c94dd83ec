import Control
import JSON
import Records
import Tunnel

/// The commands of one word.
enum OtherCommands {
    static func status(_ session: Session) throws(AdminError) {
        let json = try session.ask("GET", "status")
        let status: StatusAnswer = try session.decode(json)
        let troubles = try Troubles(status, session)
        try session.print(json) { () throws(AdminError) in
            let now = session.console.now()
            let server =
                status.startedAt.map { "running since \(TimeText.both($0, now: now))" }
                ?? "not running; this is what the records say"
            let mappings = status.mappings
            return fields([
                ("server", server), ("version", status.version), ("pid", status.pid.map { String($0) }),
                ("nodes", "\(status.nodes): \(status.online) online, \(status.disabledNodes) disabled"),
                (
                    "mappings",
                    """
                    \(mappings.active + mappings.pending + mappings.failed + mappings.disabled): \
                    \(mappings.active) active, \(mappings.pending) pending, \(mappings.failed) failed, \
                    \(mappings.disabled) disabled
                    """
                ), ("sub-connections", String(status.subConnections)),
                ("database", database(status)),
                (
                    "history",
                    status.historyUse.map {
                        "\(bytesText($0.maximumBytes)) at most, \(bytesText($0.keptBytes)) of it never pruned"
                            + ($0.isTight ? ": too much, raise -history-max" : "")
                    }
                ),
                (
                    "records",
                    status.failingSince.map {
                        "nothing can be recorded since \(TimeText.both($0, now: now)): \(status.failure ?? "")"
                    } ?? "all written"
                ), ("failed", Troubles.text(troubles.failed)), ("away", Troubles.text(troubles.away)),
                ("shared", Troubles.text(troubles.shared)),
                ("unreachable", Troubles.text(troubles.unreachable)),
            ])
        }
        guard troubles.all.isEmpty else {
            throw AdminError(
                "unsound", "wrong here: \(troubles.all.joined(separator: "; "))",
                hint: "\(Verb.program) doctor")
        }
    }

    private static func database(_ status: StatusAnswer) -> String {
        let held = status.logHolder.map { ", kept from beginning anew by \($0)" } ?? ""
        return
            "\(bytesText(Int64(status.databaseBytes))), its log of writes \(bytesText(Int64(status.logBytes)))\(held)"
    }

    static func version(_ session: Session) throws(AdminError) {
        let json: JSONValue = ["version": .string(Version.number)]
        try session.print(jsonText(json)) { () throws(AdminError) in Version.text(Verb.program) + "\n" }
    }
}

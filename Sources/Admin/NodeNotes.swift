import Control
import Records

// What an operator should know of a node before it costs him something.
extension NodeAnswer {
    /// Nil where there is nothing to say.
    func note(now: Timestamp) -> String? {
        guard record.state == .enabled else { return nil }
        if let text = sharedText { return text }
        guard let used = record.credential else {
            return credentials.isEmpty ? "no uuid of it is good: rotate it" : nil
        }
        guard let credential = credentials.first(where: { $0.id == used }) else {
            return credentials.isEmpty
                ? "no uuid of it is good: rotate it"
                : "the uuid that it last came with has ended: start it with the newest"
        }
        guard let end = credential.to else { return nil }
        return "\(record.online ? "runs" : "last ran") on a uuid that ends \(TimeText.both(end, now: now))"
    }

    /// Several machines with one uuid: each takeover cuts the other's connections.
    var sharedText: String? {
        guard !machines.isEmpty else { return nil }
        let names = machines.map { $0.hostName.isEmpty ? $0.address : "\($0.address) (\($0.hostName))" }
        return "\(machines.count) machines share its uuid and take its link from each other: "
            + (Troubles.text(names) ?? "") + ": give each a uuid of its own"
    }

    /// `2026-08-22 09:14:03Z (3m ago), or up to 40 s later`
    func lastSeenText(now: Timestamp) -> String? {
        guard let time = record.lastSeen else { return nil }
        let text = TimeText.both(time, now: now)
        guard let within = record.lastSeenWithin, within > 0 else { return text }
        return "\(text), or up to \(within) s later"
    }

    func credentialTable(_ session: Session) -> String {
        let now = session.console.now()
        var table = session.makeTable(["CREDENTIAL", "FROM", "TO", "LAST USED", "LINK"])
        for credential in credentials {
            table.append([
                "\(String(credential.id.prefix(8)))", "\(TimeText.absolute(credential.from))",
                TextTable.Cell(
                    credential.to.map { TimeText.both($0, now: now) } ?? "until it is ended",
                    credential.to == nil ? nil : .yellow),
                TextTable.Cell(credential.lastUsed.map { TimeText.both($0, now: now) } ?? "never"),
                TextTable.Cell(credential.inUse ? "on it" : nil),
            ])
        }
        return table.text
    }
}

import Control
import Fleet
import HTTP
import Records

/// `goproxy-admin restore`: puts a backup in place, and says what that brings back and what it loses.
enum RestoreCommand {
    static func run(_ session: Session) throws(AdminError) {
        let arguments = session.arguments.keeping
        var options = Restore.Options()
        options.revokesSince = arguments.revokesSince
        options.endsUnusable = arguments.isWithoutKeys
        options.isUsable = opener(session.directory)
        if !session.arguments.isForced {
            let changes = try session.records { () throws(RecordsError) in
                try Restore.preview(from: session.target, into: session.directory)
            }
            try session.confirm(
                """
                The records in \(session.directory) become those of \(safe(session.target)); \
                what was recorded since is kept in a file beside, and no longer shown.
                \(words(changes, isRevoked: options.revokesSince, willBe: true))
                """)
        }
        let restored = try session.records { () throws(RecordsError) in
            try Restore.run(
                from: session.target, into: session.directory, actor: ControlService.actor(.own),
                options)
        }
        let answer = Answer(restored, of: session.target, isRevoked: options.revokesSince)
        try session.print(jsonText(answer)) { () throws(AdminError) in
            var text =
                "Restored \(safe(session.target)). Nothing is known of the time from "
                + "\(TimeText.absolute(restored.knownUntil)) to \(TimeText.absolute(restored.at)).\n"
            if let replaced = restored.replaced {
                text += "The database that was there is kept: \(safe(replaced))\n"
            }
            if restored.unusable > 0 {
                text +=
                    "\(counted(restored.unusable, "uuid")) ended, which no key here opens: give the nodes new ones "
                    + "with \(Verb.program) node rotate.\n"
            }
            return text + words(restored.changes, isRevoked: options.revokesSince)
        }
    }

    /// Whether the keys that are here open a credential, and nodes that know the server's key will find it. Makes none.
    private static func opener(_ directory: String) -> @Sendable (CredentialRecord) -> Bool {
        guard let data = try? DataDirectory(directory), data.hasKeys,
            let keys = try? CredentialFactory(data)
        else { return { _ in false } }
        return { keys.openPSK($0.sealedPSK, identity: $0.identity) != nil }
    }

    // MARK: Texts

    private static func words(_ changes: RestoreChanges, isRevoked: Bool, willBe: Bool = false) -> String {
        guard changes.isKnown else {
            return
                "What was revoked, removed or disabled since the backup is good again, and no database here "
                + "tells what that was: look through `\(Verb.program) node list`, and rotate what you doubt.\n"
        }
        guard changes.changes > 0 else { return "Nothing was changed since the backup.\n" }
        let verb = willBe ? "will be" : "are"
        var lines = ["\(counted(Int(changes.changes), "change")) since the backup \(verb) gone:"]
        func tell(_ names: [String], _ what: String) {
            guard let text = Troubles.text(names, atMost: 20) else { return }
            lines.append("  \(what): \(text)")
        }
        let again = isRevoked ? "ended again" : "GOOD AGAIN"
        tell(
            changes.goodAgain.map { "\($0.credential.prefix(8)) of node \($0.node)" },
            "uuids that were ended since, \(again)")
        tell(
            changes.removedNodes.map(\.name),
            "nodes that were removed since, \(isRevoked ? "removed again" : "BACK, with their uuids")")
        tell(
            changes.disabledNodes.map(\.name),
            "nodes that were disabled since, \(isRevoked ? "disabled again" : "ENABLED AGAIN")")
        tell(changes.lostNodes.map(\.name), "nodes that were added since, unknown now")
        tell(
            changes.lostUuids.map { "\($0.credential.prefix(8)) of node \($0.node)" },
            "uuids that were handed out since, refused now (rotate these nodes)")
        let isGoodAgain =
            !changes.goodAgain.isEmpty || !changes.removedNodes.isEmpty || !changes.disabledNodes.isEmpty
        if willBe, isGoodAgain, !isRevoked {
            lines.append("With --revoke-since these end again, or are removed and disabled again.")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// For programs. Encodes with every key.
    private struct Answer: Encodable {
        let file: String
        let schema: Int
        let knownUntil: Timestamp
        let at: Timestamp
        let replaced: String?
        let since: RestoreChanges
        /// What had ended since has ended again.
        let revokedSince: Bool
        /// That no key here opens.
        let uuidsEnded: Int

        init(_ restored: Restore, of file: String, isRevoked: Bool) {
            self.file = file
            schema = restored.schema
            (knownUntil, at) = (restored.knownUntil, restored.at)
            replaced = restored.replaced
            since = restored.changes
            revokedSince = isRevoked
            uuidsEnded = restored.unusable
        }

        private enum CodingKeys: String, CodingKey {
            case file, schema, knownUntil, at, replaced, since, revokedSince, uuidsEnded
        }

        func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(file, forKey: .file)
            try values.encode(schema, forKey: .schema)
            try values.encode(knownUntil, forKey: .knownUntil)
            try values.encode(at, forKey: .at)
            try values.encode(replaced, forKey: .replaced)
            try values.encode(since, forKey: .since)
            try values.encode(revokedSince, forKey: .revokedSince)
            try values.encode(uuidsEnded, forKey: .uuidsEnded)
        }
    }
}

extension Session {
    func records<Result>(_ body: () throws(RecordsError) -> Result) throws(AdminError) -> Result {
        do { return try body() } catch { throw AdminError(error) }
    }
}

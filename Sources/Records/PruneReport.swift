/// What a pruning of the history took away, or would take. Encodes with every key.
package struct PruneReport: Codable, Equatable, Sendable {
    /// As it was asked for.
    package var before: Timestamp
    package var dryRun: Bool
    /// Not all is done that could be: the same request goes on.
    package var more = false
    /// The hold that keeps what would otherwise go; nil if none does.
    package var heldBy: Int64?
    /// The newest seal behind which all goes, and its time; nil when nothing goes.
    package var seal: Int64?
    package var until: Timestamp?
    /// Rows. Carried: openings that stay because their connections had not ended then.
    package var opened: Int64 = 0
    package var closed: Int64 = 0
    package var carried: Int64 = 0
    /// Given back to the file system.
    package var freedBytes: Int64 = 0
    package var steps = 0
    /// On the writer's thread, with its commit: about what a write may have had to wait.
    package var longestStepMicroseconds: Int64 = 0

    package init(before: Timestamp, dryRun: Bool = false) {
        self.before = before
        self.dryRun = dryRun
    }

    /// One for both, of two that were asked for one after the other.
    package func followed(by next: PruneReport) -> PruneReport {
        var both = next
        if next.seal == nil { (both.seal, both.until, both.carried) = (seal, until, carried) }
        both.opened += opened
        both.closed += closed
        both.freedBytes += freedBytes
        both.steps += steps
        both.longestStepMicroseconds = max(longestStepMicroseconds, next.longestStepMicroseconds)
        return both
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(before, forKey: .before)
        try values.encode(dryRun, forKey: .dryRun)
        try values.encode(more, forKey: .more)
        try values.encode(heldBy, forKey: .heldBy)
        try values.encode(seal, forKey: .seal)
        try values.encode(until, forKey: .until)
        try values.encode(opened, forKey: .opened)
        try values.encode(closed, forKey: .closed)
        try values.encode(carried, forKey: .carried)
        try values.encode(freedBytes, forKey: .freedBytes)
        try values.encode(steps, forKey: .steps)
        try values.encode(longestStepMicroseconds, forKey: .longestStepMicroseconds)
    }
}

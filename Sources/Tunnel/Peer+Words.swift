import Logging
import Mux

// What the other end says, and what it makes this one write.
extension Peer {
    // MARK: Plans and reports

    func received(_ bytes: [UInt8], on link: MainLink) throws(Violation) {
        // A report has no more than this end has told of.
        let most = hasAuthority ? mostAnnounced : settings.maximumMappings
        switch try ControlMessage(bytes, maximumMappings: most) {
        case .plan(let revision, let parts, let node):
            // The end with the authority takes orders from nobody.
            guard !hasAuthority else { throw .badControl }
            // A link that is being given up no longer speaks for the other end.
            guard self.link === link else { return }
            self.revision = revision
            hasPlan = true
            if let node { called(node) }
            install(parts)
            notify()
        case .report(let revision, let states):
            guard hasAuthority else { throw .badControl }
            guard self.link === link else { return }
            // Whoever waits for a revision is answered by this number.
            guard revision <= announcedRevision, revision >= appliedRevision ?? 0 else {
                throw .falseRevision
            }
            for id in states.keys {
                guard mappings[id]?.kind == .peerListener || known.contains(id) else { throw .unknownMapping }
            }
            received(revision, states)
        }
    }

    /// Logs here name the node as those of the authority do.
    private func called(_ node: NodeName) {
        guard id != node.id || name != node.name else { return }
        say(.info, "named", ("node", node.name), ("id", node.id), ("before", name))
        (id, name) = (node.id, node.name)
    }

    /// What answers a plan is taken at once: there are as many of those as of plans. The rest may come as often as the budget has it.
    private func received(_ revision: Int64, _ states: [UInt32: ListenerState]) {
        let isAnswer = appliedRevision != revision
        guard isAnswer || states != remoteStates else { return dropHeldReport() }
        let wait = isAnswer ? 0 : reports.take(now: loop.now)
        dropHeldReport()
        guard wait > 0 else { return take(revision, states) }
        heldReport = (
            states,
            loop.schedule(after: wait) { [weak self] in
                guard let self, let held = heldReport, let revision = appliedRevision else { return }
                received(revision, held.states)
            }
        )
    }

    func dropHeldReport() {
        loop.cancel(heldReport?.timer)
        heldReport = nil
    }

    private func take(_ revision: Int64, _ states: [UInt32: ListenerState]) {
        for (id, state) in states.sorted(by: { $0.key < $1.key }) where remoteStates[id] != state {
            // One that was removed, or never listened there.
            guard let mapping = mappings[id], mapping.kind == .peerListener else { continue }
            remoteStates[id] = state
            log(state, of: mapping.otherPart, listen: "\(mapping.listen)")
            onListenerState?(id, state)
        }
        // A report is the whole: what it leaves out does not listen any more.
        remoteStates = remoteStates.filter { states[$0.key] != nil }
        appliedRevision = revision
        onReport?()
    }

    // MARK: Lines

    func log(_ state: ListenerState, of part: Part, listen: String) {
        switch state {
        case .pending: break
        case .active(let bound):
            say(
                .info, "listener-active", of: part.id, ("mapping", part.id), ("node", name),
                ("kind", part.kind.rawValue), ("listen", listen), ("bound", bound))
        case .failed(let error, let seconds):
            say(
                .warn, "listener-failed", of: part.id, ("mapping", part.id), ("node", name),
                ("kind", part.kind.rawValue), ("listen", listen), ("error", error), ("retry-seconds", seconds)
            )
        }
    }

    /// A line that the other end can cause as often as it likes.
    func say(_ level: LogLevel, _ event: StaticString, of mapping: UInt32? = nil, _ fields: Log.Field...) {
        if lines.admit(of: mapping, mappings: mappings.count, now: loop.now) {
            return Log.shared.log(level, event, fields)
        }
        guard linesLeftOutTimer == nil else { return }
        linesLeftOutTimer = loop.schedule(after: LineBudget.window) { [weak self] in self?.countLinesLeftOut()
        }
    }

    /// The exact count, a minute after the first.
    func countLinesLeftOut() {
        loop.cancel(linesLeftOutTimer)
        linesLeftOutTimer = nil
        let count = lines.takeLeftOut()
        if count > 0 { Log.warn("lines-left-out", ("node", name), ("count", count)) }
    }
}

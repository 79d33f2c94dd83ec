import Mux
import Reactor

/// Why a link ended, in one word for logs and records and a sentence for people.
package struct LinkEnd: Equatable, Sendable {
    package enum Word: String, Sendable {
        case closed
        case lost
        case timeout
        case violation
        case replaced
        case revoked
        case stopping
    }

    package let word: Word
    package let detail: String
    /// Sub-connections that ended with it, set when the link has ended.
    package var subConnections = 0
    /// Nanoseconds since its last byte, set when the link has ended.
    package var silence: UInt64 = 0
}

// Signs of life, last words, the end.
extension MainLink {
    // MARK: Signs of life

    /// Since the last byte came, whether or not it is held against the other end.
    var silence: UInt64 { loop.now - min(lastByte, loop.now) }

    //
    // With the default of `deadAfter`:
    //
    //     silent for, in s   15      28      30          120                     135
    //     the kernel         probe   probe   ┊ sends the question again and again ┊
    //     this program                       asks        no answer: over         not even acknowledged: over

    /// Silence after which this end asks. One end's question and the other's answer are a sign of life for both, so one asks:
    /// the server, whose questions of a second leave together, so that the answers come together too. A node asks when it was
    /// not asked in time.
    private var askAfter: UInt64 {
        settings.pingAfter + (peer.hasAuthority ? 0 : settings.pingPatience)
    }

    /// Begins to watch for silence. The other end is asked after 30 s (or at the whole second after that) and given up after `deadAfter`.
    /// Once is enough: TCP sends a question again until it is acknowledged, and a second one could only wait behind it.
    func watch() { lookAgain(after: askAfter) }

    private func lookAgain(after nanoseconds: UInt64, exactly: Bool = false) {
        // Unowned, and cancelled when the link goes: the first weak reference would make every other one cost twice as much.
        let look = { [unowned self] in
            guard let due = keepalive?.deadline else { return }
            self.look(due: due)
        }
        keepalive =
            exactly
            ? loop.schedule(after: nanoseconds, look) : loop.scheduleBySecond(after: nanoseconds, look)
    }

    private func look(due: UInt64) {
        records.tick(nowNanoseconds: loop.now)
        for sub in subConnections { sub?.sweep(now: loop.now, halfClosedIdle: settings.halfClosedIdle) }
        for sub in Array(lingering.values) {
            sub.sweep(now: loop.now, halfClosedIdle: settings.halfClosedIdle)
        }
        // This program itself was stopped (a suspended machine, a debugger): the silence is ours. Ask, and give 3 s.
        let wasStopped = loop.now - due > 3_000_000_000
        if wasStopped {
            // The monotonic clock begins with the machine: it may be younger than that.
            let soon = loop.now + 3_000_000_000
            lastHeard = max(lastHeard, soon - min(settings.deadAfter, soon))
        }
        let silence = loop.now - min(lastHeard, loop.now)
        if silence >= settings.deadAfter {
            let wait = waitForPath()
            if wait > 0 { return lookAgain(after: wait, exactly: true) }
            return end(LinkEnd(word: .timeout, detail: "nothing heard for \(silence / 1_000_000_000) s"))
        }
        guard silence >= askAfter else { return lookAgain(after: askAfter - silence) }
        multiplexer.ping(now: loop.now)
        isAsking = true
        patience = wasStopped ? 0 : settings.pathPatience
        schedule()
        lookAgain(after: settings.deadAfter - silence, exactly: true)
    }

    /// What may still pass before a link is given up whose question has not been answered. If it has been acknowledged the other
    /// program hangs: nothing. If not, it is the path, and that may have worked later than the other end's last word: the
    /// kernel has asked more often.
    private func waitForPath() -> UInt64 {
        guard let pathSilence = transport.pathSilence, pathSilence < settings.deadAfter else { return 0 }
        let wait = min(patience, settings.deadAfter - pathSilence)
        patience -= wait
        return wait
    }

    /// The other end has answered: the next look is when it is to be asked again.
    func answered() {
        guard isAsking else { return }
        isAsking = false
        loop.cancel(keepalive)
        lookAgain(after: askAfter)
    }

    // MARK: Control and the end

    func send(_ message: ControlMessage) {
        guard !isOver, !isClosing else { return }
        multiplexer.send(control: message.encoded)
        schedule()
    }

    /// Opens no more and asks the other end not to; closes when the last sub-connection has ended.
    func drain(_ reason: GoAwayReason, retryAfterMilliseconds: UInt32) {
        closeEnd = LinkEnd(word: .stopping, detail: "this end stops")
        multiplexer.goAway(reason, retryAfterMilliseconds: retryAfterMilliseconds)
        schedule()
    }

    /// Says why, ends every sub-connection, and closes so that the last words arrive. Those that are over on the link and
    /// only write what has come go on, unless the node must go.
    func close(
        _ reason: GoAwayReason, retryAfterMilliseconds: UInt32, sub closeReason: CloseReason, as end: LinkEnd
    ) {
        guard !isOver, !isClosing else { return }
        closeEnd = end
        let open = openStreams
        multiplexer.goAway(reason, retryAfterMilliseconds: retryAfterMilliseconds)
        for sub in subConnections {
            if let sub, reason == .revoked || multiplexer.isLive(sub.stream) { sub.abort(closeReason) }
        }
        // Counted now: when the link ends, none is left.
        closeEnd.subConnections = open - openStreams
        closeOrderly()
    }

    func violated(_ violation: Violation) {
        peer.violated(self, violation)
        guard !isOver else { return }
        close(
            .violation, retryAfterMilliseconds: 60_000, sub: .linkLost,
            as: LinkEnd(word: .violation, detail: violation.description))
    }

    func closeOrderly() {
        isClosing = true
        // Long enough for the last words to arrive; a peer that does not close by then is left.
        closeTimer = loop.schedule(after: Self.closeTimeout) { [unowned self] in
            end(closeEnd)
        }
        schedule()
    }

    /// `close(2)` with unread bytes sends RST, which can destroy our last words on their way: the sending half is shut,
    /// and the rest is read to the end, 64 KiB or 1 s.
    func finishClosing() {
        guard !isOver else { return }
        if !multiplexer.hasPending, !hasSaidGoodbye {
            hasSaidGoodbye = true
            records.sendCloseNotify()
            flush()
        }
        guard !isOver else { return }
        if hasSaidGoodbye, output.isEmpty, !hasShutDown {
            hasShutDown = true
            transport.shutdownWrite()
        }
        if drainedAfterClose > 64 << 10 { return end(closeEnd) }
        if transport.isReadable { schedule() }
    }

    /// At once: the socket is closed and every sub-connection sees a reset, but for those that have everything from the
    /// link and have sent everything to it. They need it no more, and write to their sockets what waits: the other end may
    /// close as soon as it has nothing left to do.
    func end(_ reason: LinkEnd) {
        guard !isOver else { return }
        isOver = true
        loop.cancel(keepalive)
        loop.cancel(closeTimer)
        transport.close()
        let open = openStreams
        let subReason: CloseReason =
            switch reason.word {
            case .stopping where goAwayReceived == .stopping: peer.hasAuthority ? .nodeStop : .serverStop
            case .stopping: peer.stopReason
            case .revoked: .revoked
            default: .linkLost
            }
        for (place, sub) in subConnections.enumerated() {
            guard let sub else { continue }
            if multiplexer.isLive(sub.stream) {
                sub.aborted(subReason)
            } else {
                subConnections[place] = nil
                linger(sub)
            }
        }
        if !lingering.isEmpty { watchLingering() }
        giveUpAwaited()
        sparse.removeAll()
        bulk.removeAll()
        output.removeAll()
        var ended = reason
        ended.silence = silence
        ended.subConnections = closeEnd.subConnections + open - openStreams
        closeEnd = ended
        peer.ended(self, ended)
    }

    /// Those that have stood still for the longest time first, as long as it `must` be.
    func endLingering(_ reason: CloseReason, while must: () -> Bool = { true }) {
        let now = loop.now
        let subs = lingering.values.sorted {
            ($1.idle(now: now), $0.stream.rawValue) < ($0.idle(now: now), $1.stream.rawValue)
        }
        for sub in subs where must() { sub.aborted(reason) }
    }
}

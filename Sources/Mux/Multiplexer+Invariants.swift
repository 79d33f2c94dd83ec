/// What must hold between any two calls. Tests ask after every few steps; nothing else does.
extension Multiplexer {
    /// The first rule that is broken, or nil. Walks the whole table.
    package var brokenInvariant: String? {
        var firstWindows = 0
        var grown = 0
        var beginners = 0
        var lent = [Int](repeating: 0, count: 13)
        var buffered = orphanedBytes
        var held = 0
        var heldOfTheirs = heldPast.count
        var queued = 0
        for (index, state) in states.enumerated() {
            if state.isLive, state.isReceiving {
                let window = state.window
                firstWindows += window.firstBytes
                grown += window.grownBytes
                beginners += window.beginnerBytes
                lent[window.grade] += window.lentBytes
                guard window.lentBytes >= 0, (0...Credit.beginnerBytes).contains(window.beginnerBytes) else {
                    return "slot \(index): growth"
                }
                buffered += window.bufferedBytes
                guard window.grantedBytes >= 0, window.owedBytes >= 0, window.bufferedBytes >= 0 else {
                    return "slot \(index): granted + buffered + owed == limit"
                }
                guard window.limitBytes <= Credit.maximumWindowBytes else {
                    return "slot \(index): limit <= cap"
                }
            }
            guard state.sendCredit >= 0 else { return "slot \(index): credit >= 0" }
            guard state.pending.isEmpty || (state.isQueued && state.isLive) else {
                return "slot \(index): pending"
            }
            if state.isQueued { queued += 1 }
            if index & 1 == 0, state.isLive || state.isHeld { held += 1 }
            if index & 1 == 1, state.isHeld { heldOfTheirs += 1 }
        }
        guard firstWindows == firstWindowsGranted else { return "first windows: \(firstWindows)" }
        guard firstWindows <= Credit.linkBytes - Credit.growthPoolBytes else {
            return "first windows <= half"
        }
        guard grown == growthPool.lentBytes else {
            return "growth pool: \(grown) grown, \(growthPool.lentBytes) lent"
        }
        guard beginners == growthPool.beginnersBytes, beginners <= Credit.beginnersBytes else {
            return "beginners: \(beginners)"
        }
        // What has once been lent to a lower grade goes up with its stream: the highest bound is for all.
        guard (0..<13).allSatisfy({ growthPool.lent($0) == lent[$0] }),
            grown - beginners <= Credit.growthPoolBytes - Credit.beginnersBytes
        else { return "lent: \(lent)" }
        guard firstWindows + grown + orphanedBytes <= Credit.linkBytes else { return "windows <= link" }
        guard linkGranted + linkOwed + buffered == Credit.linkBytes, linkGranted >= 0 else {
            return "link: granted \(linkGranted) + owed \(linkOwed) + buffered \(buffered)"
        }
        guard (0...Credit.linkBytes).contains(linkSendCredit) else { return "link: credit \(linkSendCredit)" }
        guard (0...2 * Credit.linkBytes).contains(lateAllowance) else { return "late: \(lateAllowance)" }
        guard held + freeSlots.count == ourSlotsUsed else { return "slots: \(held) and \(freeSlots.count)" }
        guard heldOfTheirs == theirStreams else { return "theirs: \(heldOfTheirs) of \(theirStreams) held" }
        return queued == queueLength ? nil : "queue: \(queued) marked, \(queueLength) linked"
    }

    /// Bytes that came and have not left.
    package var bufferedBytes: Int { Credit.linkBytes - linkGranted - linkOwed }

    /// What streams have beyond their first windows.
    package var grownBytes: Int { growthPool.lentBytes }

    /// Bytes that left and whose link credit has not gone back.
    package var unreturnedLinkBytes: Int { linkOwed }

    /// Whether everything that streams took has come back.
    package var isIdle: Bool {
        ourStreams == 0 && theirStreams == 0 && freeSlots.count == ourSlotsUsed
            && !states.contains { $0.isLive }
            && growthPool.isFull && firstWindowsGranted == 0 && orphanedBytes == 0
            && linkGranted + linkOwed == Credit.linkBytes
    }

    private var queueLength: Int {
        var length = 0
        var next = queueFirst
        while next >= 0, length <= states.count {
            length += 1
            next = states[Int(next)].nextQueued
        }
        return length
    }
}

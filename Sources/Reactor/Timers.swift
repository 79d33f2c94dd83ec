/// A call that is due at a time. Made by `EventLoop.schedule`.
package final class LoopTimer {
    package let deadline: UInt64
    private var action: (() -> Void)?
    /// Place in the heap; -1 when fired or cancelled.
    fileprivate var place = -1

    init(deadline: UInt64, action: @escaping () -> Void) {
        self.deadline = deadline
        self.action = action
    }

    fileprivate func drop() {
        action = nil
    }

    func fire() {
        let call = action
        action = nil
        call?()
    }
}

/// A binary heap whose members know their place, so that a cancelled timer leaves at once: ten thousand dials a second
/// with a timeout of ten seconds each would otherwise leave a hundred thousand dead ones behind. Deadlines are beside each
/// other, since the timers are all over the memory.
struct TimerHeap {
    private struct Entry {
        let deadline: UInt64
        let timer: LoopTimer
    }

    private var heap: [Entry] = []

    mutating func shrink() { heap = heap.map { $0 } }

    var nextDeadline: UInt64? { heap.first?.deadline }

    mutating func insert(_ timer: LoopTimer) {
        timer.place = heap.count
        heap.append(Entry(deadline: timer.deadline, timer: timer))
        moveUp(timer.place)
    }

    mutating func remove(_ timer: LoopTimer) {
        guard timer.place >= 0 else { return }
        let place = timer.place
        timer.place = -1
        timer.drop()
        let last = heap.removeLast()
        guard last.timer !== timer else { return }
        heap[place] = last
        last.timer.place = place
        moveUp(place)
        moveDown(last.timer.place)
    }

    /// Takes the earliest timer if it is due.
    mutating func popDue(_ now: UInt64) -> LoopTimer? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        let last = heap.removeLast()
        if last.timer !== first.timer {
            heap[0] = last
            last.timer.place = 0
            moveDown(0)
        }
        first.timer.place = -1
        return first.timer
    }

    private mutating func moveUp(_ start: Int) {
        var place = start
        while place > 0, heap[place].deadline < heap[(place - 1) / 2].deadline {
            exchange(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func moveDown(_ start: Int) {
        var place = start
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if heap[child].deadline < heap[least].deadline { least = child }
            }
            if least == place { return }
            exchange(place, least)
            place = least
        }
    }

    private mutating func exchange(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        heap[a].timer.place = a
        heap[b].timer.place = b
    }
}

/// What is going to happen in a simulated world, earliest first; of one moment, in the order in which it was planned.
struct EventHeap {
    enum Kind: UInt8 {
        /// Bytes that a socket has written arrive.
        case arrive
        /// A socket whose queue was full can be written again.
        case drain
        case connect
        case refuse
        case reset
        case call
    }

    /// Plain numbers, so that moving them in the heap counts no references.
    struct Entry {
        let time: UInt64
        let order: UInt64
        let kind: Kind
        let index: Int

        func isBefore(_ other: Entry) -> Bool {
            time != other.time ? time < other.time : order < other.order
        }
    }

    private var heap: [Entry] = []
    private var planned: UInt64 = 0

    var first: Entry? { heap.first }
    var isEmpty: Bool { heap.isEmpty }

    mutating func plan(_ kind: Kind, _ index: Int, at time: UInt64) {
        planned += 1
        let entry = Entry(time: time, order: planned, kind: kind, index: index)
        heap.append(entry)
        var place = heap.count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            guard entry.isBefore(heap[parent]) else { break }
            heap[place] = heap[parent]
            place = parent
        }
        heap[place] = entry
    }

    mutating func popFirst(until time: UInt64) -> Entry? {
        guard let first = heap.first, first.time <= time, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(last) else { break }
            heap[place] = heap[child]
            place = child
        }
        heap[place] = last
        return first
    }
}

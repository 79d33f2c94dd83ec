/// A list through the sub-connections themselves: joining and leaving it allocates nothing, and counts one reference, not four.
struct ReadyList {
    private var first: SubConnection?
    /// Safe unowned: as long as there is one it is the end of what `first` holds.
    private unowned(unsafe) var last: SubConnection?
    private(set) var count = 0

    var isEmpty: Bool { first == nil }

    mutating func append(_ sub: SubConnection) {
        if let last { last.nextReady = sub } else { first = sub }
        last = sub
        count += 1
    }

    /// It is not done yet.
    mutating func prepend(_ sub: SubConnection) {
        if first == nil { last = sub }
        sub.nextReady = first.take()
        first = sub
        count += 1
    }

    mutating func popFirst() -> SubConnection? {
        guard let sub = first.take() else { return nil }
        first = sub.nextReady.take()
        if first == nil { last = nil }
        count -= 1
        return sub
    }

    mutating func removeAll() {
        while popFirst() != nil {}
    }
}

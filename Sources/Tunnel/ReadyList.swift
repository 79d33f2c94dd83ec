/// A list through the sub-connections themselves: joining and leaving it allocates nothing.
struct ReadyList {
    private var first: SubConnection?
    private var last: SubConnection?
    private(set) var count = 0

    var isEmpty: Bool { first == nil }

    mutating func append(_ sub: SubConnection) {
        if let last { last.nextReady = sub } else { first = sub }
        last = sub
        count += 1
    }

    mutating func popFirst() -> SubConnection? {
        guard let sub = first else { return nil }
        first = sub.nextReady
        if first == nil { last = nil }
        sub.nextReady = nil
        count -= 1
        return sub
    }

    mutating func removeAll() {
        while popFirst() != nil {}
    }
}

/// Things in the order of their tickets.
struct Backlog<Element> {
    private var elements: [(ticket: UInt64, element: Element)?] = []
    private var start = 0

    var first: Element? { start < elements.count ? elements[start]?.element : nil }

    func forEach(_ body: (Element) -> Void) {
        for place in start..<elements.count { if let next = elements[place] { body(next.element) } }
    }

    mutating func shrink() {
        elements = elements[start...].map { $0 }
        start = 0
    }

    mutating func append(_ element: Element, ticket: UInt64) { elements.append((ticket, element)) }

    mutating func popFirst(through ticket: UInt64) -> Element? {
        guard start < elements.count, let next = elements[start], next.ticket <= ticket else { return nil }
        elements[start] = nil
        start += 1
        if start == elements.count {
            elements.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 4_096, start * 2 > elements.count {
            elements.removeFirst(start)
            start = 0
        }
        return next.element
    }
}

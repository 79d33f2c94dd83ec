/// Things in the order of their tickets.
struct Backlog<Element> {
    private var elements: [(ticket: UInt64, element: Element)?] = []
    private var first = 0

    mutating func append(_ element: Element, ticket: UInt64) { elements.append((ticket, element)) }

    mutating func popFirst(through ticket: UInt64) -> Element? {
        guard first < elements.count, let next = elements[first], next.ticket <= ticket else { return nil }
        elements[first] = nil
        first += 1
        if first == elements.count {
            elements.removeAll(keepingCapacity: true)
            first = 0
        } else if first > 4_096, first * 2 > elements.count {
            elements.removeFirst(first)
            first = 0
        }
        return next.element
    }
}

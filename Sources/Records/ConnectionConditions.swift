import SQLite

/// A filter as conditions on `opened AS o`, `closed AS c` and `routes AS r`. They decide alone what is answered; the way in
/// which candidates are found only makes it quick.
struct ConnectionConditions {
    /// How `closed` must be joined.
    enum Closing {
        case none, optional, required
    }

    private(set) var text: ComposedSQL = ""
    private(set) var values: [any Bindable] = []
    private(set) var closing = Closing.none
    private(set) var needsRoute = false
    let filter: ConnectionFilter
    let node: NodeMatch?
    let listener: ListenerMatch?

    init(_ filter: ConnectionFilter, node: NodeMatch?, listener: ListenerMatch?) {
        self.filter = filter
        self.node = node
        self.listener = listener
        addTimes()
        addClosing()
        if let client = filter.client {
            // BLOBs are compared from the front; another length is another family.
            for (place, form) in client.forms.enumerated() {
                add(
                    place == 0
                        ? " AND (o.client BETWEEN ? AND ? AND length(o.client) = ?"
                        : " OR o.client BETWEEN ? AND ? AND length(o.client) = ?", form.low, form.high,
                    form.low.count)
            }
            add(")")
        }
        let route = Self.routeConditions(node, listener, filter.target)
        needsRoute = !route.values.isEmpty
        text += route.text
        values += route.values
    }

    private mutating func add(_ sql: ComposedSQL, _ more: any Bindable...) {
        text += sql
        values += more
    }

    private mutating func addTimes() {
        if let since = filter.since { add(" AND o.at >= ?", since) }
        if let until = filter.until { add(" AND o.at < ?", until) }
        guard let at = filter.at else { return }
        closing = .optional
        add(" AND o.at <= ? AND (c.at IS NULL OR c.at > ?)", at, at)
    }

    private mutating func addClosing() {
        if !filter.results.isEmpty {
            closing = .required
            var list: ComposedSQL = " AND c.reason IN (?"
            for _ in filter.results.dropFirst() { list += ", ?" }
            text += list + ")"
            values += filter.results.map(\.rawValue)
        }
        if let bytes = filter.minBytes {
            // What has passed through an open one only the living server knows.
            let isOnlyClosed = filter.open == nil || closing == .required
            closing = isOnlyClosed ? .required : .optional
            if isOnlyClosed {
                add(" AND c.up + c.down >= ?", bytes)
            } else {
                add(" AND (c.id IS NULL OR c.up + c.down >= ?)", bytes)
            }
        }
        switch filter.isOpen {
        case true?:
            if closing == .none { closing = .optional }
            add(" AND c.id IS NULL")
        case false?: closing = .required
        case nil: break
        }
    }

    /// Conditions on `routes AS r` alone.
    static func routeConditions(
        _ node: NodeMatch?, _ listener: ListenerMatch?, _ target: String?
    ) -> (text: ComposedSQL, values: [any Bindable]) {
        var text: ComposedSQL = ""
        var values: [any Bindable] = []
        if let node {
            text += " AND (r.node = ? OR r.node_name = ?)"
            values += [node.id, node.name] as [any Bindable]
        }
        switch listener {
        case .id(let id)?:
            text += " AND r.mapping = ?"
            values.append(id)
        case .name(let name, let nodeName)?:
            text += " AND r.mapping_name = ?"
            values.append(name)
            if let nodeName {
                text += " AND r.node_name = ?"
                values.append(nodeName)
            }
        case nil: break
        }
        if let target {
            // The host alone: what follows its colon is a port.
            let isBare = target.contains(":") && !target.hasPrefix("[")
            let host = isBare ? "[\(target)]:" : "\(target):"
            let count = host.unicodeScalars.count
            text += """
                 AND (r.target = ? OR (substr(r.target, 1, ?) = ? AND length(r.target) > ?
                AND substr(r.target, ?) NOT GLOB '*[^0-9]*'))
                """
            values += [target, count, host, count, count + 1] as [any Bindable]
        }
        return (text, values)
    }

    /// What the conditions cannot say in SQL: whether enough has passed through an open one.
    func holds(_ record: ConnectionRecord) -> Bool {
        guard let least = filter.minBytes, record.isOpen else { return true }
        guard let passed = filter.open?[record.id] else { return false }
        return passed.up.adding(passed.down) >= least
    }

    var joinClosed: ComposedSQL {
        switch closing {
        case .none: ""
        case .optional: " LEFT JOIN closed AS c ON c.connection = o.id"
        // CROSS: in this order, or the whole of `closed` might be read first.
        case .required: " CROSS JOIN closed AS c ON c.connection = o.id"
        }
    }

    var joinRoute: ComposedSQL { needsRoute ? " CROSS JOIN routes AS r ON r.id = o.route" : "" }
}

/// A node as the history knows it: by its id, whatever it was called, or by a name that it had.
struct NodeMatch: Equatable, Sendable {
    var id: String?
    var name: String?
}

enum ListenerMatch: Equatable, Sendable {
    case id(UInt32)
    case name(String, node: String?)
}

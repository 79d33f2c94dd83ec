/// SQL that is put together while the program runs, of literals alone: a value can still only be bound.
///
///     var sql: ComposedSQL = "SELECT id FROM opened WHERE id > ?"
///     if hasEnd { sql += " AND id < ?" }
package struct ComposedSQL: ExpressibleByStringLiteral, Hashable, Sendable {
    let text: String

    package init(stringLiteral literal: StaticString) { text = literal.description }

    private init(text: String) { self.text = text }

    package static func + (one: ComposedSQL, other: ComposedSQL) -> ComposedSQL {
        ComposedSQL(text: one.text + other.text)
    }

    package static func += (one: inout ComposedSQL, other: ComposedSQL) { one = one + other }
}

extension Database {
    /// More would be a program that composes without end; all are then prepared anew.
    private static let composedStatements = 64

    /// All rows. `values` stand for the question marks, in their order.
    package func query<Element>(
        _ sql: ComposedSQL, list values: [any Bindable],
        row: (borrowing Row) throws(SQLiteError) -> Element
    ) throws(SQLiteError) -> [Element] {
        let statement = try statement(sql)
        defer { statement.isRunning = false }
        var all: [Element] = []
        try statement.run(values) { (found: borrowing Row) throws(SQLiteError) in all.append(try row(found)) }
        return all
    }

    private func statement(_ sql: ComposedSQL) throws(SQLiteError) -> Statement {
        if let known = composed[sql], !known.isRunning {
            known.isRunning = true
            return known
        }
        let new = try Statement(sql.text, in: handle)
        new.isRunning = true
        if composed.count >= Self.composedStatements { composed.removeAll() }
        if composed[sql] == nil { composed[sql] = new }
        return new
    }
}

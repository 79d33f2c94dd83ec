import SQLite

/// Why the records refuse something: a code for programs, and a sentence for people that names the other party.
package struct RecordsError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        case notFound = "not-found"
        case ambiguous
        case conflict
        case invalid
        case limit
        /// The store is closed, or another process kept the database too long.
        case busy
        /// Another process has the data directory; the message names its pid.
        case locked
        /// The database was written by a newer program.
        case newer
        case corrupt
        case io
    }

    package let code: Code
    package let message: String
    /// The next thing to try.
    package let hint: String?

    /// The disk has no room.
    let isFull: Bool
    /// The database is no longer under its name: what is written to it now, nobody would find.
    let isLoss: Bool

    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.init(code, message, hint: hint, isFull: false, isLoss: false)
    }

    init(_ code: Code, _ message: String, hint: String?, isFull: Bool = false, isLoss: Bool = false) {
        self.code = code
        self.message = message
        self.hint = hint
        self.isFull = isFull
        self.isLoss = isLoss
    }

    package init(_ error: SQLiteError) {
        let code: Code
        if error.isBusy {
            code = .busy
        } else if error.isCorrupt {
            code = .corrupt
        } else {
            code = .io
        }
        self.init(
            code, "database: \(error)", hint: error.isFull ? "make room on the disk" : nil,
            isFull: error.isFull)
    }

    package var description: String { message }
}

/// Runs work of the database and turns its failures into ours.
@discardableResult
func records<Result>(_ body: () throws(SQLiteError) -> Result) throws(RecordsError) -> Result {
    do { return try body() } catch { throw RecordsError(error) }
}

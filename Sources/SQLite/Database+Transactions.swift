import CSQLite

extension Database {
    /// All of `body` or nothing. The right to write is taken at the start, so a transaction never has to give up half-way.
    @discardableResult
    package func transaction<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(TransactionError<Failure>) -> Result {
        let result: Result
        do { try execute("BEGIN IMMEDIATE") } catch { throw .database(error) }
        do { result = try body() } catch {
            rollBack()
            throw .body(error)
        }
        do { try execute("COMMIT") } catch {
            rollBack()
            throw .database(error)
        }
        return result
    }

    /// A part of a transaction that can fail alone.
    @discardableResult
    package func savepoint<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(TransactionError<Failure>) -> Result {
        let result: Result
        do { try execute("SAVEPOINT part") } catch { throw .database(error) }
        do { result = try body() } catch {
            // Fails only when SQLite has rolled back everything already, which the caller sees by `isInTransaction`.
            _ = try? execute("ROLLBACK TO part")
            _ = try? execute("RELEASE part")
            throw .body(error)
        }
        do { try execute("RELEASE part") } catch { throw .database(error) }
        return result
    }

    /// Ends an open transaction without its changes; nothing happens when there is none.
    package func rollBack() {
        guard isInTransaction else { return }
        _ = try? execute("ROLLBACK")
    }
}

/// Whose failure ended a transaction.
package enum TransactionError<Failure: Error>: Error {
    case database(SQLiteError)
    case body(Failure)
}

extension TransactionError where Failure == SQLiteError {
    package var error: SQLiteError {
        switch self {
        case .database(let error), .body(let error): error
        }
    }
}

import SQLite

/// What the server knows of itself and commands need while it is down.
package enum Fact: String, Sendable {
    /// What nodes dial: `vpn.example.com:4443`, or `:925` where only the port is known.
    case nodeAddress = "node-address"
}

extension Transaction {
    package func set(_ fact: Fact, _ value: String) throws(RecordsError) {
        try run(
            """
            INSERT INTO facts (name, value) VALUES (?, ?)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value
            """, fact.rawValue, value)
    }
}

extension Reader {
    /// Nil while no server has said it.
    package func fact(_ fact: Fact) throws(RecordsError) -> String? {
        try records { () throws(SQLiteError) in
            try database.first("SELECT value FROM facts WHERE name = ?", fact.rawValue) {
                (row) throws(SQLiteError) in try row.text(0)
            }
        }
    }
}

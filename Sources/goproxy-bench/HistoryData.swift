// HistoryData: a long history, made as fast as the disk takes it: in large steps, without the indexes, which come afterwards.
import Records
import SQLite

struct HistoryData {
    let path: String
    let connections: Int64
    /// Microseconds: of the first connection, and from each to the next.
    let start: Int64
    let step: Int64

    private static let nodes = 1_000
    private static let listeners = 20
    private static let clients = 200_000
    private static let rowsAtOnce: Int64 = 250_000
    /// No connection lasts longer, in microseconds, so that closings can be put in their order part by part.
    private static let longest: Int64 = 3_600_000_000

    func make(_ folder: String) throws {
        try Store.open(directory: folder).close()
        let database = try Database(path: path, mode: .readWrite)
        _ = try database.query("PRAGMA cache_size = -1000000") { (_: borrowing Row) throws(SQLiteError) in 0 }
        _ = try database.query("PRAGMA wal_autocheckpoint = 20000") {
            (_: borrowing Row) throws(SQLiteError) in 0
        }
        try database.run(
            script: """
                DROP INDEX opened_by_route; DROP INDEX opened_by_client;
                CREATE TEMP TABLE clients (id INTEGER PRIMARY KEY, client BLOB NOT NULL);
                """)
        try small(database)
        for first in stride(from: 1, through: connections, by: Int(Self.rowsAtOnce)) {
            try openings(database, first, min(first + Self.rowsAtOnce - 1, connections))
        }
        try database.run(
            script: """
                CREATE INDEX opened_by_route ON opened (route);
                CREATE INDEX opened_by_client ON opened (client);
                """)
        for first in stride(from: 1, through: connections, by: Int(Self.rowsAtOnce)) {
            try closings(database, first, min(first + Self.rowsAtOnce - 1, connections))
        }
        _ = try database.query("PRAGMA wal_checkpoint(TRUNCATE)") { (_: borrowing Row) throws(SQLiteError) in
            0
        }
    }

    /// Routes, addresses and a week's notes.
    private func small(_ database: Database) throws {
        try database.execute("BEGIN")
        for number in 0..<Self.nodes * Self.listeners {
            let (node, listener) = (number / Self.listeners, number % Self.listeners)
            try database.execute(
                "INSERT INTO routes VALUES (?, ?, ?, x'00112233445566778899aabbccddeeff', ?, 'listener', ?, ?, ?, 0)",
                number + 1, "node-id-\(node)", "node-\(node)", number + 1, "m\(listener)",
                "0.0.0.0:\(10_000 + number % 50_000)", "10.0.0.\(listener):\(80 + node % 3)")
        }
        let rare = Self.nodes * Self.listeners + 1
        try database.execute(
            "INSERT INTO routes VALUES (?, 'node-id-rare', 'node-rare', x'00', ?, 'listener', 'r', ':1', '10.9.9.9:80', 0)",
            rare, rare)
        for number in 0..<Self.clients {
            let bytes: [UInt8] =
                number % 10 == 0
                ? [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 9)
                    + [UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)]
                : [10, UInt8(number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)]
            try database.execute("INSERT INTO clients VALUES (?, ?)", number, bytes)
        }
        for gap in 0..<50 as Range<Int64> {
            let at = start + connections / 51 * (gap + 1) * step
            try database.execute(
                "INSERT INTO notes VALUES (NULL, ?, 'gap', ?, ?, NULL, NULL, 'server-stop', 0)", at,
                at - step, at)
        }
        // Up to here all is closed, says the last start: nobody looks for open ones.
        try database.execute(
            "INSERT INTO notes VALUES (NULL, ?, 'start', NULL, NULL, ?, NULL, '{}', 0)",
            start + connections * step,
            connections)
        try database.execute("COMMIT")
    }

    /// The product of two even draws: few routes and addresses have most of the connections.
    private func openings(_ database: Database, _ first: Int64, _ last: Int64) throws {
        let routes = Self.nodes * Self.listeners
        try database.execute(
            """
            INSERT INTO opened
            WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2),
            h(i, a, b, c, d) AS (SELECT i, (i * 2654435761 >> 7) % 100003, (i * 40503 + i / 7) % 99991,
                (i * 2246822519 >> 9) % 100019, (i * 3266489917 >> 5) % 99989 FROM n)
            SELECT i, CASE WHEN i % 100000 = 77 AND i < ?8 / 2 THEN ?3 + 1 ELSE 1 + a * b % (100003 * 99991) * ?3 / (100003 * 99991) END,
                ?4 + i * ?5, i * 100, CASE WHEN i BETWEEN 5000 AND 5020 THEN x'c0000201'
                ELSE (SELECT client FROM clients WHERE id = c * d * ?6 / (100019 * 99989)) END, 1024 + i % 60000, i * ?7 + 4611686018427387904
            FROM h
            """, first, last, routes, start, step, Self.clients, 40_000_000_007, connections)
    }

    /// In the order of their ends. The last 40 are open.
    private func closings(_ database: Database, _ first: Int64, _ last: Int64) throws {
        let before = Self.longest / step + 1
        try database.execute(
            """
            INSERT INTO closed
            WITH e(id, at, d) AS (SELECT id, at, CASE id % 50 WHEN 0 THEN id * 7919 % ?1 ELSE id * 104729 % 30000000 END
                FROM opened WHERE id BETWEEN ?2 AND ?3 AND id < ?6 - 40)
            SELECT NULL, id, at + d, d, id * 31 % 4000, CASE id % 1000 WHEN 0 THEN id * 65537 % 2000000000 ELSE id * 127 % 90000 END,
                id * 31 % 4000, NULL, CASE WHEN id % 1000000 = 500000 THEN 'killed' WHEN id % 100 = 3 THEN 'idle'
                WHEN id % 3 = 0 THEN 'target-eof' ELSE 'client-eof' END, 0, id * 40000000007 + 4611686018427387904
            FROM e WHERE at + d >= ?4 AND at + d < ?5 ORDER BY at + d
            """, Self.longest, first - before, last, first == 1 ? 0 : start + first * step,
            last == connections ? Int64.max : start + (last + 1) * step, connections)
    }
}

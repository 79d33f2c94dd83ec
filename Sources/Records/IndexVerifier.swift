import SQLite

/// Compares a table's indexes with its rows, without looking for one row in the other: readers go by them, and an index that
/// has fewer rows, or others, hides or shows what the table does not.
///
/// For each row of the table, and each entry of the index, a number is added up that depends on the entry's values and on
/// numbers which are drawn anew each time: equal sums and counts are equal entries. That they ascend is looked at as they come.
struct IndexVerifier {
    struct Index {
        /// The key's columns, then the id, in the order of the index alone.
        let sql: StaticString
        /// Of the key, in the table's row.
        let columns: [Int32]
        let isUnique: Bool

        init(_ sql: StaticString, _ columns: [Int32], isUnique: Bool = false) {
            self.sql = sql
            self.columns = columns
            self.isUnique = isUnique
        }
    }

    private let indexes: [Index]
    private let seeds = (UInt64.random(in: 1...UInt64.max), UInt64.random(in: 1...UInt64.max) | 1)
    private var sums: [UInt64]
    private var rows: Int64 = 0

    init(_ indexes: [Index]) {
        self.indexes = indexes
        sums = [UInt64](repeating: 0, count: indexes.count)
    }

    /// A row of the table.
    mutating func add(_ row: borrowing Row, _ id: Int64) {
        rows += 1
        for place in indexes.indices { sums[place] &+= number(row, indexes[place].columns, id) }
    }

    func fault(in database: Database, _ table: String) throws(SQLiteError) -> ChainFault? {
        for place in indexes.indices {
            if let words = try compare(place, database) {
                return ChainFault(table, nil, "an index \(words): readers would not see what was written")
            }
        }
        return nil
    }

    private func compare(_ place: Int, _ database: Database) throws(SQLiteError) -> String? {
        let index = indexes[place]
        let columns = index.columns.indices.map(Int32.init)
        var (sum, count) = (0 as UInt64, 0 as Int64)
        var last = Entry(columns.count)
        var isOrdered = true
        do throws(SQLiteError) {
            try database.scan(index.sql) { (row) throws(SQLiteError) in
                let id = try row.integer(Int32(columns.count))
                sum &+= number(row, columns, id)
                isOrdered = last.isBefore(row, id, isUnique: index.isUnique) || count == 0
                count += 1
                last.set(row, id)
                return isOrdered
            }
        } catch {
            guard error.isCorrupt else { throw error }
            return "cannot be read: \(error.message)"
        }
        guard isOrdered else { return "is out of order" }
        guard count == rows else { return "has \(count) entries for \(rows) rows" }
        return sum == sums[place] ? nil : "has other entries than the rows"
    }

    // MARK: One entry's number

    private func number(_ row: borrowing Row, _ columns: [Int32], _ id: Int64) -> UInt64 {
        var sum = mixed(UInt64(bitPattern: id), seeds.0)
        for column in columns {
            row.withValue(column) { value in
                switch value {
                case .null: sum = mixed(sum, 1)
                case .integer(let number): sum = mixed(mixed(sum, 2), UInt64(bitPattern: number))
                case .text(let text): sum = mixed(sum, text, 3)
                case .blob(let blob): sum = mixed(sum, blob, 4)
                case .real(let number): sum = mixed(mixed(sum, 5), number.bitPattern)
                }
            }
        }
        return sum
    }

    private func mixed(_ sum: UInt64, _ value: UInt64) -> UInt64 {
        let product = (sum ^ value ^ seeds.0).multipliedFullWidth(by: seeds.1)
        return product.high ^ product.low
    }

    private func mixed(_ sum: UInt64, _ bytes: UnsafeRawBufferPointer, _ type: UInt64) -> UInt64 {
        var sum = mixed(sum, UInt64(bytes.count) << 8 | type)
        for start in stride(from: 0, to: bytes.count, by: 8) {
            var word: UInt64 = 0
            for place in start..<min(start + 8, bytes.count) { word = word << 8 | UInt64(bytes[place]) }
            sum = mixed(sum, word)
        }
        return sum
    }

    /// The one before, to compare with: numbers by their size, texts and blobs byte by byte, NULL first.
    private struct Entry {
        private var kinds: [UInt8]
        private var numbers: [Int64]
        private var bytes: [[UInt8]]
        private var id: Int64 = .min

        init(_ columns: Int) {
            kinds = [UInt8](repeating: 0, count: columns)
            numbers = [Int64](repeating: 0, count: columns)
            bytes = [[UInt8]](repeating: [], count: columns)
        }

        mutating func set(_ row: borrowing Row, _ id: Int64) {
            self.id = id
            for place in kinds.indices {
                row.withValue(Int32(place)) { value in
                    kinds[place] = Self.kind(value)
                    switch value {
                    case .integer(let number): numbers[place] = number
                    case .text(let raw), .blob(let raw):
                        bytes[place].removeAll(keepingCapacity: true)
                        bytes[place].append(contentsOf: raw)
                    case .null, .real: break
                    }
                }
            }
        }

        func isBefore(_ row: borrowing Row, _ id: Int64, isUnique: Bool) -> Bool {
            for place in kinds.indices {
                let order = row.withValue(Int32(place)) { value in compare(place, with: value) }
                if order != 0 { return order < 0 }
            }
            return !isUnique && self.id < id
        }

        /// Negative when this one comes first.
        private func compare(_ place: Int, with value: StoredValue) -> Int {
            let kind = Self.kind(value)
            guard kinds[place] == kind else { return kinds[place] < kind ? -1 : 1 }
            switch value {
            case .integer(let number): return numbers[place] == number ? 0 : numbers[place] < number ? -1 : 1
            case .text(let raw), .blob(let raw):
                if bytes[place].elementsEqual(raw) { return 0 }
                return bytes[place].lexicographicallyPrecedes(raw) ? -1 : 1
            case .null, .real: return 0
            }
        }

        private static func kind(_ value: StoredValue) -> UInt8 {
            switch value {
            case .null: 0
            case .integer, .real: 1
            case .text: 2
            case .blob: 3
            }
        }
    }
}

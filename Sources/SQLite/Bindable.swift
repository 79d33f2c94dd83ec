import CSQLite

/// A value that a statement's parameter can take. Integers wider than 63 bits are a fault of ours and stop the program.
package protocol Bindable {
    /// Answers SQLite's result code. Copies what it is given.
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32
}

/// NULL, where no typed nil is at hand.
package struct Null: Bindable {
    package init() {}

    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        sqlite3_bind_null(statement, index)
    }
}

extension Bindable where Self: BinaryInteger {
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        sqlite3_bind_int64(statement, index, Int64(self))
    }
}

extension Int: Bindable {}
extension Int64: Bindable {}
extension UInt16: Bindable {}
extension UInt32: Bindable {}

extension Bool: Bindable {
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        sqlite3_bind_int64(statement, index, self ? 1 : 0)
    }
}

extension Double: Bindable {
    /// SQLite keeps NaN as NULL.
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        sqlite3_bind_double(statement, index, self)
    }
}

extension String: Bindable {
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        var text = self
        return text.withUTF8 { bytes in
            // The empty text has no address, which would bind NULL.
            guard let base = bytes.baseAddress else {
                return goproxy_sqlite3_bind_text(statement, index, "", 0)
            }
            return base.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                goproxy_sqlite3_bind_text(statement, index, $0, UInt64(bytes.count))
            }
        }
    }
}

extension [UInt8]: Bindable {
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        withUnsafeBytes {
            goproxy_sqlite3_bind_blob(statement, index, $0.baseAddress, UInt64($0.count))
        }
    }
}

extension Optional: Bindable where Wrapped: Bindable {
    package func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        guard let self else { return sqlite3_bind_null(statement, index) }
        return self.bind(to: statement, at: index)
    }
}

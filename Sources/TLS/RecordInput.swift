/// Cuts what arrives into records. What has arrived whole is taken where it lies; only a record that comes in several pieces is
/// put together here.
struct RecordInput: ~Copyable {
    /// Not taken yet. The memory is the caller's.
    private(set) var fed = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Where `fed` lies, if it is a copy.
    private var kept: UnsafeMutableRawBufferPointer?
    private var partial: UnsafeMutableRawBufferPointer?
    private var partialCount = 0

    deinit {
        partial?.deallocate()
        kept?.deallocate()
    }

    enum Next {
        /// The memory is good until the next call.
        case record(UnsafeRawBufferPointer)
        case wantsMore
        case refused(Breach)
    }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        precondition(fed.isEmpty, "feeding before the last input was taken")
        kept?.deallocate()
        kept = nil
        fed = bytes
    }

    /// What has not been taken outlives the caller's memory. False if that is nothing.
    mutating func keep() -> Bool {
        if fed.isEmpty || kept != nil { return !fed.isEmpty }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: fed.count, alignment: 16)
        copy.copyMemory(from: fed)
        kept = copy
        fed = UnsafeRawBufferPointer(copy)
        return true
    }

    mutating func drop() {
        fed = UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// Removes up to as many bytes as `out` has.
    mutating func take(into out: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(out.count, fed.count)
        guard count > 0 else { return 0 }
        out.copyMemory(from: take(count))
        return count
    }

    mutating func next() -> Next {
        if partialCount == 0, fed.count >= ProtectedRecord.headerBytes {
            if let breach = Self.objection(to: fed) { return .refused(breach) }
            let size = ProtectedRecord.bytes(fed)
            if fed.count >= size { return .record(take(size)) }
        }
        guard !fed.isEmpty else { return .wantsMore }
        let partial = partial ?? .allocate(byteCount: ProtectedRecord.mostBytes, alignment: 16)
        self.partial = partial
        if partialCount < ProtectedRecord.headerBytes { complete(partial, to: ProtectedRecord.headerBytes) }
        guard partialCount >= ProtectedRecord.headerBytes else { return .wantsMore }
        let header = UnsafeRawBufferPointer(partial)
        if let breach = Self.objection(to: header) { return .refused(breach) }
        let size = ProtectedRecord.bytes(header)
        complete(partial, to: size)
        guard partialCount == size else { return .wantsMore }
        partialCount = 0
        return .record(UnsafeRawBufferPointer(rebasing: partial[..<size]))
    }

    /// Between two pieces of a record nothing can be given back.
    mutating func giveBackMemory() {
        guard partialCount == 0 else { return }
        partial?.deallocate()
        partial = nil
    }

    private mutating func complete(_ partial: UnsafeMutableRawBufferPointer, to size: Int) {
        partialCount += take(into: UnsafeMutableRawBufferPointer(rebasing: partial[partialCount..<size]))
    }

    private mutating func take(_ count: Int) -> UnsafeRawBufferPointer {
        let taken = UnsafeRawBufferPointer(rebasing: fed[..<count])
        fed = UnsafeRawBufferPointer(rebasing: fed[count...])
        return taken
    }

    /// Before a record's body is waited for.
    private static func objection(to header: UnsafeRawBufferPointer) -> Breach? {
        guard header[0] == RecordContent.applicationData.rawValue else { return .unprotected }
        let length = ProtectedRecord.bytes(header) - ProtectedRecord.headerBytes
        if length > ProtectedRecord.mostLength { return .tooLong }
        return length < ProtectedRecord.overhead ? .tooShort : nil
    }
}

import Buffers

/// The records of one connection after its handshake, both ways: data, key updates, alerts. Nothing is allocated for one, but for
/// one that comes in pieces.
struct RecordProtection: ~Copyable {
    private let output: ByteQueue
    var input = RecordInput()
    var keyUpdates = KeyUpdateSchedule()
    private var sending: TrafficKey
    private var receiving: TrafficKey
    private let isClient: Bool
    private var hasSentLast = false
    /// One behind the other, with nothing in them for us.
    private var idleRecords = 0
    /// Since the last tick, both ways.
    private var records = 0
    /// Between two ticks, of one that is busy.
    private static let busyRecords = 64
    private static let mostIdleRecords = 32
    private static let closeNotify: UInt8 = 0
    /// A word before the last one.
    private static let userCanceled: UInt8 = 90

    enum Received {
        case bytes(Int)
        case wantsInput
        case closed
        /// The peer's fatal alert.
        case alert(UInt8)
        /// `output` has the alert for it.
        case refused(TLSFailure)
    }

    init(isClient: Bool, sending: consuming TrafficKey, receiving: consuming TrafficKey, output: ByteQueue) {
        self.isClient = isClient
        self.sending = sending
        self.receiving = receiving
        self.output = output
    }

    /// Goes on until there is something to say. `buffer` has room for a whole record's payload.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Received {
        while true {
            switch input.next() {
            case .wantsMore: return .wantsInput
            case .refused(let breach): return refuse(breach)
            case .record(let record):
                records += 1
                if let received = open(record, into: buffer) { return received }
            }
        }
    }

    /// 1 to 16,384 bytes.
    mutating func write(_ payload: UnsafeRawBufferPointer) {
        precondition(!hasSentLast, "writing after the close")
        if keyUpdates.isDue { renewKey() }
        sending.seal(.applicationData, payload, into: output)
        keyUpdates.sentRecord()
        records += 1
    }

    mutating func sendCloseNotify() {
        send(level: 1, alert: Self.closeNotify)
    }

    mutating func tick(_ nanoseconds: UInt64) {
        keyUpdates.tick(nanoseconds)
        if records < Self.busyRecords { input.giveBackMemory() }
        records = 0
    }

    /// Nil: go on with the next record.
    private mutating func open(_ record: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer)
        -> Received?
    {
        guard let (content, count) = receiving.open(record, into: buffer) else { return refuse(.damaged) }
        if content == .applicationData, count > 0 {
            idleRecords = 0
            return .bytes(count)
        }
        let message = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        switch content {
        case .applicationData: return countIdle()
        case .handshake:
            // Ours makes no tickets; what another server gives away is not kept.
            return isClient && HandshakeMessage.areTickets(message) ? countIdle() : updateKey(message)
        case .alert:
            guard message.count == 2 else { return refuse(message.isEmpty ? .emptyAlert : .noAlert) }
            if message[1] == Self.userCanceled { return countIdle() }
            guard message[1] == Self.closeNotify else { return .alert(message[1]) }
            input.drop()
            return .closed
        case nil: return refuse(.unknownContent)
        }
    }

    private mutating func countIdle() -> Received? {
        idleRecords += 1
        return idleRecords > Self.mostIdleRecords ? refuse(.idleRecords) : nil
    }

    /// The peer's key changes behind the record, so the message must end with it (RFC 8446, 5.1). That it may begin in an earlier one
    /// nobody makes use of for five bytes, and nothing has to be kept between two records.
    private mutating func updateKey(_ message: UnsafeRawBufferPointer) -> Received? {
        guard HandshakeMessage.isKeyUpdate(message) else { return refuse(.handshakeMessage) }
        guard message[4] <= 1 else { return refuse(.keyUpdateValue) }
        keyUpdates.peerRenewedKey()
        // A flood ends here, in the middle of what was fed, not after megabytes of key derivations.
        if keyUpdates.isFlooded { return refuse(.keyUpdateFlood) }
        receiving.renew()
        if message[4] == 1, !hasSentLast { renewKey() }
        return nil
    }

    /// The peer is not asked for the same: it counts its own records.
    private mutating func renewKey() {
        HandshakeMessage.keyUpdate.withUnsafeBytes { sending.seal(.handshake, $0, into: output) }
        sending.renew()
        keyUpdates.renewedKey()
    }

    private mutating func refuse(_ breach: Breach) -> Received {
        send(level: 2, alert: breach.alert.rawValue)
        return .refused(breach.failure)
    }

    private mutating func send(level: UInt8, alert: UInt8) {
        guard !hasSentLast else { return }
        hasSentLast = true
        withUnsafeBytes(of: (level, alert)) { sending.seal(.alert, $0, into: output) }
    }
}

/// The two messages that may come after a handshake (RFC 8446, 4.6): a type, three bytes of length, the body.
private enum HandshakeMessage {
    private static let headerBytes = 4
    private static let ticketType: UInt8 = 4
    /// Which does not ask for the same of the other end.
    static let keyUpdate: [UInt8] = [24, 0, 0, 1, 0]

    /// Whole and alone; the last byte says whether the same is asked of us.
    static func isKeyUpdate(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count == keyUpdate.count && bytes.starts(with: keyUpdate.prefix(headerBytes))
    }

    /// One or several, whole.
    static func areTickets(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes[...]
        while let type = rest.first {
            guard type == ticketType, rest.count >= headerBytes else { return false }
            let length = rest.dropFirst().prefix(3).reduce(0) { $0 << 8 | Int($1) }
            guard rest.count - headerBytes >= length else { return false }
            rest = rest.dropFirst(headerBytes + length)
        }
        return !bytes.isEmpty
    }
}

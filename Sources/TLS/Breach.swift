/// A record that ends the link: what the peer is told (RFC 8446, 6.2) and what the log says.
struct Breach {
    let alert: Alert
    let failure: TLSFailure

    enum Alert: UInt8 {
        case unexpectedMessage = 10
        case badRecord = 20
        case recordOverflow = 22
        case illegalParameter = 47
        case decodeError = 50
    }

    private init(_ alert: Alert, _ kind: TLSFailure.Kind, _ text: String) {
        self.alert = alert
        failure = TLSFailure(kind, text)
    }

    static let damaged = Breach(.badRecord, .other, "a record was changed or damaged on the way")
    static let keyUpdateFlood = Breach(
        .unexpectedMessage, .keyUpdateFlood, "the peer asks for new keys too often")
    static let unprotected = ofProtocol(.unexpectedMessage, "a record that is not protected")
    static let tooLong = ofProtocol(.recordOverflow, "a record that is too long")
    static let tooShort = ofProtocol(.decodeError, "a record that is too short")
    static let idleRecords = ofProtocol(.unexpectedMessage, "record after record without anything in it")
    static let unknownContent = ofProtocol(.unexpectedMessage, "a record of an unknown kind")
    static let handshakeMessage = ofProtocol(.unexpectedMessage, "a handshake message that is no key update")
    static let keyUpdateValue = ofProtocol(.illegalParameter, "a key update that asks for neither yes nor no")
    static let emptyAlert = ofProtocol(.unexpectedMessage, "an alert without a word")
    static let noAlert = ofProtocol(.decodeError, "an alert that is none")

    private static func ofProtocol(_ alert: Alert, _ what: String) -> Breach {
        Breach(alert, .other, "the peer breaks the TLS protocol: \(what)")
    }
}

// Which uuids are too easy to guess. Whoever records one TLS hello can try uuids at home, as fast as scrypt
// lets him.
import Glibc

extension Credential {
    /// Shorter ones are refused whatever their characters are.
    package static let leastCharacters = 16
    /// At 10 guesses a second and core, 2^80 guesses are out of reach; nothing much below is.
    package static let leastEntropyBits = 80.0

    /// Nil for a strong uuid, else why it is weak: the end of a sentence that begins with *the uuid*, without
    /// any of its characters. An estimate: it knows repeats, sequences, common words and letter pairs, not
    /// all poems.
    package static func weakness(of uuid: String) -> String? {
        if let generated = try? GeneratedUUID.parse(uuid) {
            return GuessEstimate(GeneratedUUID.base32(generated.secret)).reason
        }
        let bytes = Array(uuid.utf8)
        let plain = GuessEstimate.withoutSeparators(bytes)
        if GuessEstimate.words.contains(plain.map(GuessEstimate.lowercased)) {
            return "is a well-known example"
        }
        if uuid.count < leastCharacters { return "is shorter than \(leastCharacters) characters" }
        if isTimeBased(bytes) {
            return "is made of a clock and a network card's address, which can be guessed"
        }
        // What stands behind 256 characters cannot make the rest weaker, and comparing is quadratic.
        return GuessEstimate(Array(plain.prefix(256))).reason
    }

    /// UUID versions 1, 2 and 6 (RFC 9562): 128 bits of text with perhaps 60 bits that an attacker has to
    /// guess.
    private static func isTimeBased(_ bytes: [UInt8]) -> Bool {
        let dashes = [8, 13, 18, 23]
        return bytes.count == 36
            && bytes.indices.allSatisfy {
                dashes.contains($0) ? bytes[$0] == UInt8(ascii: "-") : isxdigit(Int32(bytes[$0])) != 0
            }
            && [UInt8(ascii: "1"), UInt8(ascii: "2"), UInt8(ascii: "6")].contains(bytes[14])
            && [UInt8(ascii: "8"), UInt8(ascii: "9"), UInt8(ascii: "a"), UInt8(ascii: "b")].contains(
                bytes[19] | 0x20)
    }
}

/// How many bits of guessing a text is worth. Each character costs what its alphabet says, or less if those
/// before it make it likely; separators cost nothing.
struct GuessEstimate {
    let bits: Double

    var reason: String? {
        let needed = Credential.leastEntropyBits
        if bits >= needed { return nil }
        return "can be guessed: about \(Int(bits)) bits of randomness where \(Int(needed)) are needed"
    }

    /// Each counts as one choice out of a dictionary, wherever it stands.
    static let words = [
        "testuuid", "idste", "changeme", "changethis", "replaceme", "password", "passwort", "passw0rd",
        "secret",
        "goproxy", "default", "example", "letmein", "welcome", "administrator", "admin", "qwerty", "iloveyou",
        "server", "client", "proxy", "tunnel", "node", "uuid", "test", "token", "credential", "deadbeef",
        "cafebabe",
    ].map { Array($0.utf8) }
    private static let wordBits = 6.0
    private static let likelyBits = 0.5
    private static let commonPairBits = 2.0
    private static let orders = ["0123456789abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm"]
        .map { Array($0.utf8) }
    /// Two of three letter pairs of English text, one of six of random letters.
    private static let commonPairs = Set(
        ("th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al"
            + " de se le sa si ar ve ra ld ur ro ri co ic io me ne li ll ma om ot ca ce ho no pe ch be"
            + " so la us ee ss wa wh do rs ai el il da bo ow lo un ut sh op ac tr ge rr tt pl ck mo po"
            + " ke")
            .split(separator: " ").map { Array($0.utf8) })

    init(_ characters: [UInt8]) {
        let lower = characters.map(Self.lowercased)
        let full = Self.bitsPerCharacter(characters)
        var bits = 0.0
        var index = 0
        while index < lower.count {
            if let word = Self.words.first(where: { lower[index...].starts(with: $0) }) {
                bits += min(Self.wordBits, Double(word.count) * full)
                index += word.count
                continue
            }
            let repeated = Self.lengthOfRepeat(in: lower, at: index)
            if repeated >= 3 {
                bits += full + Self.likelyBits * Double(repeated)
                index += repeated
                continue
            }
            bits += Self.cost(in: lower, at: index, full: full)
            index += 1
        }
        self.bits = bits
    }

    static func withoutSeparators(_ bytes: [UInt8]) -> [UInt8] {
        bytes.filter { !" -_.:/{}".utf8.contains($0) }
    }

    static func lowercased(_ byte: UInt8) -> UInt8 {
        isUpper(byte) ? byte | 0x20 : byte
    }

    private static func isUpper(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }

    /// log2 of the alphabet that the text seems to be drawn from; of the characters it has, if they are
    /// strangely few.
    private static func bitsPerCharacter(_ characters: [UInt8]) -> Double {
        guard !characters.isEmpty else { return 0 }
        let isHex = characters.allSatisfy { isxdigit(Int32($0)) != 0 }
        let letters = isHex ? 6.0 : 26.0
        var alphabet = 0.0
        if characters.contains(where: { isdigit(Int32($0)) != 0 }) { alphabet += 10 }
        if characters.contains(where: { islower(Int32($0)) != 0 }) { alphabet += letters }
        if characters.contains(where: isUpper) { alphabet += letters }
        if characters.contains(where: { isalnum(Int32($0)) == 0 }) { alphabet += 16 }
        let distinct = Double(Set(characters).count)
        let expected = alphabet * (1 - pow(1 - 1 / alphabet, Double(characters.count)))
        return log2(max(distinct < 0.5 * expected ? distinct : alphabet, 1))
    }

    /// How many characters from `index` on are a copy of characters that stand before; a copy may overlap
    /// itself.
    private static func lengthOfRepeat(in text: [UInt8], at index: Int) -> Int {
        var longest = 0
        for start in 0..<index {
            var length = 0
            while index + length < text.count, text[start + length] == text[index + length] { length += 1 }
            longest = max(longest, length)
        }
        return longest
    }

    /// One character after the two before it: the second step of a sequence is likely, the first a little.
    private static func cost(in text: [UInt8], at index: Int, full: Double) -> Double {
        guard index > 0 else { return full }
        var cost = full
        for order in orders {
            guard let step = step(from: text[index - 1], to: text[index], in: order), abs(step) <= 1 else {
                continue
            }
            let goesOn = index > 1 && Self.step(from: text[index - 2], to: text[index - 1], in: order) == step
            cost = min(cost, goesOn ? likelyBits : max(full - 1, likelyBits))
        }
        if commonPairs.contains([text[index - 1], text[index]]) { cost = min(cost, commonPairBits) }
        return cost
    }

    private static func step(from one: UInt8, to other: UInt8, in order: [UInt8]) -> Int? {
        guard let from = order.firstIndex(of: one), let to = order.firstIndex(of: other) else {
            return one == other ? 0 : nil
        }
        return to - from
    }
}

import Ciphers
import Foundation
import Support
import Testing

/// With each library that this machine has.
@Suite struct GCMCipherTests {
    static let installed = GCMLibrary.allCases.filter(\.isInstalled)

    @Test(arguments: installed)
    func `the published vectors come out`(library: GCMLibrary) {
        // Test cases 3 and 4 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B.
        let plain = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
        )
        let sealed = bytes(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
        )
        let whole = Message(header: [], plain: plain)
        #expect(whole.seal(with: library) == sealed + bytes("4d5c2af327cd64a62cf35abd2ba6fab4"))
        let part = Message(
            header: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"), plain: [UInt8](plain.prefix(60)))
        #expect(part.seal(with: library) == sealed.prefix(60) + bytes("5bc94fbc3221a5db94fae95ae7121a47"))
    }

    @Test(arguments: installed)
    func `whatever OpenSSL seals it opens, and the other way round, in any pieces`(library: GCMLibrary) {
        var random = SystemRandomNumberGenerator()
        for round in 0..<300 {
            let count = round < 40 ? round : Int.random(in: 0...20_000)
            let message = Message(
                key: random.bytes(16), iv: random.bytes(12), header: random.bytes(Int.random(in: 0...60)),
                plain: random.bytes(count))
            let sealed = message.seal(with: library) { Int.random(in: 1...5_000) }
            #expect(message.seal(with: .openSSL) == sealed, "\(count) bytes")
            #expect(message.open(sealed, with: library) { Int.random(in: 1...5_000) } == message.plain)
        }
    }

    @Test(arguments: installed)
    func `a changed byte of message, header or tag is refused`(library: GCMLibrary) {
        let message = Message(header: [23, 3, 3, 0, 99], plain: [UInt8](repeating: 7, count: 1_000))
        let sealed = message.seal(with: library)
        for (place, bit) in [(999, UInt8(1)), (1_015, 128), (1_000, 1), (0, 4)] {
            var changed = sealed
            changed[place] ^= bit
            #expect(message.open(changed, with: library) == nil, "byte \(place)")
        }
        var other = message
        other.header[4] ^= 1
        #expect(other.open(sealed, with: library) == nil)
        other = message
        other.iv[11] ^= 1
        #expect(other.open(sealed, with: library) == nil)
        #expect(message.open(sealed, with: library) == message.plain)
    }

    @Test(arguments: installed)
    func `one cipher does message after message, whatever became of the last`(library: GCMLibrary) {
        let key = [UInt8](repeating: 3, count: 16)
        var sealer = GCMCipher(key: key, sealing: true, library: library)
        var opener = GCMCipher(key: key, sealing: false, library: library)
        for number in UInt8(0)..<20 {
            let nonce = [UInt8](repeating: number, count: 12)
            let text = [UInt8](repeating: number, count: Int(number) * 100)
            let sealed = sealer.seal(text, nonce: nonce, header: [number])
            #expect(
                opener.open(sealed.dropLast() + [sealed.last! ^ 1], nonce: nonce, header: [number]) == nil)
            #expect(opener.open(sealed, nonce: nonce, header: [number]) == text)
        }
    }

    @Test func `the fast library is used where it is installed and answers like the other`() throws {
        #expect(GCMLibrary.choice(isInstalled: true) { true } == .ipsecMB)
        #expect(GCMLibrary.choice(isInstalled: true) { false } == .openSSL)
        var isAsked = false
        let other = GCMLibrary.choice(isInstalled: false) {
            isAsked = true
            return true
        }
        #expect(other == .openSSL && !isAsked, "what is not there cannot be asked")
        // What this machine is, found out in another way: then the rest of this suite has run with it, or could not.
        let isHere = try Machine.hasFastLibrary()
        print("ipsec-mb \(isHere ? "is" : "is not") to be used on this machine")
        #expect(GCMLibrary.ipsecMB.isInstalled == isHere && Self.installed.contains(.ipsecMB) == isHere)
        #expect(GCMLibrary.best == (isHere ? .ipsecMB : .openSSL))
    }
}

private enum Machine {
    /// The header at build time, the library now, and the wide instructions.
    static func hasFastLibrary() throws -> Bool {
        #if arch(x86_64)
            guard FileManager.default.fileExists(atPath: "/usr/include/intel-ipsec-mb.h"),
                dlopen("libIPSec_MB.so.1", RTLD_NOW) != nil
            else { return false }
            let words =
                try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
                .split(separator: "\n").first { $0.hasPrefix("flags") }?.split(separator: " ") ?? []
            let wide = ["vaes", "vpclmulqdq", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"]
            return wide.allSatisfy { words.contains(Substring($0)) }
        #else
            return false
        #endif
    }
}

private struct Message {
    var key = bytes("feffe9928665731c6d6a8f9467308308")
    var iv = bytes("cafebabefacedbaddecaf888")
    var header: [UInt8]
    var plain: [UInt8]

    func seal(with library: GCMLibrary, piece: () -> Int = { .max }) -> [UInt8] {
        var cipher = GCMCipher(key: key, sealing: true, library: library)
        header.withUnsafeBytes { cipher.begin(nonce: iv, header: $0) }
        let out = run(&cipher, plain, piece)
        var tag = [UInt8](repeating: 0, count: 16)
        cipher.end(tag: &tag)
        return out + tag
    }

    /// Nil if it is refused.
    func open(_ sealed: [UInt8], with library: GCMLibrary, piece: () -> Int = { .max }) -> [UInt8]? {
        var cipher = GCMCipher(key: key, sealing: false, library: library)
        header.withUnsafeBytes { cipher.begin(nonce: iv, header: $0) }
        let out = run(&cipher, sealed.dropLast(16), piece)
        return cipher.end(expecting: [UInt8](sealed.suffix(16))) ? out : nil
    }

    private func run(_ cipher: inout GCMCipher, _ input: [UInt8], _ piece: () -> Int) -> [UInt8] {
        var out = [UInt8]()
        var rest = input[...]
        while !rest.isEmpty {
            let part = [UInt8](rest.prefix(piece()))
            rest = rest.dropFirst(part.count)
            var made = [UInt8](repeating: 0, count: part.count)
            cipher.update(&made, part, count: part.count)
            out += made
        }
        return out
    }
}

extension RandomNumberGenerator {
    fileprivate mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}

private func bytes(_ hex: String) -> [UInt8] {
    var digits = hex[...]
    var bytes = [UInt8]()
    while let byte = UInt8(digits.prefix(2), radix: 16) {
        bytes.append(byte)
        digits = digits.dropFirst(2)
    }
    return bytes
}

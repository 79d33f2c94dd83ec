import Glibc

/// Ports by name, as services(5) has them. Read once: getservbyname(3) asks whatever nsswitch.conf names, which may be another
/// machine, and a loop would wait for its answer.
enum ServiceNames {
    static let tcp = ports(in: text(of: "/etc/services"))

    /// `http  80/tcp  www  # a comment`
    static func ports(in text: String) -> [String: UInt16] {
        var ports: [String: UInt16] = [:]
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            let words = line.prefix { $0 != UInt8(ascii: "#") }.split { $0 == 32 || $0 == 9 }.map {
                String(decoding: $0, as: UTF8.self)
            }
            guard words.count > 1, words[1].hasSuffix("/tcp"), let port = UInt16(words[1].dropLast(4)) else {
                continue
            }
            // The first line of a name is the one that counts.
            for name in [words[0]] + words[2...] where ports[name] == nil { ports[name] = port }
        }
        return ports
    }

    private static func text(of path: String) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        let most = 1 << 20
        let bytes = [UInt8](unsafeUninitializedCapacity: most) { buffer, filled in
            while filled < most {
                let count = read(file, buffer.baseAddress! + filled, most - filled)
                if count <= 0 { break }
                filled += count
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

import Foundation

/// A domain and an address as a mapping writes them; the address is numeric here, tests ask no resolver.
package struct Endpoint: Sendable, Equatable, CustomStringConvertible {
    package var domain: String
    package var address: String

    package init(_ domain: String, _ address: String) {
        self.domain = domain
        self.address = address
    }

    package static func tcp(_ address: String) -> Endpoint { Endpoint("tcp", address) }
    package static func unix(_ path: String) -> Endpoint { Endpoint("unix", path) }
    package static let anyPort = Endpoint.tcp("127.0.0.1:0")

    package var description: String { "\(domain) \(address)" }

    /// What stands before the last colon, without brackets.
    package var host: String {
        guard let colon = address.lastIndex(of: ":") else { return address }
        return address[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
    }

    package var port: Int {
        guard let colon = address.lastIndex(of: ":") else { return 0 }
        return Int(address[address.index(after: colon)...]) ?? 0
    }

    /// The same port reached by another address of this machine: a listener on `[::]:0` has to be called by one.
    package func at(_ host: String) -> Endpoint {
        .tcp(host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")
    }

    package var json: String {
        #"{"Domain":"\#(domain)","Addr":"\#(address)"}"#
    }

    /// Family and raw socket address.
    func withSocketAddress<Result>(
        _ body: (_ family: Int32, UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) throws -> Result {
        if domain == "unix" { return try withUnixAddress(body) }
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &found) == 0, let found else {
            throw Failure("not a numeric address: \(self)")
        }
        defer { freeaddrinfo(found) }
        return try body(found.pointee.ai_family, found.pointee.ai_addr, found.pointee.ai_addrlen)
    }

    private func withUnixAddress<Result>(
        _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) throws -> Result {
        var raw = sockaddr_un()
        raw.sun_family = sa_family_t(AF_UNIX)
        let path = Array(address.utf8)
        guard path.count < MemoryLayout.size(ofValue: raw.sun_path) else {
            throw Failure("too long for a unix socket: \(address)")
        }
        withUnsafeMutableBytes(of: &raw.sun_path) { $0.copyBytes(from: path) }
        return try withUnsafePointer(to: &raw) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try body(AF_UNIX, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// The address that the kernel gave to a bound descriptor.
    package init(boundTo descriptor: Int32, domain: String) throws {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var service = [CChar](repeating: 0, count: 32)
        let status = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                guard getsockname(descriptor, raw, &length) == 0 else { return Int32(-1) }
                return getnameinfo(
                    raw, length, &host, socklen_t(host.count), &service, socklen_t(service.count),
                    NI_NUMERICHOST | NI_NUMERICSERV)
            }
        }
        guard status == 0 else { throw Failure("no address of descriptor \(descriptor)") }
        let name = text(host)
        self.init(domain, name.contains(":") ? "[\(name)]:\(text(service))" : "\(name):\(text(service))")
    }
}

private func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

import Glibc

/// An error number of the system, with the words that an operator knows for it.
package struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    package let number: Int32

    package init(_ number: Int32 = errno) {
        self.number = number
    }

    /// The other end had accepted, and then reset: said of a connection that there was.
    package var isOfConnected: Bool { number == ECONNRESET || number == EPIPE }

    /// For who would listen there: a port that only the privileged may have is named as one.
    package func words(listeningOn address: SocketAddress) -> String {
        guard number == EACCES, (1..<1_024).contains(address.port) else { return description }
        return "\(description): ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE"
    }

    package var description: String {
        var text = [CChar](repeating: 0, count: 128)
        // The GNU strerror_r may answer with a text of its own instead of the buffer.
        guard let words = goproxyStrerror(number, &text, text.count) else { return "error \(number)" }
        let lowered = String(cString: words)
        return lowered.prefix(1).lowercased() + lowered.dropFirst()
    }
}

private func goproxyStrerror(_ number: Int32, _ buffer: UnsafeMutablePointer<CChar>, _ count: Int)
    -> UnsafePointer<CChar>?
{
    guard strerror_r(number, buffer, count) == 0 else { return nil }
    return UnsafePointer(buffer)
}

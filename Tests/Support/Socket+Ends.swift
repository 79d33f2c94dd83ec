extension Socket {
    /// Reads to the end and tells how it came: `nil` is a clean end, `timedOut` is none at all.
    package func end(within limit: Duration = .seconds(10)) -> (bytes: Int, error: SocketError?) {
        let deadline = ContinuousClock.now + limit
        setLimit(limit)
        var bytes = 0
        while true {
            do {
                let more = try receive()
                if more.isEmpty { return (bytes, nil) }
                bytes += more.count
                guard ContinuousClock.now < deadline else { return (bytes, .timedOut) }
            } catch let error as SocketError {
                return (bytes, error)
            } catch {
                return (bytes, .other(call: "recv", errno: 0))
            }
        }
    }

    /// Sends `bytes` to an echo and wants them back.
    package func requireEcho(of bytes: [UInt8] = Array("ping".utf8)) throws {
        try send(bytes)
        let back = try receive(exactly: bytes.count)
        guard back == bytes else { throw Failure("the echo of \(bytes) is \(back)") }
    }
}

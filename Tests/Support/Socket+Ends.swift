import Foundation

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

extension Socket {
    /// Until something has come, which stays unread.
    package func waitForUnread() throws {
        var byte: UInt8 = 0
        guard recv(descriptor, &byte, 1, Int32(MSG_PEEK)) >= 0 else { throw SocketError("recv") }
    }

    /// Until the other end's system has all that was sent.
    package func waitUntilAcknowledged() throws {
        let descriptor = descriptor
        _ = try eventually("all is acknowledged") {
            // In segments (tcp(7)); what waits to be sent has none, but only while the window is shut.
            var info = tcp_info()
            var size = socklen_t(MemoryLayout<tcp_info>.size)
            let result = getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &size)
            return result == 0 && info.tcpi_unacked == 0 ? true : nil
        }
    }

    /// A byte with the urgent mark (MSG_OOB).
    package func sendUrgent(_ byte: UInt8) throws {
        var byte = byte
        guard Glibc.send(descriptor, &byte, 1, Int32(MSG_OOB) | Int32(MSG_NOSIGNAL)) == 1
        else { throw SocketError("send") }
    }

    /// Urgent bytes are read in their place among the others.
    package func keepUrgentBytes() { set(SOL_SOCKET, SO_OOBINLINE, Int32(1)) }
}

import CLinux
import Glibc

/// What the kernel may hold of a connection that we have not read. By default it is 128 KiB for each, and the kernel's memory for
/// all TCP of a machine is bounded (tcp(7), tcp_mem): 10,000 targets that send faster than a link takes fill it, and then segments
/// are dropped on every connection of the machine, the link's too. So in a crowd a connection gets a small buffer, until
/// its reader has room for more than that.
enum ReceiveBuffer {
    /// Descriptors are given out lowest first, so the number of a new one says how many there are. Below this the buffers of all
    /// are 256 MiB at most.
    static let crowdDescriptor: Int32 = 2_048
    /// The kernel doubles it, for what a segment takes besides its bytes. Smaller ones do not take a segment of loopback, and drop it.
    static let narrowBytes = 16 << 10
    /// What the kernel begins with (tcp(7), tcp_rmem).
    private static let usualBytes = 128 << 10

    static func narrow(_ descriptor: Int32) {
        StreamSocket.set(descriptor, SOL_SOCKET, SO_RCVBUF, Int32(narrowBytes))
    }

    /// Gives it the usual size, and lets it grow as the connection needs (socket(7), SO_BUF_LOCK; before Linux 5.14 it keeps that
    /// size).
    static func widen(_ descriptor: Int32) {
        StreamSocket.set(descriptor, SOL_SOCKET, SO_RCVBUF, Int32(usualBytes / 2))
        StreamSocket.set(descriptor, SOL_SOCKET, SO_BUF_LOCK, 0)
    }

    static func bytes(_ descriptor: Int32) -> Int {
        var bytes: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, &size)
        return Int(bytes)
    }
}

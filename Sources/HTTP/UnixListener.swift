import Glibc

/// The listening descriptor of a server, and the socket file that leads to it.
struct UnixListener: Sendable {
    let descriptor: Int32
    private let path: String
    /// To know our file again: another server may have put its own there.
    private let inode: UInt

    /// A file that a killed server left behind is replaced; one behind which somebody answers is not.
    init(_ path: String, mode: UInt32) throws(HTTPError) {
        self.path = path
        guard var address = sockaddr_un(path: path) else {
            throw HTTPError(
                .badPath,
                "\(path): cannot listen: a socket's path has 1 to 107 bytes, this one \(path.utf8.count)")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw HTTPError(.failed, "\(path): no socket: \(errorText())") }
        self.descriptor = descriptor
        do throws(HTTPError) {
            try Self.clear(path, &address)
            // Linux gives the new file the mode of the socket (less the umask), so it is never wider, not even briefly.
            guard fchmod(descriptor, mode) == 0,
                withUnixAddress(&address, { bind(descriptor, $0, $1) }) == 0
            else {
                let kind: HTTPError.Kind =
                    errno == EADDRINUSE ? .inUse : errno == EACCES ? .notPermitted : .failed
                throw HTTPError(kind, "\(path): cannot listen: \(errorText())")
            }
            var status = stat()
            // The umask may have taken bits from a mode for a group.
            guard chmod(path, mode) == 0, lstat(path, &status) == 0, listen(descriptor, 128) == 0 else {
                throw HTTPError(.failed, "\(path): cannot listen: \(errorText())")
            }
            inode = UInt(status.st_ino)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Removes the file, unless it is no longer ours: who comes now learns at once that there is no server.
    func removeFile() {
        var status = stat()
        if lstat(path, &status) == 0, UInt(status.st_ino) == inode { unlink(path) }
    }

    /// Closes the descriptor, when no thread uses it any more.
    func end() {
        close(descriptor)
    }

    private static func clear(_ path: String, _ address: inout sockaddr_un) throws(HTTPError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw HTTPError(.badPath, "\(path): cannot listen: there is something that is not a socket")
        }
        let probe = socket(
            AF_UNIX,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard probe >= 0 else { throw HTTPError(.failed, "\(path): no socket: \(errorText())") }
        defer { close(probe) }
        // Refused means that nobody holds the other side any more; a full queue (EAGAIN) is somebody.
        if withUnixAddress(&address, { connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED {
            unlink(path)
        } else {
            throw HTTPError(.inUse, "\(path): cannot listen: another server answers there")
        }
    }
}

extension sockaddr_un {
    /// Nil if the path does not fit: 108 bytes, the last of them 0.
    fileprivate init?(path: String) {
        self.init()
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= 107, !bytes.contains(0) else { return nil }
        sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &sun_path) { $0.copyBytes(from: bytes) }
    }
}

private func withUnixAddress(
    _ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) -> Int32 {
    withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}

func errorText(_ code: Int32 = errno) -> String {
    String(cString: strerror(code)).lowercased()
}

// Where OpenSSL meets our memory while hands are shaken: it reads from the caller's buffer and appends what is to be sent
// to the link's queue. No descriptor, no copy beside that append, and nothing that could block.
import Buffers
import COpenSSL

/// The method table of such a BIO. Its data is the engine, unretained: the engine owns the `SSL`, which owns
/// the BIO.
func makeEngineBIOMethod() -> OpaquePointer? {
    guard let method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "goproxy") else { return nil }
    BIO_meth_set_read(method, readInput)
    BIO_meth_set_write(method, appendOutput)
    BIO_meth_set_ctrl(method, control)
    return method
}

private func readInput(bio: OpaquePointer?, into out: UnsafeMutablePointer<CChar>?, room: Int32) -> Int32 {
    BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let data = BIO_get_data(bio), let out, room > 0 else { return -1 }
    return Unmanaged<TLSEngine>.fromOpaque(data)._withUnsafeGuaranteedRef { engine in
        let taken = engine.takeInput(into: UnsafeMutableRawBufferPointer(start: out, count: Int(room)))
        if taken == 0 {
            BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
            return -1
        }
        return Int32(taken)
    }
}

private func appendOutput(bio: OpaquePointer?, bytes: UnsafePointer<CChar>?, count: Int32) -> Int32 {
    BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let data = BIO_get_data(bio), let bytes, count > 0 else { return 0 }
    return Unmanaged<TLSEngine>.fromOpaque(data)._withUnsafeGuaranteedRef { engine in
        engine.output.append(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
        return count
    }
}

/// OpenSSL flushes after a flight of the handshake; there is nothing to flush, and failing would end the
/// handshake.
private func control(
    bio: OpaquePointer?, command: Int32, number: Int, pointer: UnsafeMutableRawPointer?
) -> Int {
    command == BIO_CTRL_FLUSH ? 1 : 0
}

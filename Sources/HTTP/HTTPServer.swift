import CMicrohttpd
import Glibc
import Synchronization

/// A server on a Unix socket, one thread for each connection, made by libmicrohttpd.
///
///     connect ─► thread ─► head ─► body, at most 1 MiB ─► handler ─► response, copied and sent by the library
///
/// The handler runs on the connection's thread and may block; others are not held up, until all connections are taken.
package final class HTTPServer: Sendable {
    package typealias Handler = @Sendable (HTTPRequest) -> HTTPResponse

    package struct Limits: Sendable {
        /// Each costs a thread. One beyond takes the place of whoever has gone longest without an answer being made for it; with
        /// all of them at work it is closed at once.
        package var connections = 64
        /// Without a byte in either direction. Longer than any handler blocks (60 s), so that a waiting client is kept.
        package var idleSeconds = 75
        package var bodyBytes = 1 << 20
        /// How long `stop` lets requests end that have begun.
        package var stopSeconds = 5

        package init() {}
    }

    private let listener: UnixListener
    private let service: Service
    private let limits: Limits
    /// The address of libmicrohttpd's daemon; 0 when stopped.
    private let daemon: Mutex<UInt>

    package init(
        unixSocket path: String, mode: UInt32 = 0o600, limits: Limits = Limits(), handler: @escaping Handler
    ) throws(HTTPError) {
        self.limits = limits
        service = Service(handler: handler, limits)
        listener = try UnixListener(path, mode: mode)
        // Unretained: `stop` ends every thread that uses it, and runs before `service` is released.
        let context = Unmanaged.passUnretained(service).toOpaque()
        let started = goproxy_MHD_start(
            // As many again for those that are on their way out.
            listener.descriptor, UInt32(2 * limits.connections), UInt32(limits.idleSeconds), handleRequest,
            requestCompleted, connectionChanged, context)
        daemon = Mutex(UInt(bitPattern: started))
        guard started != nil else {
            listener.removeFile()
            listener.end()
            throw HTTPError(.failed, "\(path): cannot listen: libmicrohttpd does not start")
        }
    }

    deinit { stop() }

    /// Takes no more connections, answers what has begun, closes the rest and removes the socket file. Blocks, at most
    /// `stopSeconds` and as long as handlers do: wake those that wait for something first.
    package func stop() {
        daemon.withLock { address in
            guard let pointer = OpaquePointer(bitPattern: address) else { return }
            address = 0
            service.isStopping.store(true, ordering: .relaxed)
            listener.removeFile()
            _ = MHD_quiesce_daemon(pointer)
            let deadline = time(nil) + limits.stopSeconds
            while service.requestsUnderWay.load(ordering: .relaxed) > 0, time(nil) < deadline {
                poll(nil, 0, 1)
            }
            MHD_stop_daemon(pointer)
            // Only now: the library's threads may look at it until they have ended.
            listener.end()
        }
    }
}

/// What the callbacks need. They run on the library's threads.
private final class Service: Sendable {
    let handler: HTTPServer.Handler
    let bodyBytes: Int
    let places: Places
    let isStopping = Atomic<Bool>(false)
    let requestsUnderWay = Atomic<Int>(0)

    init(handler: @escaping HTTPServer.Handler, _ limits: HTTPServer.Limits) {
        self.handler = handler
        bodyBytes = limits.bodyBytes
        places = Places(most: limits.connections)
    }

    static func of(_ context: UnsafeMutableRawPointer?) -> Service? {
        context.map { Unmanaged<Service>.fromOpaque($0).takeUnretainedValue() }
    }
}

/// One request while it arrives. Only its connection's thread sees it.
private final class Exchange {
    var body: [UInt8] = []
    var receivedBytes = 0
}

/// Called with the head (no exchange yet), then with each piece of the body, then once more with none: answer now.
private func handleRequest(
    context: UnsafeMutableRawPointer?, connection: OpaquePointer?, url: UnsafePointer<CChar>?,
    method: UnsafePointer<CChar>?, version: UnsafePointer<CChar>?, piece: UnsafePointer<CChar>?,
    pieceBytes: UnsafeMutablePointer<Int>?, slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let service = Service.of(context), let connection, let url, let method, let pieceBytes, let slot
    else { return .NO }
    guard let known = slot.pointee else {
        slot.pointee = Unmanaged.passRetained(Exchange()).toOpaque()
        service.requestsUnderWay.add(1, ordering: .relaxed)
        let announced = headers(of: connection)["content-length"].flatMap { Int($0) } ?? 0
        // Said before the body: a client that waits for "100 Continue" need not send it.
        return announced > service.bodyBytes ? refuseBody(connection, service) : .YES
    }
    let exchange = Unmanaged<Exchange>.fromOpaque(known).takeUnretainedValue()
    if pieceBytes.pointee > 0 {
        exchange.receivedBytes += pieceBytes.pointee
        if exchange.receivedBytes <= service.bodyBytes, let piece {
            exchange.body += UnsafeRawBufferPointer(start: piece, count: pieceBytes.pointee)
        }
        pieceBytes.pointee = 0
        // Nothing can be answered before the body's end; what has no end is cut off.
        return exchange.receivedBytes <= 16 * service.bodyBytes ? .YES : .NO
    }
    guard exchange.receivedBytes <= service.bodyBytes else { return refuseBody(connection, service) }
    if service.isStopping.load(ordering: .relaxed) {
        return send(refusal(503, "stopping", "the server is stopping"), on: connection, closes: true)
    }
    guard let request = request(connection, String(cString: method), String(cString: url), exchange.body)
    else {
        return send(
            refusal(
                400, "bad-address",
                "the address holds a broken escape, a parameter twice, or more than any address here has"),
            on: connection)
    }
    let name = UInt(bitPattern: connection)
    service.places.mark(name, isBusy: true)
    let response = service.handler(request)
    service.places.mark(name, isBusy: false)
    return send(response, on: connection, closes: service.isStopping.load(ordering: .relaxed))
}

private func connectionChanged(
    context: UnsafeMutableRawPointer?, connection: OpaquePointer?,
    slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, change: MHD_ConnectionNotificationCode
) {
    guard let service = Service.of(context), let connection else { return }
    let name = UInt(bitPattern: connection)
    if change == .CONNECTION_NOTIFY_STARTED {
        service.places.began(name, goproxy_MHD_descriptor(connection))
    } else {
        service.places.closed(name)
    }
}

private func requestCompleted(
    context: UnsafeMutableRawPointer?, connection: OpaquePointer?,
    slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, reason: MHD_RequestTerminationCode
) {
    guard let slot, let known = slot.pointee else { return }
    slot.pointee = nil
    Unmanaged<Exchange>.fromOpaque(known).release()
    Service.of(context)?.requestsUnderWay.subtract(1, ordering: .relaxed)
}

private func request(
    _ connection: OpaquePointer, _ method: String, _ url: String, _ body: [UInt8]
) -> HTTPRequest? {
    guard let peer = PeerIdentity(descriptor: goproxy_MHD_descriptor(connection)) else { return nil }
    var path: [String] = []
    for segment in url.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
        guard path.count < 16, let text = PercentCoding.decoded(segment), text.utf8.count <= 255 else {
            return nil
        }
        path.append(text)
    }
    var query: [String: String] = [:]
    for (name, value) in pairs(of: connection, .GET_ARGUMENT_KIND) {
        guard let name = PercentCoding.decoded(name[...]), isKey(name),
            let value = PercentCoding.decoded(value[...]), value.utf8.count <= 1_024,
            query.updateValue(value, forKey: name) == nil
        else { return nil }
    }
    return HTTPRequest(
        method: method, path: path, query: query, headers: headers(of: connection), body: body,
        peer: peer)
}

/// Names that are none of HTTP's are left out: nothing asks for them.
private func headers(of connection: OpaquePointer) -> [String: String] {
    Dictionary(pairs(of: connection, .HEADER_KIND).filter { isKey($0.0) }.map { ($0.lowercased(), $1) }) {
        $1
    }
}

/// A stranger's text may be hashed and compared when it is short and ASCII: by canonical equivalence, as dictionaries have it, a
/// letter with n combining marks costs n².
private func isKey(_ name: String) -> Bool {
    name.utf8.count <= 64 && name.utf8.allSatisfy { $0 < 128 }
}

private func pairs(of connection: OpaquePointer, _ kind: MHD_ValueKind) -> [(String, String)] {
    var found: [(String, String)] = []
    withUnsafeMutablePointer(to: &found) { found in
        _ = MHD_get_connection_values(
            connection, kind,
            { context, _, name, value in
                guard let context, let name else { return .NO }
                context.assumingMemoryBound(to: [(String, String)].self).pointee.append(
                    (String(cString: name), value.map { String(cString: $0) } ?? ""))
                return .YES
            }, found)
    }
    return found
}

private func refuseBody(_ connection: OpaquePointer, _ service: Service) -> MHD_Result {
    let message = "the body is longer than \(service.bodyBytes) bytes"
    return send(refusal(413, "too-large", message), on: connection, closes: true)
}

private func refusal(_ status: Int, _ code: StaticString, _ message: String) -> HTTPResponse {
    HTTPResponse(
        status: status, body: Array(#"{"error":{"code":"\#(code)","message":"\#(message)"}}"#.utf8))
}

private func send(_ response: HTTPResponse, on connection: OpaquePointer, closes: Bool = false) -> MHD_Result
{
    // Copied by the library, which does not write to it.
    let body = response.body.withUnsafeBytes {
        MHD_create_response_from_buffer(
            $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
    }
    guard let body else { return .NO }
    defer { MHD_destroy_response(body) }
    _ = MHD_add_response_header(body, "Content-Type", response.contentType)
    for (name, value) in response.headers { _ = MHD_add_response_header(body, name, value) }
    if closes { _ = MHD_add_response_header(body, "Connection", "close") }
    return MHD_queue_response(connection, UInt32(response.status), body)
}

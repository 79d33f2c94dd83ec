import CCurl
import Glibc

/// Asks a server on a Unix socket, through libcurl. Blocks the caller; a value that any thread may use.
package struct HTTPClient: Sendable {
    private let socket: String
    /// What one answer may take of memory: a fleet of 1,000 nodes with 20 mappings each fits ten times.
    private static let maximumAnswerBytes = 128 << 20

    package static func unix(_ path: String) -> HTTPClient { HTTPClient(socket: path) }

    /// - Parameter path: segments, which may hold any text.
    /// - Parameter timeout: for the whole exchange.
    package func send(
        _ method: String, _ path: [String], query: [(String, String)] = [], body: [UInt8]? = nil,
        timeout: Duration = .seconds(30)
    ) throws(HTTPError) -> HTTPResponse {
        guard Self.isReady, let handle = curl_easy_init() else {
            throw HTTPError(.failed, "\(socket): libcurl does not start")
        }
        defer { curl_easy_cleanup(handle) }
        guard socket.utf8.count <= 107 else {
            throw HTTPError(
                .badPath,
                "\(socket): cannot connect: a socket's path has at most 107 bytes, this one \(socket.utf8.count)"
            )
        }
        var url = "http://localhost/" + path.map(PercentCoding.encoded).joined(separator: "/")
        for (index, (name, value)) in query.enumerated() {
            url += (index == 0 ? "?" : "&") + PercentCoding.encoded(name) + "=" + PercentCoding.encoded(value)
        }
        let milliseconds = max(1, Int(clamping: Int64(timeout / .milliseconds(1))))
        // libcurl copies text, but not the body: it must live until the end of the exchange.
        let body = body ?? []
        let answer = Answer()
        let (code, status, type) = body.withUnsafeBufferPointer { bytes in
            withExtendedLifetime(answer) {
                perform(handle, method, url, bytes, milliseconds, answer)
            }
        }
        guard code == CURLE_OK else { throw failure(handle, code, answer) }
        return HTTPResponse(status: status, contentType: type, body: answer.bytes)
    }

    private func perform(
        _ handle: UnsafeMutableRawPointer, _ method: String, _ url: String,
        _ body: UnsafeBufferPointer<UInt8>,
        _ milliseconds: Int, _ answer: Answer
    ) -> (CURLcode, status: Int, contentType: String) {
        let texts: [(CURLoption, String)] = [
            (CURLOPT_UNIX_SOCKET_PATH, socket), (CURLOPT_URL, url), (CURLOPT_CUSTOMREQUEST, method),
            // The environment may name a proxy.
            (CURLOPT_PROXY, ""), (CURLOPT_USERAGENT, "goproxy-admin"),
        ]
        let numbers: [(CURLoption, Int)] = [
            // Timeouts without signals: other threads run.
            (CURLOPT_NOSIGNAL, 1), (CURLOPT_TIMEOUT_MS, milliseconds),
            (CURLOPT_CONNECTTIMEOUT_MS, min(milliseconds, 5_000)),
            // A segment of dots stays one.
            (CURLOPT_PATH_AS_IS, 1), (CURLOPT_PROTOCOLS, Int(CURLPROTO_HTTP)),
        ]
        for (option, text) in texts {
            let code = goproxy_curl_set_text(handle, option, text)
            if code != CURLE_OK { return (code, 0, "") }
        }
        for (option, number) in numbers {
            let code = goproxy_curl_set_long(handle, option, number)
            if code != CURLE_OK { return (code, 0, "") }
        }
        var headers: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(headers) }
        if !body.isEmpty {
            _ = goproxy_curl_set_long(handle, CURLOPT_POSTFIELDSIZE, body.count)
            _ = goproxy_curl_set_pointer(
                handle, CURLOPT_POSTFIELDS, UnsafeMutableRawPointer(mutating: body.baseAddress))
            headers = curl_slist_append(headers, "Content-Type: application/json")
            _ = goproxy_curl_set_pointer(handle, CURLOPT_HTTPHEADER, headers)
        }
        _ = goproxy_curl_set_sink(handle, CURLOPT_WRITEFUNCTION, receive)
        _ = goproxy_curl_set_pointer(handle, CURLOPT_WRITEDATA, Unmanaged.passUnretained(answer).toOpaque())
        let code = curl_easy_perform(handle)
        var status = 0
        var type: UnsafeMutablePointer<CChar>?
        _ = goproxy_curl_get_long(handle, CURLINFO_RESPONSE_CODE, &status)
        _ = goproxy_curl_get_text(handle, CURLINFO_CONTENT_TYPE, &type)
        return (code, status, type.map { String(cString: $0) } ?? "")
    }

    private func failure(_ handle: UnsafeMutableRawPointer, _ code: CURLcode, _ answer: Answer) -> HTTPError {
        var system = 0
        _ = goproxy_curl_get_long(handle, CURLINFO_OS_ERRNO, &system)
        switch code {
        case CURLE_COULDNT_CONNECT where system == ECONNREFUSED || system == ENOENT:
            return HTTPError(.noServer, "\(socket): cannot connect: no server answers there")
        case CURLE_COULDNT_CONNECT where system == EACCES || system == EPERM:
            return HTTPError(.notPermitted, "\(socket): cannot connect: permission denied")
        case CURLE_OPERATION_TIMEDOUT:
            return HTTPError(.timedOut, "\(socket): no answer in time")
        default:
            let why =
                answer.isTooLong
                ? "the answer is too long" : String(cString: curl_easy_strerror(code)).lowercased()
            return HTTPError(.failed, "\(socket): no answer: \(why)")
        }
    }

    /// Once for the process, before the first handle; a second thread waits here for the first.
    private static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    /// What has arrived. Only the thread inside `send` sees it.
    fileprivate final class Answer {
        var bytes: [UInt8] = []
        var isTooLong = false

        func take(_ piece: UnsafeRawBufferPointer) -> Bool {
            guard bytes.count + piece.count <= maximumAnswerBytes else {
                isTooLong = true
                return false
            }
            bytes += piece
            return true
        }
    }
}

/// Anything but the number of bytes given ends the exchange.
private func receive(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes, let context else { return 0 }
    let answer = Unmanaged<HTTPClient.Answer>.fromOpaque(context).takeUnretainedValue()
    return answer.take(UnsafeRawBufferPointer(start: bytes, count: size * count)) ? size * count : 0
}

/// One request, whole and within the limits.
package struct HTTPRequest: Sendable {
    package let method: String
    /// The segments between slashes, each decoded by itself: an escaped slash stays inside its segment.
    package let path: [String]
    package let query: [String: String]
    /// By names in lower case; of a repeated one, the last.
    package let headers: [String: String]
    package let body: [UInt8]
    package let peer: PeerIdentity

    package init(
        method: String, path: [String], query: [String: String] = [:], headers: [String: String] = [:],
        body: [UInt8] = [], peer: PeerIdentity
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
    }
}

/// What is answered, or was.
package struct HTTPResponse: Equatable, Sendable {
    package let status: Int
    package let contentType: String
    package let body: [UInt8]
    /// Beside Content-Type and what the library writes itself.
    package let headers: [String: String]

    package init(
        status: Int, contentType: String = "application/json", body: [UInt8] = [],
        headers: [String: String] = [:]
    ) {
        self.status = status
        self.contentType = contentType
        self.body = body
        self.headers = headers
    }
}

/// Why a server cannot listen or a client got no answer. The description is a phrase: *path: what failed: why*.
package struct HTTPError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Nobody listens: no such socket, or one left behind by a server that is gone.
        case noServer
        /// A server listens there already.
        case inUse
        case notPermitted
        case timedOut
        /// The path does not fit into a socket's address, or something else than a socket is there.
        case badPath
        case failed
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

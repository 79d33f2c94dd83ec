import Records

/// Why a request was refused: a status for HTTP, a code for programs, a sentence and the next thing to try for people.
package struct ControlError: Error, Equatable, Sendable {
    package let status: Int
    package let code: String
    package let message: String
    package let hint: String?

    package init(_ status: Int, _ code: String, _ message: String, hint: String? = nil) {
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
    }

    package init(_ error: RecordsError) {
        let status =
            switch error.code {
            case .notFound: 404
            case .ambiguous, .conflict, .limit: 409
            case .invalid: 400
            case .busy, .locked: 503
            case .newer, .corrupt, .io: 500
            }
        self.init(status, error.code.rawValue, error.message, hint: error.hint)
    }

    static func invalid(_ message: String, hint: String? = nil) -> ControlError {
        ControlError(400, RecordsError.Code.invalid.rawValue, message, hint: hint)
    }
}

/// `{"error":{"code":…,"message":…,"hint":…}}`
package struct ErrorBody: Codable, Equatable, Sendable {
    package struct Content: Codable, Equatable, Sendable {
        package let code: String
        package let message: String
        package let hint: String?

        package init(code: String, message: String, hint: String?) {
            self.code = code
            self.message = message
            self.hint = hint
        }

        package func encode(to encoder: any Encoder) throws {
            var values = encoder.container(keyedBy: CodingKeys.self)
            try values.encode(code, forKey: .code)
            try values.encode(message, forKey: .message)
            try values.encode(hint, forKey: .hint)
        }
    }

    package let error: Content

    package init(code: String, message: String, hint: String?) {
        error = Content(code: code, message: message, hint: hint)
    }
}

/// Runs work of the records and turns its refusals into ours.
func control<Result>(_ body: () throws(RecordsError) -> Result) throws(ControlError) -> Result {
    do { return try body() } catch { throw ControlError(error) }
}

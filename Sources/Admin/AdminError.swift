import Control
import FoundationEssentials
import HTTP
import Reactor
import Records

/// Why a command was not done. One line for people; JSON for programs that asked for it.
package struct AdminError: Error, Equatable, Sendable {
    package enum Status: Int32, Sendable {
        case failed = 1
        case wrongUsage = 2
        /// As a shell shows the end by Ctrl-C. What was printed is a part.
        case interrupted = 130
    }

    package let status: Status
    package let code: String
    package let message: String
    package let hint: String?

    package init(_ code: String, _ message: String, hint: String? = nil, status: Status = .failed) {
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
    }

    static func usage(_ message: String, hint: String? = nil) -> AdminError {
        AdminError("usage", message, hint: hint, status: .wrongUsage)
    }

    /// - Parameter number: of errno
    static func output(_ number: Int32) -> AdminError {
        AdminError("output", "standard output: cannot be written: \(SystemError(number))")
    }

    init(_ error: RecordsError) {
        self.init(error.code.rawValue, error.message, hint: error.hint)
    }

    /// An answer that is not a success.
    init(_ answer: HTTPResponse) {
        guard let body = try? JSONDecoder().decode(ErrorBody.self, from: Data(answer.body)) else {
            self.init("protocol", "the server answered \(answer.status) and no reason")
            return
        }
        self.init(body.error.code, body.error.message, hint: body.error.hint)
    }
}

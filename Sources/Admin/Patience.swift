import Glibc

/// Asks a server that may go and come back: what follows it goes on when it is there again.
final class Patience {
    private let session: Session
    /// Before the first answer a server that is not there is an error, unless somebody goes on where he was.
    private var hasBegun: Bool
    private var isWaiting = false

    init(_ session: Session, hasBegun: Bool) {
        self.session = session
        self.hasBegun = hasBegun
    }

    private static let pauseMilliseconds: Int32 = 200
    /// What a server answers that is not there, starts, or stops.
    private static let passing: Set<String> = ["no-answer", "not-running", "busy"]

    /// Nil when nobody reads any more what would be written.
    func ask(_ path: String, query: [(String, String)]) throws(AdminError) -> [UInt8]? {
        while !session.console.isOutputGone() {
            do throws(AdminError) {
                let answer = try session.askRunning(path, query: query, timeout: .seconds(30))
                if isWaiting { session.console.writeError("The server is there again.\n") }
                (hasBegun, isWaiting) = (true, false)
                return answer
            } catch {
                if session.console.isOutputGone() { return nil }
                guard hasBegun, Self.passing.contains(error.code) else { throw error }
                if !isWaiting {
                    session.console.writeError("Waiting for the server: \(safe(error.message))\n")
                }
                isWaiting = true
                poll(nil, 0, Self.pauseMilliseconds)
            }
        }
        return nil
    }
}

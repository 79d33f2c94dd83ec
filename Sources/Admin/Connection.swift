import Control
import Fleet
import Glibc
import HTTP
import Records
import Tunnel

/// The way to the control service: the server's, over its socket; or, while the server is down, one in this process, which
/// holds the lock of the data directory meanwhile. The lock decides: who holds it may write.
final class Connection {
    private let directory: String
    private let mayCreate: Bool
    private var local: (service: ControlService, store: Store, actor: Actor)?
    /// How long to try, when the lock is held and nobody answers: a server that starts, or another admin.
    private static let patience = Duration.seconds(10)

    init(directory: String, mayCreate: Bool) {
        self.directory = directory
        self.mayCreate = mayCreate
    }

    deinit { local?.store.close() }

    /// The body of a success; anything else is an error.
    func ask(
        _ method: String, _ path: [String], query: [(String, String)] = [], body: [UInt8]? = nil,
        timeout: Duration = .seconds(30)
    ) throws(AdminError) -> [UInt8] {
        let answer = try answer(method, path, query, body, timeout)
        guard (200..<300).contains(answer.status) else { throw AdminError(answer) }
        return answer.body
    }

    private func answer(
        _ method: String, _ path: [String], _ query: [(String, String)], _ body: [UInt8]?, _ timeout: Duration
    ) throws(AdminError) -> HTTPResponse {
        let deadline = ContinuousClock.now + Self.patience
        while local == nil {
            do throws(HTTPError) {
                return try HTTPClient.unix("\(directory)/control.sock").send(
                    method, path, query: query, body: body, timeout: timeout)
            } catch {
                guard error.kind == .noServer else { throw Self.failure(error) }
            }
            do throws(RecordsError) {
                local = try open()
            } catch {
                guard error.code == .locked, ContinuousClock.now < deadline else { throw Self.failure(error) }
                poll(nil, 0, 20)
            }
        }
        guard let local else { preconditionFailure("the loop ends with a service") }
        return local.service.handle(
            method, path, query: Dictionary(query) { $1 }, body: body ?? [], actor: local.actor)
    }

    /// Only what a running server says; nil without one.
    func askServer(_ path: [String], query: [(String, String)] = []) -> [UInt8]? {
        let answer = try? HTTPClient.unix("\(directory)/control.sock").send(
            "GET", path, query: query, timeout: .seconds(2))
        return answer?.status == 200 ? answer?.body : nil
    }

    /// The body of a success, from a running server alone.
    func askRunning(
        _ path: [String], query: [(String, String)], timeout: Duration
    ) throws(AdminError) -> [UInt8] {
        let answer: HTTPResponse
        do throws(HTTPError) {
            answer = try HTTPClient.unix("\(directory)/control.sock").send(
                "GET", path, query: query, timeout: timeout)
        } catch {
            throw Self.failure(error)
        }
        guard (200..<300).contains(answer.status) else { throw AdminError(answer) }
        return answer.body
    }

    private func open() throws(RecordsError) -> (ControlService, Store, Actor) {
        guard mayCreate || access("\(directory)/\(Store.fileName)", F_OK) == 0 || errno != ENOENT else {
            throw RecordsError(
                .notFound, "\(directory): no records here, and no server runs",
                hint: "give --data, or start goproxy-server, or add the first node")
        }
        let data = try Self.directory { () throws(DataDirectory.Failure) in try DataDirectory(directory) }
        // The lock first: the keys are made by one process only.
        let store = try Store.open(directory: directory)
        let service = ControlService(
            store: store, fleet: OfflineFleet(), credentials: Self.maker(data), serverVersion: Version.number,
            directory: directory)
        return (service, store, ControlService.actor(.own))
    }

    /// Whoever makes no credential needs no key.
    private static func maker(_ data: DataDirectory) -> any CredentialMaker {
        do throws(DataDirectory.Failure) { return try CredentialFactory(data) } catch {
            return NoMaker(why: error.description)
        }
    }

    private struct NoMaker: CredentialMaker {
        let why: String

        func make() throws(CredentialMakerError) -> NewCredential { throw CredentialMakerError(why) }
    }

    private static func directory<Result>(
        _ body: () throws(DataDirectory.Failure) -> Result
    ) throws(RecordsError) -> Result {
        do { return try body() } catch { throw RecordsError(.io, error.description) }
    }

    private static func failure(_ error: HTTPError) -> AdminError {
        switch error.kind {
        case .notPermitted:
            AdminError(
                "not-permitted", error.description, hint: "run it as the user of the server, or as root")
        case .timedOut:
            AdminError("no-answer", error.description, hint: "look at the log of the server")
        default: AdminError("no-answer", error.description)
        }
    }

    private static func failure(_ error: RecordsError) -> AdminError {
        guard error.code == .locked else { return AdminError(error) }
        return AdminError(
            "locked", "no server answers, but the records are in use: \(error.message)",
            hint: "wait until the server has started, or look at its log")
    }
}

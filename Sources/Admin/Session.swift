import Control
import Flags
import FoundationEssentials
import JSON
import Records

/// One command while it runs.
package final class Session {
    let arguments: Arguments
    let console: Console
    /// The data folder, for commands that look at it themselves.
    let directory: String
    private let connection: Connection
    private let verb: Verb
    /// Whether a request was done that is more than a question.
    private var hasChanged = false

    init(_ verb: Verb, _ arguments: Arguments, _ console: Console) {
        self.verb = verb
        self.arguments = arguments
        self.console = console
        directory = arguments.directory(console.environment)
        connection = Connection(directory: directory, mayCreate: verb.mayCreate)
    }

    var target: String { arguments.targets[0] }

    func ask(
        _ method: String, _ path: String..., query: [(String, String)] = [], body: JSONValue? = nil,
        timeout: Duration = .seconds(30)
    ) throws(AdminError) -> [UInt8] {
        let answer = try connection.ask(
            method, ["v1"] + path, query: query, body: body.map { jsonText($0) }, timeout: timeout)
        if method != "GET" { hasChanged = true }
        return answer
    }

    func askServer(_ path: String..., query: [(String, String)] = []) -> [UInt8]? {
        connection.askServer(["v1"] + path, query: query)
    }

    /// From a server that runs; without one this fails, and takes no lock of the records.
    func askRunning(
        _ path: String..., query: [(String, String)], timeout: Duration
    ) throws(AdminError) -> [UInt8] {
        try connection.askRunning(["v1"] + path, query: query, timeout: timeout)
    }

    func decode<Value: Decodable>(_ json: [UInt8], as type: Value.Type = Value.self) throws(AdminError)
        -> Value
    {
        do {
            return try JSONDecoder().decode(type, from: Data(json))
        } catch {
            throw AdminError(
                "protocol", "the server's answer is not what this program knows",
                hint: "use the goproxy-admin of the server's version")
        }
    }

    /// Prints the answer as it came for programs, or what `table` makes of it for people.
    ///
    /// - Parameter csv: the columns, where the verb has that form.
    func print(
        _ json: [UInt8], csv columns: [String] = [], table: () throws(AdminError) -> String
    ) throws(AdminError) {
        let text =
            arguments.output == .csv
            ? columns.joined(separator: ",") + "\n" + HistoryText.csv(columns, JSONLayout.elements(json))
            : try text(json, table: table)
        do throws(AdminError) { try console.write(text) } catch {
            guard hasChanged else { throw error }
            throw AdminError(error.code, "\(error.message); what was asked for is done")
        }
    }

    /// As `print`, of what nobody can ask for again: a reader that has gone is an error too.
    func printOnce(_ json: [UInt8], table: () throws(AdminError) -> String) throws(AdminError) {
        try console.writeOnce(try text(json, table: table))
    }

    private func text(_ json: [UInt8], table: () throws(AdminError) -> String) throws(AdminError) -> String {
        switch arguments.output {
        case .json: JSONLayout.indented(json) + "\n"
        case .jsonl:
            JSONLayout.elements(json).map { String(decoding: $0, as: UTF8.self) + "\n" }.joined()
        // The parser lets csv through where a verb has it.
        case .table, .csv: try table()
        }
    }

    /// Asks before something is lost. The question goes to standard error: standard output carries data alone.
    func confirm(_ consequence: @autoclosure () throws(AdminError) -> String) throws(AdminError) {
        guard !arguments.isForced else { return }
        let question = try consequence()
        guard console.isInputTerminal else {
            throw AdminError(
                "confirmation-needed", "\(question) Not done: there is no terminal to ask on",
                hint: "add --force", status: .wrongUsage)
        }
        console.writeError("\(question) Go on? [y/N] ")
        let answer = console.readLine()?.lowercased()
        guard answer == "y" || answer == "yes" else { throw AdminError("not-confirmed", "not done") }
    }

    func makeTable(_ titles: [String], rightAligned: Set<String> = []) -> TextTable {
        TextTable(titles, rightAligned: rightAligned, hasColor: console.hasColor)
    }
}

/// `1 mapping`, `2 mappings`
func counted(_ count: Int, _ noun: String) -> String { count == 1 ? "1 \(noun)" : "\(count) \(noun)s" }

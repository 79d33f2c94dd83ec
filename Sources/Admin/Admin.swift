import Control
import Flags
import Records
import Tunnel

/// The program as a function: a command line and a console in, the exit status out.
package enum Admin {
    package static func run(_ words: [String], on console: Console) -> Int32 {
        do throws(AdminError) {
            switch try CommandParser.parse(words) {
            case .help(let text): try console.write(text)
            case .version: try console.write(Version.text(Verb.program) + "\n")
            case .run(let verb, let arguments): try verb.run(Session(verb, arguments, console))
            }
            return 0
        } catch {
            report(error, asJSON: CommandParser.wantsJSON(words), on: console)
            return error.status.rawValue
        }
    }

    private static func report(_ error: AdminError, asJSON: Bool, on console: Console) {
        if asJSON {
            let body = ErrorBody(code: error.code, message: error.message, hint: error.hint)
            return console.writeError(String(decoding: jsonText(body), as: UTF8.self) + "\n")
        }
        console.writeError("\(Verb.program): \(safe(error.message))\n")
        if let hint = error.hint { console.writeError("  try: \(safe(hint))\n") }
    }
}

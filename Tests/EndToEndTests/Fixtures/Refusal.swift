import Foundation
import Support

/// One way to start a program wrongly, and what it has to say to that.
struct Refusal: Sendable, CustomStringConvertible {
    let description: String
    let programs: [String]
    let arguments: [String]
    let environment: [String: String]
    let code: Int32
    let says: [String]

    static let server = ["goproxy-server"]
    static let node = ["goproxy-node"]
    static let both = server + node

    /// `{dir}` stands for the test's directory, which holds `uuid` (a good one) and some that are not.
    init(
        _ description: String, _ programs: [String], _ arguments: [String],
        environment: [String: String] = [:],
        code: Int32 = 2, says: [String]
    ) {
        self.description = description
        self.programs = programs
        self.arguments = arguments
        self.environment = environment
        self.code = code
        self.says = says
    }

    /// With a good uuid and port before the wrong argument, so that nothing else is at fault.
    static func wrong(
        _ description: String, _ programs: [String], _ arguments: [String], code: Int32 = 2,
        says: String...
    ) -> Refusal {
        Refusal(description, programs, ["-uuid-file", "{dir}/uuid"] + arguments, code: code, says: says)
    }

    static func mapping(_ description: String, _ json: String, says: String...) -> [Refusal] {
        [("-listener", "listener"), ("-peer_listener", "peer_listener")].map { flag, name in
            Refusal(
                "\(flag): \(description)", server, ["-uuid-file", "{dir}/uuid", "-port", "0", flag, json],
                says: [name] + says)
        }
    }

    /// Starts each program so and returns what is not as it should be.
    func faults() throws -> [String] {
        let directory = try TemporaryDirectory()
        let good = "7c0a4f0e-51c2-4b8e-9d55-0a4b1d3f9e61"
        try directory.write("uuid", good)
        try directory.write("another", "1b62a7d7-7f0d-4d8b-8a52-6f0f3f5f11d2")
        try directory.write("readable", good, mode: 0o644)
        try directory.write("empty", "")
        try directory.write("weak", "idste")
        return try programs.flatMap { name in
            let takesData = name == "goproxy-server" && !arguments.contains("-data")
            let data = takesData ? ["-data", directory.file("data")] : []
            let filled = (arguments + data).map { $0.replacingOccurrences(of: "{dir}", with: directory.path) }
            let program = try Program.goproxy(
                name, filled,
                environment: environment.mapValues {
                    $0.replacingOccurrences(of: "{dir}", with: directory.path)
                })
            guard let done = try? program.finish(within: .seconds(5)) else {
                return ["\(name) did not end within 5 s\n\(program.transcript)"]
            }
            var faults: [String] = []
            if done.end != .exit(code) { faults.append("\(done.end) instead of exit \(code)") }
            if done.output != [] { faults.append("something on standard output") }
            if done.errors.count != 1 {
                faults.append("\(done.errors.count) lines on standard error instead of 1")
            }
            let line = done.errors.joined(separator: "\n")
            if !line.hasPrefix("\(name): ") {
                faults.append("the line does not begin with the program's name")
            }
            for words in says where !line.lowercased().contains(words.lowercased()) {
                faults.append("the line does not say \"\(words)\"")
            }
            if line.contains(good) || line.contains("idste") { faults.append("the line shows the uuid") }
            return faults.isEmpty ? [] : ["\(name): \(faults.joined(separator: "; "))\n\(done.transcript)"]
        }
    }
}

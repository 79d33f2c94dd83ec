// Options: what the command line asks for.

/// One part of the run that `-only` can select.
enum Section: String, CaseIterable, Codable {
    case memory, throughput, echo, short
}

struct Options {
    var rounds = 5
    var seconds = 0.8
    var connections = [1, 8]
    var short = [1, 32]
    var idle = 5_000
    var only = Section.allCases
    var direct = false
    var bin: String?
    var json: String?
    var verbose = false

    static let usage = """
        Usage: goproxy-bench [flags]

        Starts a goproxy-server and a goproxy-node on loopback, sends real traffic through a listener and a
        peer listener, and compares it with a direct connection measured in the same run.

          -rounds N           rounds; every figure is the median over them (5)
          -seconds S          length of one measurement (0.8)
          -connections LIST   bulk connections at once (1,8)
          -short LIST         short connections at once (1,32)
          -idle N             idle connections held for the memory figures (5000)
          -only LIST          sections out of memory,throughput,echo,short
          -direct             only the direct connection: what this machine and the load can do
          -bin DIR            where goproxy-server and goproxy-node are (beside this program)
          -json FILE          write all raw figures to FILE
          -verbose            copy the log of both programs to stderr
          -help
        """
}

extension Options {
    /// Parses the arguments after the program's name; `nil` asks for the usage text.
    static func parse(_ arguments: [String]) throws(BenchError) -> Options? {
        var options = Options()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("-") else { throw wrong(argument, "is not a flag") }
            let text = argument.drop { $0 == "-" }
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            var inline = parts.count == 2 ? String(parts[1]) : nil
            func value() throws(BenchError) -> String {
                if let given = inline ?? rest.popFirst() { return given }
                throw wrong("-\(name)", "needs a value")
            }
            switch name {
            case "help", "h": return nil
            case "direct", "verbose":
                inline = inline ?? "true"
                guard let on = Bool(inline!) else { throw wrong("-\(name)", "must be true or false") }
                if name == "direct" { options.direct = on } else { options.verbose = on }
            case "rounds": options.rounds = try number(name, value(), 1...1_000)
            case "seconds":
                guard let seconds = Double(try value()), (0.05...60).contains(seconds) else {
                    throw wrong("-seconds", "must be a number from 0.05 to 60")
                }
                options.seconds = seconds
            case "connections": options.connections = try numbers(name, value(), 1...256)
            case "short": options.short = try numbers(name, value(), 1...1_000)
            case "idle": options.idle = try number(name, value(), 1...1_000_000)
            case "only": options.only = try sections(value())
            case "bin": options.bin = try value()
            case "json": options.json = try value()
            default: throw wrong("-\(name)", "is not a flag of goproxy-bench")
            }
        }
        return options
    }

    private static func wrong(_ subject: String, _ why: String) -> BenchError {
        BenchError(subject: subject, failed: why, why: "see goproxy-bench -help", exitCode: 2)
    }

    private static func number(_ name: String, _ text: String, _ allowed: ClosedRange<Int>) throws(BenchError)
        -> Int
    {
        guard let number = Int(text), allowed.contains(number) else {
            throw wrong("-\(name)", "must be a number from \(allowed.lowerBound) to \(allowed.upperBound)")
        }
        return number
    }

    private static func numbers(
        _ name: String, _ text: String, _ allowed: ClosedRange<Int>
    ) throws(BenchError) -> [Int] {
        var numbers: [Int] = []
        for part in text.split(separator: ",") { numbers.append(try number(name, String(part), allowed)) }
        guard !numbers.isEmpty else { throw wrong("-\(name)", "must be a list of numbers") }
        return numbers
    }

    private static func sections(_ text: String) throws(BenchError) -> [Section] {
        var sections: [Section] = []
        for part in text.split(separator: ",") {
            guard let section = Section(rawValue: String(part)) else {
                throw wrong("-only", "takes memory, throughput, echo, short")
            }
            sections.append(section)
        }
        return sections
    }
}

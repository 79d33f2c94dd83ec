import Testing

import Flags

/// The options of an invented program with one flag of every kind.
struct Sample: Equatable {
    var host = "0.0.0.0"
    var port = 925
    var uuid: String?
    var note: String?
    var listeners: [String] = []
    var allowed: [String] = []
    var drain = Duration.seconds(10)
    var level = 0
    var isVerbose = false
    var arguments: [String] = []

    static let flags: [Flag<Sample>] = [
        .string("host", help: "address to listen on", default: "0.0.0.0") { $0.host = $1 },
        .int("port", help: "port to listen on", default: "925", in: 0...65_535) { $0.port = $1 },
        .string("uuid", value: "UUID", help: "credential", isSecret: true) {
            options, value throws(FlagError) in
            guard value.utf8.count >= 4 else { throw FlagError("too short") }
            options.uuid = value
        },
        .string("note", help: "may be empty", allowsEmpty: true) { $0.note = $1 },
        .list("listener", value: "JSON", help: "a mapping") { $0.listeners.append($1) },
        .list("allow", value: "RULES", help: "rules", separatedBy: ",") { $0.allowed.append($1) },
        .duration("drain", help: "how long to wait", default: "10s") { $0.drain = $1 },
        .custom("level", value: "WORD", help: "low or high,\nno more", default: "low", parse: readLevel) {
            $0.level = $1
        },
        .bool("verbose", help: "more lines") { $0.isVerbose = $1 },
    ]

    private static let readLevel: @Sendable (String) throws(FlagError) -> Int = { text throws(FlagError) in
        switch text {
        case "low": return 0
        case "high": return 1
        default: throw FlagError("neither low nor high")
        }
    }

    static let table = FlagTable(program: "sample", summary: "Does nothing.", flags: flags)
    static let tableWithArguments = FlagTable(
        program: "sample", summary: "Does nothing.", flags: flags, positionalPlaceholder: "[file…]"
    ) { (options, argument) throws(FlagError) in
        guard argument != "bad" else { throw FlagError("is bad") }
        options.arguments.append(argument)
    }
}

struct FlagTableTests {
    private func parsed(_ arguments: String...) throws -> Sample {
        var options = Sample()
        #expect(try Sample.table.parse(arguments, into: &options) == .run)
        return options
    }

    private func refusal(_ arguments: [String]) -> String {
        var options = Sample()
        let error = #expect(throws: FlagError.self) { try Sample.table.parse(arguments, into: &options) }
        #expect(options == Sample(), "a refused command line is not half applied")
        return error?.description ?? ""
    }

    @Test func `no arguments leave the defaults`() throws {
        #expect(try parsed() == Sample())
    }

    @Test(arguments: [["-port", "80"], ["--port", "80"], ["-port=80"], ["--port=80"], ["-port=80", "--"]])
    func `one dash or two, with a space or an equals sign, mean the same`(arguments: [String]) throws {
        var options = Sample()
        #expect(try Sample.table.parse(arguments, into: &options) == .run)
        #expect(options.port == 80)
    }

    @Test func `every kind of flag reaches its option`() throws {
        let options = try parsed(
            "-host", "::", "-uuid=abcd", "-note", "", "-listener", "{}", "-listener=[]", "-allow", "a:1,b:2",
            "-allow=c:3", "-drain", "1m30s", "-level", "high", "-verbose")
        #expect(options.host == "::")
        #expect(options.uuid == "abcd")
        #expect(options.note == "")
        #expect(options.listeners == ["{}", "[]"])
        #expect(options.allowed == ["a:1", "b:2", "c:3"])
        #expect(options.drain == .seconds(90))
        #expect(options.level == 1)
        #expect(options.isVerbose)
    }

    @Test(arguments: [
        ("-verbose", true), ("-verbose=true", true), ("--verbose=1", true), ("-verbose=false", false),
        ("-verbose=F", false),
    ])
    func `a bool stands alone or takes a value after an equals sign`(argument: String, expected: Bool) throws
    {
        #expect(try parsed(argument).isVerbose == expected)
    }

    @Test func `a value may hold anything, even dashes and equals signs`() throws {
        #expect(try parsed("-host", "-weird").host == "-weird")
        #expect(try parsed("-host=-port").host == "-port")
        #expect(try parsed("-host==").host == "=")
        #expect(try parsed("-host=\u{301}x").host == "\u{301}x")
        #expect(try parsed("-host", "-").host == "-")
    }

    @Test(arguments: [
        (["-lisener", "{}"], "unknown flag -lisener: did you mean -listener?"),
        (["--prot=1"], "unknown flag --prot: did you mean -port?"),
        (["-versio"], "unknown flag -versio: did you mean -version?"),
        (["-zzzzzzz"], "unknown flag: -zzzzzzz"),
        (["---port", "1"], "unknown flag ---port: did you mean -port?"),
        (["-="], "unknown flag: -"),
        (["-x\u{202E}\n"], #"unknown flag: -x\u{202E}\n"#),
        (["-port", "1", "-port=2"], "-port: given twice: it takes one value"),
        (["-verbose", "-verbose"], "-verbose: given twice: it takes one value"),
        (["-port"], "-port: missing value: expected int"),
        (["-uuid", "-host", "x"], #"-uuid: missing value: expected UUID, found the flag "-host""#),
        (["-uuid", "--host=x"], #"-uuid: missing value: expected UUID, found the flag "--host""#),
        (["-host", "--"], #"-host: missing value: expected string, found the flag "--""#),
        (["-host", ""], "-host: empty value: expected string"),
        (["-host="], "-host: empty value: expected string"),
        (["-verbose="], "-verbose: empty value: expected true or false"),
        (["-verbose=maybe"], #"-verbose: invalid value "maybe": neither true nor false"#),
        (["-verbose", "true"], #"unexpected argument "true": sample takes flags only"#),
        (["--", "-port"], #"unexpected argument "-port": sample takes flags only"#),
        (["-"], #"unexpected argument "-": sample takes flags only"#),
        ([""], #"unexpected argument "": sample takes flags only"#),
        (["-port", "925 "], #"-port: invalid value "925 ": not a whole number"#),
        (["-port", "65536"], #"-port: invalid value "65536": not between 0 and 65535"#),
        (["-port", "-1"], #"-port: invalid value "-1": not between 0 and 65535"#),
        (["-level", "hi\"gh"], #"-level: invalid value 'hi"gh': neither low nor high"#),
        (["-allow", "a:1,,b:2"], #"-allow: invalid value "a:1,,b:2": an element is empty"#),
        (["-host", "a\u{0}b"], #"-host: invalid value "a\0b": holds a NUL character"#),
        (["-help=1"], "-help: unexpected value: it takes none"),
        (["-drain", "10"], #"-drain: invalid value "10": a unit is missing: ns, us, ms, s, m, h or d"#),
    ])
    func `a wrong command line is refused in one line`(arguments: [String], expected: String) {
        #expect(refusal(arguments) == expected)
    }

    @Test func `a secret is in no message`() {
        for arguments in [
            ["-uuid=xyz"], ["-uuid", "xyz"], ["-uid=xyzxyzxyzxyz"],
            ["-port=1", "-uuid", "xyz\u{0}", "-port", "2"],
            ["-uuid", "abcdxyz", "-uuid=xyz"], ["-host", "abc", "gp1_abcdxyz"],
        ] {
            #expect(!refusal(arguments).contains("xyz"))
        }
    }

    @Test func `a value of a megabyte is taken, and shown short where it is wrong`() throws {
        let long = String(repeating: "9", count: 1 << 20)
        #expect(try parsed("-host", long).host.utf8.count == 1 << 20)
        for name in ["port", "drain", "level", "verbose"] {
            #expect(refusal(["-\(name)=\(long)"]).utf8.count < 250)
        }
        #expect(refusal([long]).utf8.count < 250)
        #expect(refusal(["-" + long]).utf8.count < 250)
    }

    @Test(arguments: ["-help", "--help", "-h", "--h"])
    func `help is a request, and changes nothing`(argument: String) throws {
        var options = Sample()
        #expect(try Sample.table.parse(["-port", "1", argument, "-nonsense"], into: &options) == .help)
        #expect(options == Sample())
    }

    @Test func `version is a request`() throws {
        var options = Sample()
        #expect(try Sample.table.parse(["--version"], into: &options) == .version)
    }

    @Test func `arguments beside flags are taken where the program wants them`() throws {
        var options = Sample()
        let arguments = ["one", "-port", "1", "-", "--", "-port", "--"]
        #expect(try Sample.tableWithArguments.parse(arguments, into: &options) == .run)
        #expect(options.port == 1)
        #expect(options.arguments == ["one", "-", "-port", "--"])
        #expect(throws: FlagError(#"argument "bad": is bad"#)) {
            try Sample.tableWithArguments.parse(["bad"], into: &options)
        }
    }

    @Test func `help reads as Go's flags do`() {
        #expect(
            Sample.tableWithArguments.help == """
                Usage: sample [flags] [file…]
                Does nothing.

                Flags:
                  -host string
                    \taddress to listen on (default "0.0.0.0")
                  -port int
                    \tport to listen on (default 925)
                  -uuid UUID
                    \tcredential
                  -note string
                    \tmay be empty
                  -listener JSON
                    \ta mapping (may be repeated)
                  -allow RULES
                    \trules (may be repeated)
                  -drain duration
                    \thow long to wait (default 10s)
                  -level WORD
                    \tlow or high,
                    \tno more (default "low")
                  -verbose
                    \tmore lines
                  -help
                    \tprint this text and exit
                  -version
                    \tprint the version and exit

                """)
    }
}

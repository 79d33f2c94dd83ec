// goproxy-bench: measures the tunnel on this machine, beside a direct connection.
//
// The clients, the origin behind the tunnel and the clock are this process; goproxy-server and goproxy-node
// are the real programs. All of it stays on loopback.
import Flags
import FoundationEssentials
import Glibc
import Tunnel

@main
struct Main {
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        CrashGuard.install()
        do throws(BenchError) {
            if CommandLine.arguments.dropFirst() == [OriginProcess.argument] {
                return try OriginProcess.run()
            }
            guard let options = try parse() else { return }
            let readme = try options.markdown.flatMap { (path) throws(BenchError) in
                path == "-" ? nil : try MarkdownFile(path)
            }
            for path in [options.svg, options.json] {
                if let path { try requireWritable(path) }
            }
            let temporary = try TemporaryFolder()
            try endOnSignal(temporary)
            if let nodes = options.fleet {
                defer { Program.endAll() }
                return try FleetBench(nodes: nodes, options: options, in: temporary).run()
            }
            if let connections = options.history {
                defer { temporary.remove() }
                return try HistoryBench(connections: connections, in: temporary).run()
            }
            var bench = Bench(options, temporary)
            let started = Date()
            let outcome: Result<Void, BenchError>
            do throws(BenchError) { outcome = .success(try bench.run()) } catch { outcome = .failure(error) }
            Program.endAll()
            temporary.remove()
            // What was measured before an error is worth showing too.
            let results = bench.results
            if !results.isEmpty { print(options.markdown == "-" ? results.markdown : results.report) }
            if let path = options.json { try results.write(to: path, started: started) }
            try outcome.get()
            if let path = options.svg { try writeText(results.picture.svg, to: path) }
            try readme?.write(results.markdown)
        } catch {
            complain("goproxy-bench: \(error)")
            exit(error.exitCode)
        }
    }

    /// The command line; `nil` when it asked for a text, which is printed.
    private static func parse() throws(BenchError) -> Options? {
        var options = Options()
        do {
            switch try Options.table.parse(Array(CommandLine.arguments.dropFirst()), into: &options) {
            case .run: return options
            case .help: print(Options.table.help, terminator: "")
            case .version: print(Version.text("goproxy-bench"))
            }
            return nil
        } catch {
            throw BenchError(subject: error.description, failed: "", why: "", exitCode: 2)
        }
    }

    /// Ctrl-C and its like end the children, remove the folder with the credential, and leave.
    private static func endOnSignal(_ temporary: TemporaryFolder) throws(BenchError) {
        let signals = [SIGINT, SIGTERM, SIGHUP]
        var blocked = sigset_t()
        sigemptyset(&blocked)
        for number in signals { sigaddset(&blocked, number) }
        // Before any other thread starts, so that all of them inherit it and only sigwait takes the signal.
        pthread_sigmask(SIG_BLOCK, &blocked, nil)
        try WorkThread {
            var waited = sigset_t()
            sigemptyset(&waited)
            for number in signals { sigaddset(&waited, number) }
            var number: Int32 = 0
            while sigwait(&waited, &number) != 0 {}
            complain("goproxy-bench: ended by signal \(number)")
            Program.endAll()
            temporary.remove()
            _exit(128 + number)
        }.detach()
    }
}

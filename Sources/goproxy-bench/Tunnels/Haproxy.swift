// Haproxy: two of them in a chain: no encryption, and a connection between the two for each client's.
import Glibc

struct Haproxy {
    static let name = "haproxy ×2"

    static func start(
        in temporary: TemporaryFolder, origin: Origin, echoLog: Bool
    ) throws(BenchError) -> Route {
        let path = try Rival.haproxy.programs()[0]
        let (entry, middle) = (try freePort(), try freePort())
        var programs: [Program] = []
        for (name, from, to) in [("second", middle, origin.port), ("first", entry, middle)] {
            let file = "\(temporary.path)/haproxy-\(name).cfg"
            try writePrivate(configuration(from, to), to: file)
            programs.append(
                try Program.start("haproxy", path: path, arguments: ["-db", "-f", file], echoLog: echoLog))
        }
        try awaitEcho(entry, through: programs)
        return Route(name: Self.name, port: entry, tunnel: TunnelProcesses(programs: programs))
    }

    private static func configuration(_ from: UInt16, _ to: UInt16) -> String {
        """
        global
          maxconn 9000
          nbthread 2
        defaults
          mode tcp
          timeout connect 5s
          timeout client 600s
          timeout server 600s
        listen relay
          bind 127.0.0.1:\(from)
          server next 127.0.0.1:\(to)

        """
    }
}

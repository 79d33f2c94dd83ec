import Flags
import Fleet
import Reactor
import Records
import Tunnel

/// The command line of goproxy-server.
struct Options: Sendable {
    var host = "0.0.0.0"
    var port: UInt16 = 925
    var uuid: String?
    var uuidFile: String?
    var listeners: [MappingText] = []
    var peerListeners: [MappingText] = []
    var data: String?
    var drain = Duration.seconds(8)
    var settings = TunnelSettings()
    var allowWeakUUID = false
    var printsNewUUID = false
    var publicAddress: String?
    var history = Self.defaultHistory

    private static let defaultHistory = {
        var history = ManagedServer.HistorySettings()
        history.retention.keepSeconds = 365 * 86_400
        return history
    }()

    private static let mappingHelp = """
        as JSON: {"Listen":{"Domain":"tcp","Addr":"0.0.0.0:1080"},"Forward":{"Domain":"tcp","Addr":"127.0.0.1:80"}}
        """

    static let table = FlagTable<Options>(
        program: "goproxy-server",
        summary:
            "Serves nodes behind NAT: holds one encrypted link with each and carries connections over it, both ways.",
        flags: [
            .string("host", value: "address", help: "address to listen on for nodes", default: "0.0.0.0") {
                $0.host = $1
            },
            .int("port", help: "port to listen on for nodes; 0: any free one", default: "925", in: 0...65_535)
            {
                $0.port = UInt16($1)
            },
            .custom(
                "public", value: "host:port",
                help: "where nodes reach this server: for the command that goproxy-admin node add prints",
                default: "the machine's name, and the port that is bound",
                parse: { (text: String) throws(FlagError) -> Endpoint in
                    do throws(EndpointError) {
                        let endpoint = try Endpoint(domain: .tcp, address: text)
                        guard !endpoint.host.isEmpty, endpoint.port > 0 else {
                            throw EndpointError("expected a name and a port, such as vpn.example.com:925")
                        }
                        return endpoint
                    } catch { throw FlagError("\(error)") }
                }, set: { $0.publicAddress = $1.address }),
            .string(
                "uuid", help: "credential of the node \"default\"; better: -uuid-file or GOPROXY_UUID",
                isSecret: true
            ) { $0.uuid = $1 },
            .string("uuid-file", value: "path", help: "file with the credential, mode 0600") {
                $0.uuidFile = $1
            },
            .list("listener", value: "mapping", help: "this server listens, the node dials;\n" + mappingHelp)
            {
                (options, text) throws(FlagError) in
                options.listeners.append(try mapping(text))
            },
            .list(
                "peer_listener", value: "mapping", help: "the node listens, this server dials; JSON as above"
            ) {
                (options, text) throws(FlagError) in
                options.peerListeners.append(try mapping(text))
            },
            .string(
                "data", value: "folder", help: "folder of the server's key and records",
                default: "$STATE_DIRECTORY, /var/lib/goproxy for root, else ~/.local/state/goproxy"
            ) { $0.data = $1 },
            .duration(
                "drain", help: "how long open connections may go on after SIGTERM", default: "8s",
                in: .zero ... .seconds(86_400)
            ) { $0.drain = $1 },
            .custom(
                "audit", value: "policy",
                help: "required: no byte passes before its connection is on record; or best-effort",
                default: "required", parse: auditPolicy, set: { $0.history.policy.isRequired = $1 }),
            .custom(
                "on-audit-failure", value: "policy",
                help: "when connections cannot be recorded: refuse new ones, or continue",
                default: "refuse", parse: failurePolicy, set: { $0.history.policy.refusesOnFailure = $1 }),
            .duration(
                "history-keep", help: "how long the history is kept; 0s: for ever", default: "365d",
                in: .zero ... .seconds(36_500 * 86_400)
            ) { $0.history.retention.keepSeconds = $1 == .zero ? nil : $1.components.seconds },
            .custom(
                "history-max", value: "size",
                help: "size of the database, such as 10GB, from which on the oldest history goes; 0: none",
                default: "0", parse: size, set: { $0.history.retention.maximumBytes = $1 == 0 ? nil : $1 }),
            .duration(
                "link-timeout", help: "how long nothing may come from a node before its connections end",
                default: "2m",
                in: .seconds(15) ... .seconds(900)
            ) { $0.settings.deadAfter = UInt64($1 / .nanoseconds(1)) },
            .duration(
                "dial-timeout", help: "how long a target may take: its name and all its addresses",
                default: "10s", in: .milliseconds(100) ... .seconds(3_600)
            ) { $0.settings.dialTimeout = UInt64($1 / .nanoseconds(1)) },
            .duration(
                "keepalive",
                help: "how often a silent client or target is asked whether its machine is there; 0s: never",
                default: "15s", in: .zero ... .seconds(32_767)
            ) { $0.settings.keepAliveSeconds = Int($1 == .zero ? 0 : max($1.components.seconds, 1)) },
            .bool("allow-weak-uuid", help: "accept a credential that can be guessed") {
                $0.allowWeakUUID = $1
            },
            .bool("new-uuid", help: "print a new credential that also names this server's key, and exit") {
                $0.printsNewUUID = $1
            },
            .bool("verbose", help: "log a line for each connection") { $0.settings.isVerbose = $1 },
        ])

    private static func auditPolicy(_ text: String) throws(FlagError) -> Bool {
        switch text {
        case "required": return true
        case "best-effort": return false
        default: throw FlagError("none of required, best-effort")
        }
    }

    private static func failurePolicy(_ text: String) throws(FlagError) -> Bool {
        switch text {
        case "refuse": return true
        case "continue": return false
        default: throw FlagError("none of refuse, continue")
        }
    }

    /// `10GB`: a whole number and a unit of 1,000.
    private static func size(_ text: String) throws(FlagError) -> Int64 {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let units: [String: Int64] = [
            "": 1, "B": 1, "kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000,
            "TB": 1_000_000_000_000,
        ]
        guard let number = Int64(digits), let unit = units[String(text.dropFirst(digits.count))] else {
            throw FlagError("expected a size such as 500MB or 10GB")
        }
        let (bytes, isTooMuch) = number.multipliedReportingOverflow(by: unit)
        guard !isTooMuch else { throw FlagError("too large") }
        return bytes
    }

    private static func mapping(_ text: String) throws(FlagError) -> MappingText {
        do {
            return try MappingText(text)
        } catch {
            throw FlagError(error.description)
        }
    }
}

import Flags
import Reactor
import Tunnel

/// The command line of goproxy-node.
struct Options: Sendable {
    var host = "127.0.0.1"
    var port: UInt16 = 925
    var uuid: String?
    var uuidFile: String?
    var allow: AllowList?
    var drain = Duration.seconds(8)
    var settings = TunnelSettings()
    var allowWeakUUID = false

    static let table = FlagTable<Options>(
        program: "goproxy-node",
        summary:
            "Dials a goproxy-server, holds one encrypted link with it and carries connections over it, both ways.",
        flags: [
            .string("host", value: "name", help: "name or address of the server", default: "127.0.0.1") {
                $0.host = $1
            },
            .int("port", help: "port of the server", default: "925", in: 1...65_535) { $0.port = UInt16($1) },
            .string(
                "uuid", help: "this node's credential; better: -uuid-file or GOPROXY_UUID", isSecret: true
            ) { $0.uuid = $1 },
            .string("uuid-file", value: "path", help: "file with the credential, mode 0600") {
                $0.uuidFile = $1
            },
            .custom(
                "allow", value: "host:port,cidr:ports",
                help: "what the server may make this node dial or bind; without it: anything.\n"
                    + "10.0.0.5:5432  10.0.0.0/8:80-90  [2001:db8::]/32:443  db.local:*  *:22  unix:/run/app/*",
                parse: { text throws(FlagError) in
                    do throws(EndpointError) { return try AllowList(text) } catch {
                        throw FlagError(error.description)
                    }
                }
            ) { $0.allow = $1 },
            .duration(
                "drain", help: "how long open connections may go on after SIGTERM", default: "8s",
                in: .zero ... .seconds(86_400)
            ) { $0.drain = $1 },
            .duration(
                "link-timeout", help: "how long nothing may come from the server before its connections end",
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
            .bool("verbose", help: "log a line for each connection") { $0.settings.isVerbose = $1 },
        ])
}

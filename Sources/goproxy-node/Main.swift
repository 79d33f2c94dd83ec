// goproxy-node: the program behind NAT. It keeps a link to the server; what it does is in the libraries.
import Flags
import Glibc
import Logging
import Reactor
import TLS
import Tunnel

@main
enum Main {
    static func main() {
        Startup.prepare()
        var options = Options()
        do throws(FlagError) {
            switch try Options.table.parse(Startup.arguments(of: "goproxy-node"), into: &options) {
            case .help: return Startup.print("goproxy-node", Options.table.help)
            case .version: return Startup.print("goproxy-node", Version.text("goproxy-node"))
            case .run: break
            }
        } catch {
            fail(2, "\(error) (see goproxy-node -help)")
        }
        Startup.hideArgument("uuid")
        Signals.blockForProgram()
        run(options)
    }

    private static func run(_ options: Options) {
        let (credential, weakness) = credential(options)
        let server: Endpoint
        do throws(EndpointError) {
            let host = options.host.contains(":") ? "[\(options.host)]" : options.host
            server = try Endpoint(domain: .tcp, address: "\(host):\(options.port)")
        } catch {
            fail(2, "-host: invalid value \"\(FlagError.printable(options.host))\": \(error)")
        }
        var hello = Hello(publicKey: SigningKey(seed: credential.signingSeed).publicKey)
        hello.programVersion = Version.number
        hello.system = Startup.system
        hello.hostName = Startup.hostName
        hello.drawInstance()
        Log.info("starting", ("version", Version.number), ("server", server.address))
        do {
            let loop = try EventLoop()
            let peer = Peer(
                name: credential.nodeID, hasAuthority: false, allow: options.allow,
                settings: options.settings,
                loop: loop)
            let connector = try Connector(server: server, credential: credential, hello: hello, peer: peer)
            if let weakness { Log.warn("weak-uuid", ("node", credential.nodeID), ("reason", weakness)) }
            connector.start()
            let drain = UInt64(options.drain / .nanoseconds(1))
            let signals = try Signals.forProgram(on: loop) {
                stop(peer, connector, loop, drain)
            }
            withExtendedLifetime(signals) { loop.run() }
            Log.info("stopped")
            Log.flush()
        } catch {
            fail(1, "\(error)")
        }
    }

    /// Once: lets connections end. Again: ends them.
    private static func stop(_ peer: Peer, _ connector: Connector, _ loop: EventLoop, _ drain: UInt64) {
        guard !peer.isStopping else { return peer.endLinks() }
        connector.stop()
        peer.onLink = { _ in if !peer.hasLinks { loop.stop() } }
        peer.stop(retryAfterMilliseconds: 0)
        loop.schedule(after: drain) { peer.endLinks() }
        if !peer.hasLinks { loop.stop() }
    }

    private static func credential(_ options: Options) -> (Credential, weakness: String?) {
        do throws(CredentialSource.Failure) {
            let source = CredentialSource(file: options.uuidFile, argument: options.uuid)
            guard let uuid = try source.read() else {
                fail(
                    2,
                    "uuid: missing: give -uuid-file, GOPROXY_UUID or -uuid; make one with: goproxy-server -new-uuid"
                )
            }
            return try checkedCredential(uuid, allowWeak: options.allowWeakUUID)
        } catch {
            fail(2, error.description)
        }
    }

    private static func fail(_ code: Int32, _ message: String) -> Never {
        Startup.fail("goproxy-node", code, message)
    }
}

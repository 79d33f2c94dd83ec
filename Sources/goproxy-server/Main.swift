import Flags
import Fleet
import Glibc
import Logging
import Reactor
import TLS
import Tunnel

/// goproxy-server: holds a link with each node. Everything it does is in the libraries; this is the wiring.
@main
enum Main {
    static func main() {
        Startup.prepare()
        var options = Options()
        do throws(FlagError) {
            switch try Options.table.parse(Array(CommandLine.arguments.dropFirst()), into: &options) {
            case .help: return print(Options.table.help)
            case .version: return print(Version.text("goproxy-server"))
            case .run: break
            }
        } catch {
            fail(2, "\(error) (see goproxy-server -help)")
        }
        Startup.hideArgument("uuid")
        Signals.block([SIGTERM, SIGINT])
        let key: SigningKey
        do throws(DataDirectory.Failure) {
            key = try DataDirectory(options.data ?? DataDirectory.defaultPath).serverKey()
        } catch {
            fail(1, error.description)
        }
        if options.printsNewUUID { return print(Credential.generate(serverPublicKey: key.publicKey)) }
        run(options, key)
    }

    private static func run(_ options: Options, _ key: SigningKey) {
        let (credential, weakness) = credential(options)
        guard let address = SocketAddress(numeric: options.host, port: options.port) else {
            fail(2, "-host: invalid value \"\(options.host)\": expected an address, such as 0.0.0.0 or ::")
        }
        var settings = TunnelSettings()
        settings.isVerbose = options.isVerbose
        guard options.listeners.count + options.peerListeners.count <= settings.maximumMappings else {
            fail(2, "-listener: more than \(settings.maximumMappings) mappings")
        }
        do {
            let loop = try EventLoop()
            let server = Server(key: key, settings: settings, programVersion: Version.number, loop: loop)
            let peer = server.declare("default", credential: credential)
            _ = try server.start(on: address)
            if let weakness { Log.warn("weak-uuid", ("node", "default"), ("reason", weakness)) }
            for mapping in options.listeners { peer.newListener(listen: mapping.listen, forward: mapping.forward) }
            for mapping in options.peerListeners {
                peer.newPeerListener(listen: mapping.listen, forward: mapping.forward)
            }
            let drain = UInt64(options.drain / .nanoseconds(1))
            let signals = try Signals([SIGTERM, SIGINT], on: loop) { number in
                Log.info("stopping", ("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"))
                server.stop(drain: drain) { loop.stop() }
            }
            withExtendedLifetime(signals) { loop.run() }
            Log.info("stopped")
            Log.flush()
        } catch {
            fail(1, "\(error)")
        }
    }

    /// The credential of the node `default`. No records supply nodes yet, so without it there is nobody to serve.
    private static func credential(_ options: Options) -> (Credential, weakness: String?) {
        do throws(CredentialSource.Failure) {
            let source = CredentialSource(file: options.uuidFile, argument: options.uuid)
            guard let uuid = try source.read() else {
                fail(2, "uuid: missing: give -uuid-file, GOPROXY_UUID or -uuid; make one with: goproxy-server -new-uuid")
            }
            return try checkedCredential(uuid, allowWeak: options.allowWeakUUID)
        } catch {
            fail(2, error.description)
        }
    }

    private static func fail(_ code: Int32, _ message: String) -> Never {
        Startup.fail("goproxy-server", code, message)
    }
}

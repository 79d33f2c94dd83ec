// goproxy-server: the program with the public address. It holds a link with each node; what it does is in the libraries.
import Flags
import Fleet
import Glibc
import Logging
import Reactor
import Records
import TLS
import Tunnel

@main
enum Main {
    static func main() {
        Startup.prepare()
        var options = Options()
        do throws(FlagError) {
            switch try Options.table.parse(Startup.arguments(of: "goproxy-server"), into: &options) {
            case .help: return Startup.print("goproxy-server", Options.table.help)
            case .version: return Startup.print("goproxy-server", Version.text("goproxy-server"))
            case .run: break
            }
        } catch {
            fail(2, "\(error) (see goproxy-server -help)")
        }
        Startup.hideArgument("uuid")
        Signals.blockForProgram()
        do throws(DataDirectory.Failure) {
            let directory = try DataDirectory(options.data ?? DataDirectory.defaultPath)
            if options.printsNewUUID {
                let uuid = Credential.generate(serverPublicKey: try directory.serverKey().publicKey)
                return Startup.print("goproxy-server", uuid, once: true)
            }
            run(options, directory)
        } catch {
            fail(1, error.description)
        }
    }

    private static func run(_ options: Options, _ directory: DataDirectory) {
        let flags = flags(options)
        guard let address = SocketAddress(numeric: options.host, port: options.port) else {
            fail(
                2,
                "-host: invalid value \(FlagError.quoted(options.host)): expected an address, such as 0.0.0.0 or ::"
            )
        }
        do {
            let loop = try EventLoop()
            let server = try ManagedServer(
                directory: directory, settings: options.settings, history: options.history,
                version: Version.number,
                publicAddress: options.publicAddress,
                loop: loop)
            server.whenLost = { fail(1, "records: \($0)") }
            _ = try server.start(on: address, flags: flags)
            let drain = UInt64(options.drain / .nanoseconds(1))
            let signals = try Signals.forProgram(on: loop) {
                server.stop(drain: drain) { loop.stop() }
            }
            withExtendedLifetime(signals) { loop.run() }
            Log.info("stopped")
            Log.flush()
        } catch {
            fail(1, "\(error)")
        }
    }

    /// The node `default` and its mappings. Without any, everything comes from the records.
    private static func flags(_ options: Options) -> ManagedServer.Flags {
        var flags = ManagedServer.Flags()
        do throws(CredentialSource.Failure) {
            flags.uuid = try CredentialSource(file: options.uuidFile, argument: options.uuid).read()
            if let uuid = flags.uuid, let weakness = try weakness(of: uuid, allowWeak: options.allowWeakUUID)
            {
                flags.isWeak = true
                Log.warn("weak-uuid", ("node", ManagedServer.flagNode), ("reason", weakness))
            }
        } catch {
            fail(2, error.description)
        }
        let (here, there) = (options.listeners, options.peerListeners)
        flags.mappings =
            here.map { newMapping(.listener, $0) } + there.map { newMapping(.peerListener, $0) }
        guard flags.mappings.isEmpty || flags.uuid != nil else {
            fail(
                2,
                "uuid: missing: -listener and -peer_listener belong to the node that has it: give -uuid-file, "
                    + "GOPROXY_UUID or -uuid; make one with: goproxy-server -new-uuid")
        }
        return flags
    }

    private static func newMapping(_ kind: Records.MappingKind, _ text: MappingText) -> NewMapping {
        NewMapping(kind: kind, listen: place(text.listen), forward: place(text.forward))
    }

    private static func place(_ endpoint: Endpoint) -> Place {
        Place(domain: endpoint.domain.rawValue, addr: endpoint.address)
    }

    private static func fail(_ code: Int32, _ message: String) -> Never {
        Startup.fail("goproxy-server", code, message)
    }
}

// goproxy-admin: manages the nodes and mappings of a server. It speaks HTTP to the server's control socket, and works on the
// records itself while the server is down. What it does is in the library Admin; its table of commands serves parsing, help
// and completion.
import Admin
import Glibc
import Reactor

@main
enum Main {
    static func main() {
        // A reader that has gone, as `head` after its lines, is no reason to die with a signal.
        signal(SIGPIPE, SIG_IGN)
        umask(0o077)
        exit(Admin.run(Startup.arguments(of: "goproxy-admin"), on: .standard))
    }
}

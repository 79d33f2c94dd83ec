// goproxy-admin: manages the nodes and mappings of a server. It speaks HTTP to the server's control socket, and works on the
// records itself while the server is down. What it does is in the library Admin; its table of commands serves parsing, help
// and completion.
import Admin
import Glibc
import Reactor

@main
enum Main {
    static func main() {
        Startup.holdStandardDescriptors()
        // A reader that has gone, as `head` after its lines, is no reason to die with a signal.
        signal(SIGPIPE, SIG_IGN)
        // A file at its size limit is an error to report, as a full disk is.
        signal(SIGXFSZ, SIG_IGN)
        umask(0o077)
        let status = Admin.run(Startup.arguments(of: "goproxy-admin"), on: .standard)
        // A file of another machine may refuse as late as here what it seemed to take.
        if status == 0, close(STDOUT_FILENO) != 0, errno != EBADF {
            Startup.fail("goproxy-admin", 1, "standard output: cannot be written: \(SystemError())")
        }
        exit(status)
    }
}

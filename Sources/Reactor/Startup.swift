import CLinux
import Glibc

/// What a program does on the first lines of `main`, before any thread.
package enum Startup {
    /// A broken pipe is an error of a call and not the end of the program; keys stay out of core dumps and out of reach of
    /// other processes of the same user; as many descriptors as the system allows.
    package static func prepare() {
        signal(SIGPIPE, SIG_IGN)
        _ = goproxy_set_dumpable(0)
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// What follows the program's name, from where the kernel put it: Swift's own `CommandLine` reads /proc and is empty where that is
    /// not mounted. Without its arguments a program would do what nobody asked for: it does not start.
    package static func arguments(of program: String) -> [String] {
        guard let memory = goproxy_arguments() else { fail(program, 1, "its arguments cannot be had") }
        var arguments: [String] = []
        var place = 1
        while let argument = memory[place] {
            arguments.append(String(cString: argument))
            place += 1
        }
        return arguments
    }

    /// One line to the operator, then the end: 1 failed, 2 wrong usage.
    package static func fail(_ program: String, _ code: Int32, _ message: String) -> Never {
        var line = "\(program): \(message)\n"
        line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
        exit(code)
    }

    /// Overwrites the value of `-name value`, `--name=value` and so on in the memory that `ps` reads.
    package static func hideArgument(_ name: String) {
        guard let arguments = goproxy_arguments() else { return }
        var hidesNext = false
        var place = 0
        while let argument = arguments[place + 1] {
            place += 1
            if hidesNext {
                memset(argument, Int32(UInt8(ascii: "x")), strlen(argument))
                hidesNext = false
                continue
            }
            let text = String(cString: argument)
            for prefix in ["-\(name)", "--\(name)"] {
                if text == prefix { hidesNext = true }
                if text.hasPrefix("\(prefix)=") {
                    let start = prefix.utf8.count + 1
                    memset(argument + start, Int32(UInt8(ascii: "x")), strlen(argument) - start)
                }
            }
        }
    }

    /// Host name and system, as a node introduces itself.
    package static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    package static var system: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "" }
        let text = { (bytes: UnsafeRawBufferPointer) in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let parts = [
            withUnsafeBytes(of: &names.sysname, text), withUnsafeBytes(of: &names.release, text),
            withUnsafeBytes(of: &names.machine, text),
        ]
        return parts.joined(separator: " ")
    }
}

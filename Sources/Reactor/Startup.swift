import CLinux
import Glibc

/// What a program does on the first lines of `main`, before any thread.
package enum Startup {
    /// A broken pipe and a file at its size limit are errors of a call and not the end of the program; keys stay out of core dumps and out of reach of
    /// other processes of the same user; as many descriptors as the system allows.
    package static func prepare() {
        holdStandardDescriptors()
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        _ = goproxy_set_dumpable(0)
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Where a program is started without standard input, output or error, the next file would get the number, and what is printed
    /// would land in it: in the database, say. What is written to what stands there instead is an error.
    package static func holdStandardDescriptors() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDONLY)
        }
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

    /// All of a text, however slowly a pipe is read. Answers why not, as a number of errno; 0 when all of it was taken.
    package static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)[...]
            while !rest.isEmpty {
                let count = Glibc.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                rest = rest.dropFirst(count)
            }
            return 0
        }
    }

    /// Whether a file has room for so many bytes to come; if not, errno says why.
    package static func reserve(_ bytes: Int, at offset: Int, in descriptor: Int32) -> Bool {
        goproxy_reserve(descriptor, offset, bytes) == 0
    }

    /// A line on standard output, whole or a failure. A reader that has gone, as `head` after its lines, has lost nothing of a help;
    /// of what is shown `once` it has.
    package static func print(_ program: String, _ text: String, once: Bool = false) {
        let error = write(text + "\n", to: STDOUT_FILENO)
        guard error != 0, once || error != EPIPE else { return }
        fail(program, 1, "standard output: cannot be written: \(SystemError(error))")
    }

    /// One line to the operator, then the end: 1 failed, 2 wrong usage.
    package static func fail(_ program: String, _ code: Int32, _ message: String) -> Never {
        _ = write("\(program): \(message)\n", to: STDERR_FILENO)
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

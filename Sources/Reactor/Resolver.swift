import CLinux
import Glibc
import Synchronization
import Threads

/// Why a name has no address, in the resolver's words.
package struct ResolveError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// `getaddrinfo` blocks, for many seconds when a name server is away; so it runs on threads of its own. Two are enough:
/// a name is looked up for a link's next attempt and for forward addresses, and a queue bounds the rest.
final class Resolver: Sendable {
    typealias Answer = @Sendable (Result<[SocketAddress], ResolveError>) -> Void
    static let shared = Resolver()

    private static let threads = 2
    private static let maximumWaiting = 1_024
    private static let maximumAddresses = 64

    private struct Job {
        let host: String
        let port: UInt16
        let answer: Answer
    }

    private let jobs = Mutex<[Job]>([])
    private let running = Mutex<Int>(0)
    private let bell: Int32

    private init() {
        // As a semaphore: each read takes one job's worth.
        bell = eventfd(0, Int32(EFD_SEMAPHORE) | Int32(EFD_CLOEXEC))
    }

    /// False when too many lookups wait already. `answer` is called on a resolver thread.
    func submit(_ host: String, port: UInt16, answer: @escaping Answer) -> Bool {
        let isQueued = jobs.withLock { jobs in
            guard jobs.count < Self.maximumWaiting else { return false }
            jobs.append(Job(host: host, port: port, answer: answer))
            return true
        }
        guard isQueued else { return false }
        startThreads()
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
        return true
    }

    private func startThreads() {
        running.withLock { running in
            while running < Self.threads {
                running += 1
                startThread("resolver") { self.work() }
            }
        }
    }

    private func work() -> Never {
        while true {
            var count: UInt64 = 0
            guard read(bell, &count, 8) == 8 else { continue }
            guard let job = jobs.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { continue }
            job.answer(Self.lookUp(job.host, port: job.port))
        }
    }

    private static func lookUp(_ host: String, port: UInt16) -> Result<[SocketAddress], ResolveError> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard status == 0 else {
            return .failure(
                ResolveError(
                    status == EAI_SYSTEM ? "\(SystemError())" : String(cString: gai_strerror(status))))
        }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee, addresses.count < maximumAddresses {
            if let raw = entry.ai_addr {
                raw.withMemoryRebound(to: sockaddr_storage.self, capacity: 1) {
                    if let address = SocketAddress(storage: $0, length: entry.ai_addrlen),
                        !addresses.contains(address)
                    {
                        addresses.append(address)
                    }
                }
            }
            next = entry.ai_next
        }
        return addresses.isEmpty ? .failure(ResolveError("no address")) : .success(addresses)
    }
}

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

/// Looks names up, on threads of its own: `getaddrinfo` blocks, for as long as a name server is silent, and cannot be cancelled.
///
/// One silent name must cost those who ask it, and nobody else:
/// - Equal questions under way are one look-up, whoever asks; what was found is good for seconds.
/// - A look-up that takes long gives its place to the next and goes on without one; whoever asks then is looked up anew, beside it.
/// - Names that were silent lately share half of the places.
/// - What is urgent waits for no place: names of the hosts file, which ask nobody, and the one that a link depends on.
package final class Resolver: Sendable {
    package typealias Found = Result<[SocketAddress], ResolveError>
    package typealias Answer = @Sendable (Found) -> Void

    package struct Question: Hashable, Sendable {
        let host: String
        /// Nil: both, in the system's order.
        let family: SocketAddress.Family?

        package init(_ host: String, _ family: SocketAddress.Family?) {
            self.host = host.lowercased()
            self.family = family
        }
    }

    package enum Asked: Equatable {
        case known([SocketAddress])
        /// The answer is called on a resolver's thread.
        case willAnswer
        /// As `willAnswer`, but there is no place yet: somebody must call `review` from time to time.
        case waits
        case refused
    }

    package static let shared = Resolver()

    package static let places = 64
    /// Look-ups that go on without a place; then places are no longer given up.
    package static let maximumLate = 64
    package static let maximumWaiting = 1_024
    /// As many as a link has streams.
    static let maximumAskers = 16_384
    static let maximumAddresses = 64
    /// glibc asks a second name server after 5 s: what it says still comes in time.
    package static let lateAfter: UInt64 = 6_000_000_000
    package static let keptFor: UInt64 = 5_000_000_000
    fileprivate static let silentFor: UInt64 = 60_000_000_000
    fileprivate static let waitsAtMost: UInt64 = 30_000_000_000
    fileprivate static let maximumRemembered = 1_024

    fileprivate struct LookUp {
        let question: Question
        var since: UInt64
        var askers: [Answer]
        var isRunning = false
        var hasPlace = false
        /// The place is one of the half for silent names.
        var isSilent = false
        /// It had a place.
        var isLate = false
    }

    fileprivate struct State {
        var lookUps: [Int: LookUp] = [:]
        /// The latest for each question: whoever asks the same joins it.
        var latest: [Question: Int] = [:]
        var waiting: [Int] = []
        var kept: [Question: (addresses: [SocketAddress], until: UInt64)] = [:]
        var silentUntil: [Question: UInt64] = [:]
        var numbers = 0
        var taken = 0
        var takenBySilent = 0
        var late = 0
    }

    private let state = Mutex(State())
    private let lookUp: @Sendable (Question) -> Found
    private let clock: @Sendable () -> UInt64

    package init(
        lookUp: @escaping @Sendable (Question) -> Found = Resolver.askSystem,
        clock: @escaping @Sendable () -> UInt64 = Resolver.systemClock
    ) {
        self.lookUp = lookUp
        self.clock = clock
    }

    /// Urgent: waits for no place, and takes no answer that was kept.
    package func ask(_ question: Question, isUrgent: Bool = false, answer: @escaping Answer) -> Asked {
        let now = clock()
        let (asked, begun) = state.withLock { state in
            state.ask(question, isUrgent: isUrgent, now: now, answer: answer)
        }
        if let begun { begin(begun) }
        return asked
    }

    /// Takes places from look-ups that take too long and gives them to those that wait. False: nobody waits any more.
    @discardableResult
    package func review() -> Bool {
        let now = clock()
        let (begun, given, isAnyWaiting) = state.withLock { state in
            state.takeLatePlaces(now)
            let given = state.dropOverdue(now)
            var begun: [Int] = []
            while let next = state.next(now) { begun.append(next) }
            return (begun, given, !state.waiting.isEmpty)
        }
        for answer in given { answer(.failure(ResolveError("too many look-ups take too long"))) }
        for number in begun { begin(number) }
        return isAnyWaiting
    }

    private func begin(_ number: Int) {
        let hasBegun = tryToStartThread("resolver") { [self] in
            var next: Int? = number
            while let number = next {
                guard let question = state.withLock({ $0.lookUps[number]?.question }) else { return }
                next = finish(number, lookUp(question))
            }
        }
        guard !hasBegun else { return }
        // The next one, if any, is begun by whoever reviews.
        _ = finish(number, .failure(ResolveError("no thread can be started")), takesNext: false)
    }

    /// Returns the look-up that gets the place, or the thread.
    private func finish(_ number: Int, _ found: Found, takesNext: Bool = true) -> Int? {
        let now = clock()
        let (answers, next) = state.withLock { state in
            let answers = state.finish(number, found, now)
            return (answers, takesNext ? state.next(now) : nil)
        }
        for answer in answers { answer(found) }
        return next
    }

    package static let systemClock: @Sendable () -> UInt64 = {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Without AI_ADDRCONFIG, which leaves ::1 out where no other address is IPv6.
    package static let askSystem: @Sendable (Question) -> Found = { question in
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_family =
            switch question.family {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            default: AF_UNSPEC
            }
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(question.host, nil, &hints, &list)
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

extension Resolver.State {
    mutating func ask(
        _ question: Resolver.Question, isUrgent: Bool, now: UInt64, answer: @escaping Resolver.Answer
    ) -> (Resolver.Asked, begun: Int?) {
        if !isUrgent, let kept = kept[question], kept.until > now { return (.known(kept.addresses), nil) }
        if let number = latest[question], let last = lookUps[number], !isToBeAskedAnew(last, now) {
            guard last.askers.count < Resolver.maximumAskers else { return (.refused, nil) }
            lookUps[number]?.askers.append(answer)
            guard !last.isRunning else { return (.willAnswer, nil) }
            guard isUrgent else { return (.waits, nil) }
            waiting.removeAll { $0 == number }
            lookUps[number]?.isRunning = true
            lookUps[number]?.since = now
            return (.willAnswer, number)
        }
        let hasRoom = hasRoom(question, now)
        guard isUrgent || hasRoom || waiting.count < Resolver.maximumWaiting else { return (.refused, nil) }
        numbers += 1
        lookUps[numbers] = Resolver.LookUp(question: question, since: now, askers: [answer])
        latest[question] = numbers
        if isUrgent {
            lookUps[numbers]?.isRunning = true
        } else if hasRoom {
            givePlace(to: numbers, now)
        } else {
            waiting.append(numbers)
            return (.waits, nil)
        }
        return (.willAnswer, numbers)
    }

    /// The name server may be back, and glibc still wait for what it asked before. Two at a time are enough.
    private func isToBeAskedAnew(_ last: Resolver.LookUp, _ now: UInt64) -> Bool {
        guard last.isRunning, now - min(last.since, now) >= Resolver.lateAfter else { return false }
        return lookUps.values.lazy.filter { $0.question == last.question }.prefix(2).count < 2
    }

    private func isSilent(_ question: Resolver.Question, _ now: UInt64) -> Bool {
        silentUntil[question].map { $0 > now } ?? false
    }

    private func hasRoom(_ question: Resolver.Question, _ now: UInt64) -> Bool {
        guard taken < Resolver.places else { return false }
        return takenBySilent < Resolver.places / 2 || !isSilent(question, now)
    }

    private mutating func givePlace(to number: Int, _ now: UInt64) {
        guard var lookUp = lookUps[number] else { return }
        lookUp.isRunning = true
        lookUp.hasPlace = true
        lookUp.since = now
        lookUp.isSilent = isSilent(lookUp.question, now)
        taken += 1
        if lookUp.isSilent { takenBySilent += 1 }
        lookUps[number] = lookUp
    }

    private mutating func takePlace(from lookUp: Resolver.LookUp) {
        taken -= 1
        if lookUp.isSilent { takenBySilent -= 1 }
    }

    /// The next that waits and may begin now.
    mutating func next(_ now: UInt64) -> Int? {
        let place = waiting.firstIndex { number in
            lookUps[number].map { hasRoom($0.question, now) } ?? false
        }
        guard let place else { return nil }
        let number = waiting.remove(at: place)
        givePlace(to: number, now)
        return number
    }

    mutating func takeLatePlaces(_ now: UInt64) {
        for (number, lookUp) in lookUps.sorted(by: { $0.key < $1.key }) where lookUp.hasPlace {
            guard late < Resolver.maximumLate, now - min(lookUp.since, now) >= Resolver.lateAfter else {
                continue
            }
            takePlace(from: lookUp)
            lookUps[number]?.hasPlace = false
            lookUps[number]?.isLate = true
            late += 1
            remember(silent: lookUp.question, now)
        }
    }

    /// Nobody waits that long for an answer.
    mutating func dropOverdue(_ now: UInt64) -> [Resolver.Answer] {
        var given: [Resolver.Answer] = []
        for number in waiting {
            guard let lookUp = lookUps[number], now - min(lookUp.since, now) >= Resolver.waitsAtMost else {
                continue
            }
            given += lookUp.askers
            forget(number, lookUp.question)
        }
        if !given.isEmpty { waiting = waiting.filter { lookUps[$0] != nil } }
        return given
    }

    private mutating func forget(_ number: Int, _ question: Resolver.Question) {
        lookUps[number] = nil
        if latest[question] == number { latest[question] = nil }
    }

    /// Returns who is to hear of it.
    mutating func finish(_ number: Int, _ found: Resolver.Found, _ now: UInt64) -> [Resolver.Answer] {
        guard let lookUp = lookUps[number] else { return [] }
        let question = lookUp.question
        if lookUp.hasPlace { takePlace(from: lookUp) }
        if lookUp.isLate { late -= 1 }
        forget(number, question)
        var answers = lookUp.askers
        if case .success(let addresses) = found {
            silentUntil[question] = nil
            if kept.count >= Resolver.maximumRemembered { kept = kept.filter { $0.value.until > now } }
            if kept.count < Resolver.maximumRemembered {
                kept[question] = (addresses, now + Resolver.keptFor)
            }
            // Whoever has asked anew meanwhile, or before and is still without an answer, has it too.
            for (number, other) in lookUps where other.question == question {
                answers += other.askers
                lookUps[number]?.askers = []
                guard !other.isRunning else { continue }
                waiting.removeAll { $0 == number }
                forget(number, question)
            }
        } else if now - min(lookUp.since, now) >= Resolver.lateAfter / 2 {
            remember(silent: question, now)
        }
        return answers
    }

    private mutating func remember(silent question: Resolver.Question, _ now: UInt64) {
        if silentUntil.count >= Resolver.maximumRemembered {
            silentUntil = silentUntil.filter { $0.value > now }
        }
        guard silentUntil.count < Resolver.maximumRemembered else { return }
        silentUntil[question] = now + Resolver.silentFor
    }
}

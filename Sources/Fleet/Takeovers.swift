import Control
import Records
import Tunnel

/// Who took a node's link from whom. One uuid on two machines shows here: they take it from each other. A node that has moved,
/// or was started anew, takes it once and is not heard of again under its old name.
struct Takeovers {
    /// A machine that shares the uuid, as far as it can be told apart.
    private struct Machine {
        let instance: [UInt8]?
        var address: String
        var host: String
        var hostName: String
        var at: UInt64
        var time: Timestamp
    }

    private static let window: UInt64 = 600_000_000_000
    private static let many = 5
    private static let mostMachines = 16

    /// Who has had the link of late, the newest last; each once.
    private var machines: [Machine] = []
    /// Times and hosts of takeovers by who does not say which process it is, or is always the same.
    private var hosts: [(at: UInt64, host: String)] = []
    /// When the last of them took the link from one that came back.
    private var lastTurn: UInt64?
    private var isTold = false

    /// What is to be said when a storm begins; nil while nothing is new.
    mutating func note(
        _ hello: Hello, address: String, host: String, tookOver: Bool, now: UInt64
    ) -> String? {
        if let lastTurn, now - lastTurn > Self.window { (self.lastTurn, isTold) = (nil, false) }
        machines.removeAll { now - $0.at > Self.window }
        hosts.removeAll { now - $0.at > Self.window }
        let before = machines.last
        let place = machines.firstIndex {
            hello.instance == nil ? $0.instance == nil && $0.host == host : $0.instance == hello.instance
        }
        if let place { machines.remove(at: place) }
        machines.append(
            Machine(
                instance: hello.instance, address: address, host: host, hostName: hello.hostName, at: now,
                time: .now))
        if machines.count > Self.mostMachines { machines.removeFirst() }
        guard tookOver else { return nil }
        // It had the link, another has had it since, and that one lives: two processes at once.
        let cameBack =
            place != nil && place != machines.count - 1 && hello.instance != nil
            && before?.instance != nil
        if hello.instance == nil || before?.instance == hello.instance {
            hosts.append((now, host))
            // From one host as many as it likes: the last ones tell whether there is another.
            if hosts.count > 8 * Self.many { hosts.removeFirst() }
        }
        let isMany = hosts.count > Self.many && Set(hosts.map(\.host)).count > 1
        guard cameBack || isMany else { return nil }
        lastTurn = now
        defer { isTold = true }
        return isTold ? nil : "\(machines.count) machines take its link from each other: \(words)"
    }

    /// Those that share the uuid while a storm lasts; else none.
    func sharing(now: UInt64) -> [SharingMachine] {
        guard let lastTurn, now - lastTurn <= Self.window else { return [] }
        return machines.reversed().filter { now - $0.at <= Self.window }.map {
            SharingMachine(
                instance: $0.instance.map(Self.text), address: $0.address, hostName: $0.hostName, at: $0.time)
        }
    }

    private var words: String {
        machines.map { machine in
            let name = machine.hostName.isEmpty ? "" : " (\(machine.hostName))"
            return "\(machine.instance.map { "\(Self.text($0)) at " } ?? "")\(machine.address)\(name)"
        }.joined(separator: ", ")
    }

    private static func text(_ instance: [UInt8]) -> String { Admission.name(instance) }
}

import Reactor
import Simulation

/// Something to forward to.
final class Target: AcceptHandler {
    enum Manner: CaseIterable {
        case echo
        /// Reads everything, says nothing.
        case sink
        /// Says something at once, whatever it hears.
        case source
        /// Answers when it has heard everything.
        case answer
        /// Reads nothing until the simulation nears its end.
        case stall
        case abort
        /// Says something and closes both directions.
        case abrupt
        case refuse
        case blackhole
        case unreachable
        case unknownName
        case silentName

        /// Whether both ends come to the same counts.
        var isOrderly: Bool { answers && self != .abort && self != .abrupt }

        /// Whether a connection can be made.
        var answers: Bool {
            switch self {
            case .refuse, .blackhole, .unreachable, .unknownName, .silentName: false
            default: true
            }
        }
    }

    let number: Int
    let manner: Manner
    let endpoint: Endpoint
    private let address: SocketAddress
    private unowned let simulation: TunnelSimulation

    init(_ number: Int, _ manner: Manner, simulation: TunnelSimulation) throws {
        self.number = number
        self.manner = manner
        self.simulation = simulation
        let random = { [simulation] in simulation.random.below($0) }
        let world = simulation.world
        address =
            random(6) == 0
            ? SocketAddress(unix: "/target/\(number)")
            : SocketAddress(ipv4: 0x0a00_0001, port: 80 + UInt16(number))
        let name = "target-\(number)"
        switch manner {
        case .unknownName: endpoint = try Endpoint(domain: .tcp, address: "\(name):80")
        case .silentName:
            world.namesThatNeverAnswer.insert(name)
            endpoint = try Endpoint(domain: .tcp, address: "\(name):80")
        default:
            if address.family == .unix {
                endpoint = try Endpoint(domain: .unix, address: address.path)
            } else if manner.answers, random(3) == 0 {
                // The first addresses are of no use.
                let wrong = (1...3).map { [port = address.port] in
                    SocketAddress(ipv4: 0x0a00_0100 + UInt32($0), port: port)
                }
                world.blackholes.insert(wrong[1])
                world.unreachable[wrong[2]] = SystemError(101)
                world.names[name] =
                    Array(wrong.shuffled(using: &simulation.random).prefix(random(4))) + [address]
                endpoint = try Endpoint(domain: .tcp4, address: "\(name):\(address.port)")
            } else {
                endpoint = try Endpoint(domain: .tcp, address: address.description)
            }
        }
        switch manner {
        case .blackhole: world.blackholes.insert(address)
        case .unreachable: world.unreachable[address] = SystemError(113)
        default: break
        }
        if manner.answers { _ = world.listen(on: address, onlyIPv6: false, handler: self) }
    }

    func accepted(_ transport: any StreamTransport, from client: SocketAddress) {
        guard let socket = transport as? SimulatedSocket else { return }
        let actor = simulation.newTargetActor(socket, of: self)
        let random = { [simulation] in simulation.random.below($0) }
        switch manner {
        case .echo: actor.isEcho = true
        case .sink, .stall:
            actor.isStalled = manner == .stall
            actor.endWhen = random(2) == 0 ? .sent : .heardEnd
        case .source, .answer:
            actor.toSend = simulation.size()
            actor.endWhen = manner == .answer || random(2) == 0 ? .heardEnd : .sent
        case .abort:
            actor.endWhen = .told
            actor.abortAfter = 1 + random(20_000)
            actor.toSend = random(2) == 0 ? 0 : simulation.size()
            // One that never moves enough for its own plan would wait for ever.
            simulation.world.after(UInt64(random(2_000_000_000))) { [weak actor] in actor?.abort() }
        case .abrupt:
            actor.toSend = simulation.size()
            actor.closesAbruptly = true
        default: break
        }
        if random(12) == 0 { actor.stallsAfter = random(20_000) }
        if simulation.isFinishing { actor.finish() }
        if random(4) == 0 { actor.readBytes = 1 + random(5_000) }
    }

    func acceptPaused(_ error: SystemError, turnedAway: Int) {}
}

import Glibc
import Mux
import Reactor
import Simulation
import Tunnel

/// The other end of a link, written by somebody else: it knows the frames and what a correct end does, and does it or not.
final class HostileEnd: TransportHandler {
    private struct Stream {
        var mapping: UInt32 = 0
        var generation: UInt32 = 0
        var isOpen = false
        var sent: UInt64 = 0
        var credit = 0
    }

    let socket: SimulatedSocket
    private let records: PlainRecords
    private let role: Role
    private unowned let simulation: HostileSimulation
    /// The streams that this end opened, by slot.
    private var own: [Stream] = []
    /// Ids that the victim opened, with the bytes sent back on each.
    private var theirs: [(id: UInt32, sent: UInt64)] = []
    private var pings: [UInt64] = []
    private(set) var goAway: UInt8?

    init(_ socket: SimulatedSocket, role: Role, simulation: HostileSimulation) {
        self.socket = socket
        self.role = role
        self.simulation = simulation
        records = PlainRecords(pool: simulation.loop.chunks)
        socket.handler = self
    }

    // MARK: What it hears

    func transportReady(_ transport: any StreamTransport, failed: Bool) {
        if failed { return socket.close() }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while !socket.isClosed, socket.isReadable, !simulation.random.oneIn(8) {
            let result = buffer.withUnsafeMutableBytes { socket.read(into: $0) }
            guard case .bytes(let count) = result else {
                if result != .wouldBlock { socket.close() }
                return flush()
            }
            buffer.withUnsafeBytes { hear(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
        for number in pings where !simulation.random.oneIn(16) { send(frame(8, 0, big(number))) }
        pings = []
        flush()
    }

    private func hear(_ bytes: UnsafeRawBufferPointer) {
        records.feed(bytes)
        var plain = [UInt8](repeating: 0, count: 16_384)
        while case .bytes(let count) = plain.withUnsafeMutableBytes({ records.read(into: $0) }) {
            plain.withUnsafeBytes { bytes in
                var reader = FrameReader(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                while let frame = try? reader.next() { hear(frame) }
            }
        }
    }

    private func hear(_ frame: Frame) {
        switch frame.kind {
        case .open: theirs.append((frame.stream.rawValue, 0))
        case .ping: pings.append(frame.payload.number(UInt64.self, at: 0))
        case .goaway: goAway = frame.payload[0]
        case .window where frame.stream != .link:
            let slot = Int(frame.stream.rawValue & 0xffff)
            if slot < own.count { own[slot].credit += Int(frame.payload.number(UInt32.self, at: 0)) }
        default: break
        }
    }

    // MARK: What it says

    /// Something that a correct end might say.
    func sayRight() {
        let random = { [simulation] in simulation.random.below($0) }
        switch random(8) {
        case 0, 1: if let mapping = simulation.rightMapping() { open(mapping: mapping) }
        case 2, 3:
            guard let slot = own.indices.last(where: { own[$0].isOpen }) else { return }
            let count = min(own[slot].credit, 1 + random(3_000))
            guard count > 0 else { return }
            own[slot].credit -= count
            own[slot].sent += UInt64(count)
            send(frame(3, id(slot), [UInt8](repeating: 7, count: count)))
        case 4:
            guard let slot = own.indices.last(where: { own[$0].isOpen }) else { return }
            // After its FIN nothing more is sent, and the slot stays taken.
            own[slot].credit = .min / 2
            guard random(2) == 0 else { return send(frame(5, id(slot), big(own[slot].sent))) }
            own[slot].isOpen = false
            send(frame(6, id(slot), [3] + big(own[slot].sent)))
        case 5, 6:
            guard let place = theirs.indices.randomElement(using: &simulation.random) else { return }
            let count = 1 + random(500)
            theirs[place].sent += UInt64(count)
            if theirs[place].sent == UInt64(count) { send(frame(2, theirs[place].id, [])) }
            send(frame(3, theirs[place].id, [UInt8](repeating: 8, count: count)))
        default: control(simulation.rightControl())
        }
    }

    /// Something that none says.
    func sayWrong() {
        let random = { [simulation] in simulation.random.below($0) }
        let someID =
            theirs.isEmpty || random(2) == 0
            ? UInt32(truncatingIfNeeded: simulation.random.next()) : theirs[random(theirs.count)].id
        let number = simulation.random.pick([0, 1, 64, 1 << 16, 1 << 31, 0xffff_ffff, 1 << 63, UInt64.max])
        switch random(12) {
        case 0: open(mapping: UInt32(random(1_000_000)))
        case 1: control(simulation.wrongControl())
        case 2: send(frame(3, someID, [UInt8](repeating: 9, count: 1 + random(16_376))))
        case 3: send(frame(4, random(2) == 0 ? 0 : someID, big(UInt32(truncatingIfNeeded: number))))
        case 4:
            send(
                frame(
                    UInt8(random(2) == 0 ? 5 : 6), someID,
                    (random(2) == 0 ? [] : [UInt8(random(20))]) + big(number)))
        case 5: for _ in 0..<random(300) { send(frame(7, 0, big(number))) }
        case 6: send(frame(8, 0, big(number)))
        case 7: send(frame(10, 0, [UInt8(random(6))] + big(UInt32(truncatingIfNeeded: number))))
        case 8: send((0..<1 + random(100)).map { _ in UInt8(random(256)) })
        case 9: for _ in 0..<random(200) { control(simulation.rightControl()) }
        case 10: send(frame(UInt8(random(14)), someID, (0..<random(40)).map { _ in UInt8(random(256)) }))
        default:
            // Not even a record.
            _ = write((0..<1 + random(50)).map { _ in UInt8(random(256)) })
        }
    }

    private func open(mapping: UInt32) {
        let slot = own.firstIndex { !$0.isOpen } ?? own.count
        if slot == own.count { own.append(Stream()) }
        own[slot] = Stream(
            mapping: mapping, generation: own[slot].generation + 1, isOpen: true, sent: 0, credit: 65_536)
        let address: [UInt8] =
            [4, 0] + big(UInt16(50_000)) + [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12)
        send(frame(1, id(slot), big(mapping) + big(UInt32(65_536)) + big(UInt32(65_536)) + address))
    }

    private func id(_ slot: Int) -> UInt32 { role.rawValue << 31 | own[slot].generation << 16 | UInt32(slot) }

    func control(_ text: [UInt8]) {
        var rest = text[...]
        repeat {
            let piece = rest.prefix(16_376)
            rest = rest.dropFirst(16_376)
            send(frame(9, 0, Array(piece), flags: rest.isEmpty ? 0 : 1))
        } while !rest.isEmpty
    }

    private func frame(_ kind: UInt8, _ stream: UInt32, _ payload: [UInt8], flags: UInt8 = 0) -> [UInt8] {
        big(stream) + [kind, flags] + big(UInt16(truncatingIfNeeded: payload.count)) + payload
    }

    private func send(_ frame: [UInt8]) {
        guard !frame.isEmpty, frame.count <= 16_384 else { return }
        frame.withUnsafeBytes { _ = records.write($0) }
        flush()
    }

    private func flush() {
        let output = records.output
        let vectors = simulation.loop.scratch.vectors
        while !socket.isClosed, !output.isEmpty, socket.isWritable {
            let used = output.describe(in: vectors)
            guard
                case .bytes(let count) = socket.write(UnsafeMutableBufferPointer(rebasing: vectors[..<used]))
            else {
                return
            }
            output.discard(count)
        }
        // A reader that stops does not make this one remember for ever.
        if output.count > 1 << 20 { output.removeAll() }
    }

    private func write(_ bytes: [UInt8]) -> IOResult {
        guard !socket.isClosed, socket.isWritable else { return .wouldBlock }
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { socket.write($0) }
    }
}

func big<N: FixedWidthInteger>(_ number: N) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
}

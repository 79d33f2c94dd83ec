import Logging
import Mux
import Reactor

// Who may have another sub-connection, and who only calls itself.
extension Peer {
    /// Until the node has something of its share again.
    var acceptDelay: UInt64 {
        share.begin(loop)
        return share.outgoing.delay(loop)
    }

    /// Counts clients that are turned away, and says so.
    func refuse(_ cause: RefusalCause, _ count: Int = 1, mapping: UInt32, client: @autoclosure () -> String) {
        recorder?.refused(cause, count, mapping: mapping, of: self)
        Log.limited(
            .warn, "sub-connection-refused", key: "\(name) \(mapping) \(cause.rawValue)",
            ("mapping", mapping), ("node", name), ("client", client()), ("reason", cause.rawValue))
    }

    /// Nil, or why a client gets no stream. `streams`: what the opener has.
    func objection(
        to client: ClientAddress, mapping: UInt32, isOurs: Bool, streams: Int
    ) -> RefusalCause? {
        let free = loop.network.freeDescriptors
        // A server's nodes share its descriptors; a node has one peer.
        let room = hasAuthority ? Shares.ofNode * free - shares.all : free
        guard room > 0 else { return free > 0 ? .nodeShare : .descriptors }
        return shares.objection(
            to: Shares.Client(client, isOurs: isOurs), mapping: mapping,
            room: min(room, settings.maximumStreams - streams))
    }

    /// Of all its links, those that only write to slow sockets and those whose dial has not come about too.
    package var subConnections: Int { shares.all }

    // MARK: Loops
    //
    // A mapping that forwards to its own listener takes a stream and two descriptors for each time round. The end that dials is told where
    // each client stands: if that is where a dial of its own stands, somebody may have been here before. May: two sockets of one machine
    // can have the same address if they go to different ones. Of 10,000 clients beside 10,000 dials one in three meets such a twin, sixteen
    // times in a row none.

    /// Fewer sub-connections than this are no loop that matters, and are spared the system call.
    private static let fewDials = 8
    /// So many times round.
    private static let rounds = 16
    /// Over several mappings of this program.
    private static let mostSteps = 64

    /// Where the end of a dial stands, if it is noted; to be forgotten when it ends.
    func noteDial(of sub: SubConnection, _ transport: any StreamTransport) -> ClientAddress? {
        guard shares.count(ofMapping: sub.mapping) >= Self.fewDials, let address = transport.localAddress,
            address.family != .unix
        else { return nil }
        let place = ClientAddress(address)
        dials[place] = sub
        return place
    }

    func forgetDial(from place: ClientAddress) { dials[place] = nil }

    /// Whether a client has been here before, again and again: a dial of this end, for a client that was one.
    func isLoop(_ client: ClientAddress, _ mapping: UInt32) -> Bool {
        var (client, times) = (client, 0)
        for _ in 0..<Self.mostSteps {
            guard let dial = dials[client] else { return false }
            if dial.mapping == mapping { times += 1 }
            if times == Self.rounds { return true }
            client = dial.client
        }
        return false
    }
}

import Mux
import Reactor
import Simulation
import Tunnel

/// One end of the tunnel as a program would hold it: a peer, until the program stops.
final class End {
    let peer: Peer
    /// The link that the peer adopted last.
    var link: Link?
    var linkedAt: UInt64 = 0
    var isStopping = false

    init(_ peer: Peer) {
        self.peer = peer
    }
}

/// A connection between two ends, and what becomes of it.
final class Link {
    let number: Int
    /// The one with the authority first.
    let ends: [End]
    let sockets: [SimulatedSocket]
    let records: [PlainRecords]
    let roles: [Role]
    /// Each end's, as long as somebody holds it.
    private weak var first: MainLink?
    private weak var second: MainLink?
    /// Cut, or replaced: what lives on it is disturbed.
    var isDoomed = false
    /// One of its ends stops: no new streams.
    var isDraining = false

    init(number: Int, ends: [End], sockets: [SimulatedSocket], records: [PlainRecords], roles: [Role]) {
        self.number = number
        self.ends = ends
        self.sockets = sockets
        self.records = records
        self.roles = roles
    }

    private var adopted = [false, false]

    func adopted(_ side: Int) {
        adopted[side] = true
        if side == 0 { first = ends[0].peer.link } else { second = ends[1].peer.link }
    }

    var mainLinks: [MainLink] { [first, second].compactMap { $0 } }

    /// One of the two has ended.
    var isBroken: Bool { adopted[0] && first?.isOver != false || adopted[1] && second?.isOver != false }
}

/// A mapping with what the simulation knows of it.
struct Plan {
    var mapping: Mapping
    var target: Target
    /// The revision that brought it in its present form.
    var revision: Int64
}

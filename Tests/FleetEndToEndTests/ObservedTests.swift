import Foundation
import SQLite
import Support
import Testing

/// What lists say of nodes that come and go.
@Suite(.light)
struct ObservedTests {
    @Test(arguments: [SIGTERM, SIGKILL])
    func `when a node goes, politely or not, none of its mappings is called active`(signal: Int32) throws {
        let target = try namedTarget("red")
        try withFleet { fleet in
            let (uuid, node) = try fleet.joinNode("edge-07")
            let ids = try Kind.allCases.map { try fleet.open($0, of: "edge-07", to: target.endpoint).id }
            node.send(signal)
            try node.waitForExit(within: .seconds(30))
            for id in ids {
                let gone = try fleet.wait(for: id, "pending")
                #expect(gone["boundAddress"].isNull && gone["detail"].isNull, "\(gone)")
            }
            let again = try fleet.startNode(uuid)
            try fleet.waitForLink(of: again)
            for id in ids { try fleet.wait(for: id, "active") }
        }
    }

    @Test func `a node that drains is spoken for by nobody: its mappings wait`() throws {
        let (red, held) = (try namedTarget("red"), try TargetServer.echo(limit: .seconds(120)))
        try withFleet { fleet in
            let (_, node) = try fleet.joinNode("edge-07")
            let ids = try Kind.allCases.map { try fleet.open($0, of: "edge-07", to: red.endpoint).id }
            let entrance = try fleet.open(.listener, of: "edge-07", to: held.endpoint).entrance
            let client = try Socket.connect(to: entrance, limit: .seconds(20))
            try client.send("x")
            _ = try client.receive(exactly: 1)
            node.send(SIGTERM)
            for id in ids { try fleet.wait(for: id, "pending") }
            // It is there still, and so is what it carries.
            try client.send("y")
            #expect(try client.receive(exactly: 1) == Array("y".utf8))
            #expect(node.isRunning)
        }
    }

    @Test(
        .enabled(if: SmallDisk.isPossible, "needs to be root, and to be let mount"), arguments: [true, false])
    func `what is seen while nothing can be written is written when it can be`(goes: Bool) throws {
        let target = try namedTarget("red")
        var mounted: SmallDisk?
        let fleet = try ManagedFleet(isVerbose: false) { mounted = try SmallDisk($0) }
        let disk = try #require(mounted)
        try fleet.explained {
            let uuid = try fleet.addNode("edge-07")
            let first = goes ? try fleet.startNode(uuid) : nil
            if let first { try fleet.waitForLink(of: first) }
            let id = try fleet.add(.listener, of: "edge-07", forward: target.endpoint).integer("id")
            try fleet.wait(for: id, goes ? "active" : "pending")
            var full = false
            for round in 0..<50 where !full {
                try disk.fill()
                let done = try fleet.adminProcess(["node", "tag", "edge-07", "a=\(round)"])
                full = try done.finish(within: .seconds(60)).end != .exit(0)
            }
            #expect(full, "nothing fails on this full disk")
            let mark = fleet.server.mark
            if let first {
                first.send(SIGTERM)
                try first.waitForExit(within: .seconds(30))
                try fleet.server.waitForLog("link-down", after: mark)
                #expect(try fleet.session().reason == nil, "the row says that it stands")
            }
            // One that comes and goes, and one that comes, or had come, and is away or here in the end.
            for _ in 0..<2 {
                let node = try fleet.startNode(uuid)
                try fleet.waitForLink(of: node)
                node.send(SIGTERM)
                try node.waitForExit(within: .seconds(30))
            }
            let last = goes ? nil : try fleet.startNode(uuid)
            if let last { try fleet.waitForLink(of: last) }
            #expect(try fleet.sessions() == (goes ? 1 : 0))
            disk.free()
            try fleet.server.waitForLog("records-healed", after: mark, within: .seconds(30))
            try fleet.wait(for: id, goes ? "pending" : "active")
            #expect(try fleet.sessions() == 3)
            #expect(try (fleet.session().reason == nil) == !goes)
            #expect(try fleet.node("edge-07")["online"] == .bool(!goes))
        }
    }
}

extension ManagedFleet {
    private func database() throws -> Database { try Database(path: "\(data)/goproxy.db", mode: .readOnly) }

    fileprivate func sessions() throws -> Int64 { try database().pragma("SELECT count(*) FROM sessions") }

    /// The newest.
    fileprivate func session() throws -> (id: Int64, reason: String?) {
        let found = try database().first("SELECT id, reason FROM sessions ORDER BY id DESC LIMIT 1") {
            (row) throws(SQLiteError) in (id: try row.integer(0), reason: try row.textOrNil(1))
        }
        guard let found else { throw Failure("no session") }
        return found
    }
}

import Foundation
import Records
import SQLite
import Support
import Testing

/// What protects waits for no disk.
@Suite(.heavy, .enabled(if: SmallDisk.isPossible, "needs to be root, and to be let mount"))
struct ProtectionTests {
    enum Trouble: String, CaseIterable, CustomTestStringConvertibleByRawValue {
        /// Some room is kept back, so that a few changes may be recorded nevertheless.
        case full = "a full disk"
        /// Nothing can be written for as long as another has the database.
        case locked = "another who has the database"
    }

    @Test(arguments: Trouble.allCases)
    func `everything is closed at once, and recorded as soon as that is possible`(trouble: Trouble) throws {
        var mounted: SmallDisk?
        let fleet = try ManagedFleet { mounted = try SmallDisk($0) }
        let disk = try #require(mounted)
        try fleet.explained {
            let echo = try TargetServer.echo(limit: .seconds(120))
            let (_, node) = try fleet.joinNode("edge-07")
            _ = try fleet.joinNode("edge-08")
            let (disabled, removed) = (
                try fleet.open(.listener, of: "edge-08", name: "one", to: echo.endpoint),
                try fleet.open(.peerListener, of: "edge-08", name: "two", to: echo.endpoint)
            )
            let kept = try fleet.open(.listener, of: "edge-08", name: "three", to: echo.endpoint)
            let own = try fleet.open(.listener, of: "edge-07", name: "four", to: echo.endpoint)
            let clients = try [kept, own].map { try Socket.connect(to: $0.entrance) }
            for client in clients { try client.requireEcho() }
            let killed = try #require(
                try fleet.admin("conn", "list").list().first { $0["listener"] == .text("three") })
            let other = try Database(path: "\(fleet.data)/\(Store.fileName)", mode: .readWrite)
            if trouble == .full { try disk.fill() } else { try other.execute("BEGIN IMMEDIATE") }
            _ = try eventually("nothing can be recorded", within: .seconds(60)) {
                try? Socket.connect(to: kept.entrance).requireEcho()
                return fleet.server.logged("history-failing").isEmpty ? nil : true
            }

            try close(
                fleet, trouble, "conn", "kill", "\(try killed.integer("id"))", "--reason", "not on duty",
                "--force")
            #expect(throws: SocketError.self) { try clients[0].requireEcho() }
            try close(fleet, trouble, "listener", "disable", "\(disabled.id)")
            try close(fleet, trouble, "peer-listener", "remove", "\(removed.id)")
            for entrance in [disabled.entrance, removed.entrance] {
                _ = try eventually("\(entrance) is closed") {
                    do { _ = try Socket.connect(to: entrance) } catch SocketError.refused { return true }
                    return nil
                }
            }
            try close(fleet, trouble, "node", "disable", "edge-07")
            try node.waitForLog("link-down")
            #expect(throws: SocketError.self) { try clients[1].requireEcho() }
            #expect(try fleet.node("edge-07")["online"] == .bool(false))
            // It is not there yet, and nobody else has lost anything.
            if trouble == .locked { #expect(try fleet.node("edge-07")["state"] == .text("enabled")) }
            #expect(try fleet.node("edge-08")["online"] == .bool(true))

            if trouble == .full { disk.free() } else { try other.execute("ROLLBACK") }
            let wanted = ["connection-kill", "mapping-disable", "mapping-remove", "node-disable"]
            _ = try eventually("all is on record", within: .seconds(30)) {
                let told = Set(try fleet.audit().map { $0["action"].string })
                return told.isSuperset(of: wanted) ? true : nil
            }
            #expect(try fleet.node("edge-07")["state"] == .text("disabled"))
            #expect(try fleet.mapping(disabled.id)["state"] == .text("disabled"))
            // Enabled again it is what it was.
            try fleet.enable(node: "edge-07")
            try fleet.admin("listener", "enable", "\(disabled.id)")
            try fleet.wait(for: disabled.id, "active")
        }
    }

    /// Done, not on record, and the status of a failure.
    private func close(_ fleet: ManagedFleet, _ trouble: Trouble, _ arguments: String...) throws {
        let done = try fleet.adminProcess(arguments).finish(within: .seconds(60))
        if trouble == .full, done.end == .exit(0) { return }
        #expect(done.end == .exit(1) && done.errors.joined().contains("not-recorded"), "\(done.transcript)")
    }

    @Test func `what the records refuse closes nothing`() throws {
        try withFleet { fleet in
            let echo = try TargetServer.echo()
            _ = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(.listener, of: "edge-07", to: echo.endpoint)
            let client = try Socket.connect(to: mapping.entrance)
            try client.requireEcho()
            #expect(try fleet.refusal("node", "disable", "edge-99")["code"] == .text("not-found"))
            #expect(try fleet.refusal("listener", "disable", "99")["code"] == .text("not-found"))
            try client.requireEcho()
        }
    }

    @Test func `a listener that carries somebody is not cut without a question`() throws {
        try withFleet { fleet in
            let echo = try TargetServer.echo()
            _ = try fleet.joinNode("edge-07")
            let mapping = try fleet.open(.listener, of: "edge-07", name: "rdp", to: echo.endpoint)
            let client = try Socket.connect(to: mapping.entrance)
            try client.requireEcho()
            for words in [["disable"], ["set", "--forward", "127.0.0.1:1"], ["remove"]] {
                let done = try Program.goproxy(
                    "goproxy-admin", ["listener", words[0], "edge-07/rdp"] + words.dropFirst(),
                    environment: ["GOPROXY_DATA": fleet.data]
                ).finish()
                #expect(
                    done.end == .exit(2) && done.errors.joined().contains("closed, 1 now"),
                    "\(done.transcript)")
            }
            try client.requireEcho()
            // A name cuts nothing.
            try fleet.admin("listener", "set", "edge-07/rdp", "--name", "desk")
            try client.requireEcho()
            client.close()
            _ = try eventually("nothing is open") {
                try fleet.admin("conn", "list").list().isEmpty ? true : nil
            }
            _ = try Program.goproxy(
                "goproxy-admin", ["listener", "disable", "edge-07/desk"],
                environment: ["GOPROXY_DATA": fleet.data]
            ).finish().succeeded()
        }
    }
}

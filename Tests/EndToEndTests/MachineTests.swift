import Foundation
import Support
import Testing

/// Machines that vanish and machines that move, beside a direct connection.
@Suite(.light, .enabled(if: canHaveOwnNetwork, "needs root, for a second machine"))
struct MachineTests {
    @Test(arguments: Kind.allCases)
    func `a client whose machine is gone is told to the target`(kind: Kind) throws {
        try withOwnNetwork {
            let other = try OtherMachine()
            let echo = try TargetServer.echo(limit: .seconds(300))
            let listen = Endpoint.tcp("\(OtherMachine.here):0")
            let pair = try TunnelPair([(kind, Mapping(listen: listen, forward: echo.endpoint))]) {
                // Ten questions a second apart, where the default is ten in 150 s.
                $0.serverFlags = ["-keepalive", "1s"]
                $0.nodeFlags = ["-keepalive", "1s"]
            }
            try pair.explained {
                let client = try other.inside { try pair.connect() }
                try client.requireEcho()
                #expect(echo.open == 1)
                try other.pullCable()
                _ = try eventually("the target hears of it", within: .seconds(60)) {
                    echo.open == 0 ? true : nil
                }
            }
        }
    }

    @Test func `a node that is on another network comes back at once`() throws {
        try withOwnNetwork {
            let other = try OtherMachine()
            let echo = try TargetServer.echo()
            let pair = try TunnelPair([(.listener, Mapping(forward: echo.endpoint))]) {
                $0.serverHost = OtherMachine.here
                $0.nodePrefix = other.prefix
                $0.serverFlags = ["-link-timeout", "15m"]
                $0.nodeFlags = ["-link-timeout", "15m"]
            }
            try pair.explained {
                let mark = (pair.server.mark, pair.node.mark)
                // It goes and comes back, as when a lease is renewed: nothing happens.
                try other.commandThere("ip", "addr", "del", "\(OtherMachine.there)/24", "dev", "far")
                try other.commandThere("ip", "addr", "add", "\(OtherMachine.there)/24", "dev", "far")
                try other.commandThere("ip", "addr", "add", "10.78.0.3/24", "dev", "far")
                try other.commandThere("ip", "addr", "del", "\(OtherMachine.there)/24", "dev", "far")
                // That takes the second address along, as its secondary.
                try? other.commandThere("ip", "addr", "add", "10.78.0.3/24", "dev", "far")
                let down = try pair.node.waitForLog("link-down", after: mark.1, within: .seconds(30))
                #expect(down["detail"].contains("another address"), "\(down)")
                let up = try pair.server.waitForLog("link-up", after: mark.0, within: .seconds(30))
                #expect(up["address"].hasPrefix("10.78.0.3:"), "\(up)")
            }
        }
    }
}

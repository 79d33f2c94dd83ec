import Foundation

/// Another machine, at the other end of a cable: for `withOwnNetwork`, whose machine has the address `here` on it.
package final class OtherMachine {
    package static let here = "10.78.0.1"
    package static let there = "10.78.0.2"

    private let holder: Program

    package init() throws {
        holder = try Program(
            "/usr/bin/unshare", ["-n", "sh", "-c", "ip link set lo up; echo up; exec sleep 3600"])
        _ = try holder.waitForOutput("up")
        try command("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        try command("ip", "link", "set", "far", "netns", "\(holder.pid)")
        try command("ip", "addr", "add", "\(Self.here)/24", "dev", "near")
        try command("ip", "link", "set", "near", "up")
        try commandThere("ip", "addr", "add", "\(Self.there)/24", "dev", "far")
        try commandThere("ip", "link", "set", "far", "up")
    }

    /// What makes a program run there.
    package var prefix: [String] { ["/usr/bin/nsenter", "-n", "-t", "\(holder.pid)"] }

    package func commandThere(_ arguments: String...) throws {
        _ = try run(prefix[0], Array(prefix[1...]) + arguments).succeeded()
    }

    /// Sockets that `body` makes are that machine's.
    package func inside<Result>(_ body: () throws -> Result) throws -> Result {
        try withNetwork("/proc/\(holder.pid)/ns/net", body)
    }

    /// Without a word to anybody who is connected to it.
    package func pullCable() throws { try command("ip", "link", "set", "near", "down") }
    package func plugIn() throws { try command("ip", "link", "set", "near", "up") }
}

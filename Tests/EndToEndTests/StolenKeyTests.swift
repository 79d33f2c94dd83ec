import Foundation
import Support
import Testing

/// The pre-shared key alone, as a stolen database would give it, makes nobody a node.
@Suite(.light)
struct StolenKeyTests {
    @Test(arguments: ["says nothing", "says garbage", "says what a node said before"])
    func `who has the key but not the signature gets no link`(what: String) throws {
        let echo = try TargetServer.echo()
        let key = try StolenKey.some()
        try withTunnel(.listener, to: echo.endpoint, { $0.uuid = key.uuid }) { pair in
            let thief = try key.client(of: pair.serverEndpoint)
            // TLS itself succeeds, or this would test nothing: then the server speaks of the missing proof.
            if what == "says garbage" { try thief.write([UInt8](repeating: 0x41, count: 500)) }
            if what == "says what a node said before" {
                try thief.write([0, 0, 0, 0, 11, 0, 0, 4, 1, 2, 3, 4])
            }
            let line = try pair.server.waitForLog("handshake-failed", within: .seconds(12))
            let reasons = ["did not prove who it is", "no answer within"]
            #expect(reasons.contains { line["reason"].contains($0) }, "\(line)\n\(thief.transcript)")
            try thief.waitForExit(within: .seconds(10))
            #expect(pair.server.logged("link-up").count == 1, "\(pair.logs)")
            #expect(pair.server.logged("link-down").isEmpty, "\(pair.logs)")
            try pair.connect().requireEcho()
        }
    }

    @Test(arguments: [
        ["-allow_no_dhe_kex", "-groups", "X448"], ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], ["-groups", "X448"],
    ])
    func `even the right key gets nothing but the one cipher with key exchange`(flags: [String]) throws {
        let echo = try TargetServer.echo()
        let key = try StolenKey.some()
        try withTunnel(.listener, to: echo.endpoint, { $0.uuid = key.uuid }) { pair in
            let relay = try Relay(to: pair.serverEndpoint)
            let thief = try key.client(of: relay.endpoint, flags)
            let end = try thief.waitForExit(within: .seconds(10))
            #expect(end != .exit(0), "\(thief.transcript)")
            let answer = relay.recorded(.toClient)
            #expect(answer.isEmpty || answer.first == 21, "\(answer)")
            try pair.connect().requireEcho()
        }
    }
}

import Foundation
import Reactor
import Testing
import Tunnel

/// The example of Tunnel.docc: it runs here, and the page shows these very lines.
@Suite struct ExampleTests {
    @Test func `the documented example runs, and the page shows what runs`() throws {
        let loop = try EventLoop()
        let peer = Peer(name: "edge-07", hasAuthority: true, loop: loop)
        let listen = try Endpoint(domain: .tcp, address: "127.0.0.1:0")
        let web = try Endpoint(domain: .tcp, address: "127.0.0.1:80")
        let here = peer.newListener(listen: listen, forward: web)
        let there = peer.newPeerListener(listen: listen, forward: web)

        guard case .active(let bound) = peer.listenerStates[here] else {
            Issue.record("not bound: \(peer.listenerStates)")
            return
        }
        #expect(bound.hasPrefix("127.0.0.1:") && bound != "127.0.0.1:0")
        #expect(here != there && peer.listenerStates[there] == nil)
        peer.stop(retryAfterMilliseconds: 0)
        try compareWithPage()
    }

    private func compareWithPage() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appending(path: "Sources/Tunnel/Tunnel.docc/Tunnel.md"), encoding: .utf8)
        let source = try String(contentsOf: URL(filePath: #filePath), encoding: .utf8)
        let parts = page.components(separatedBy: "```swift\n")
        #expect(parts.count == 2)
        let block = parts[1].components(separatedBy: "```")[0].split(separator: "\n")
        #expect(block.count == 6)
        for line in block { #expect(source.contains(line), "shown, but does not run: \(line)") }
    }
}

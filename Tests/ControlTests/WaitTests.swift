import Control
import Foundation
import HTTP
import Records
import Synchronization
import Testing

struct WaitTests {
    private let fixture: ControlFixture
    private let mapping: UInt32

    init() throws {
        fixture = try ControlFixture()
        try fixture.add("edge")
        mapping = try fixture.addMapping("edge", listen: "127.0.0.1:0")
    }

    /// Asks on a thread of its own.
    private func ask(_ query: String) -> Answer {
        let answer = Answer()
        let (fixture, mapping) = (fixture, mapping)
        Thread {
            let response = fixture.ask("GET", "/v1/mappings/\(mapping)/wait?\(query)")
            answer.value.withLock { $0 = response }
        }.start()
        return answer
    }

    private final class Answer: Sendable {
        let value = Mutex<HTTPResponse?>(nil)

        func get() throws -> HTTPResponse {
            let deadline = time(nil) + 20
            while time(nil) < deadline {
                if let value = value.withLock({ $0 }) { return value }
                poll(nil, 0, 5)
            }
            throw WrongAnswer(text: "no answer")
        }
    }

    @Test func `a wait ends when the node has applied the revision`() throws {
        let answer = ask("timeout=30")
        try fixture.observe(mapping, .pending, revision: 1)
        #expect(answer.value.withLock { $0 } == nil)
        try fixture.observe(mapping, .active(bound: "127.0.0.1:41234"), revision: 1)
        let mapping = try answer.get()
        #expect(try mapping.value("timedOut") == false && mapping.value("state") == "active")
        #expect(try mapping.value("boundAddress") == "127.0.0.1:41234")
    }

    @Test func `a wait ends when the node has failed, with its words`() throws {
        let answer = ask("timeout=30")
        try fixture.observe(mapping, .failed(detail: "address already in use"), revision: 1)
        #expect(try answer.get().value("detail") == "address already in use")
    }

    @Test func `an older revision's answer does not end it`() throws {
        try fixture.observe(mapping, .active(bound: "127.0.0.1:1"), revision: 1)
        #expect(
            fixture.ask("PATCH", "/v1/mappings/\(mapping)", #"{"listen":{"addr":"127.0.0.1:2"}}"#).status
                == 200)
        #expect(try fixture.ask("GET", "/v1/mappings/\(mapping)/wait?timeout=0").value("timedOut") == true)
        #expect(try fixture.ask("GET", "/v1/mappings/\(mapping)/wait?timeout=1").value("timedOut") == true)
        try fixture.observe(mapping, .active(bound: "127.0.0.1:2"), revision: 2)
        #expect(try fixture.ask("GET", "/v1/mappings/\(mapping)/wait?revision=2").value("timedOut") == false)
    }

    @Test func `a mapping that goes away ends it`() throws {
        let answer = ask("timeout=30")
        #expect(fixture.ask("DELETE", "/v1/mappings/\(mapping)").status == 200)
        #expect(try answer.get().errorCode == "not-found")
    }

    @Test func `a stop ends all waits`() throws {
        let answers = (0..<5).map { _ in ask("timeout=60") }
        fixture.service.stop()
        for answer in answers { #expect(try answer.get().value("timedOut") == true) }
    }

    @Test func `too many do not wait`() throws {
        let answers = (0..<40).map { _ in ask("timeout=60") }
        let deadline = time(nil) + 20
        var refused = 0
        while refused < 8, time(nil) < deadline {
            refused = answers.count { $0.value.withLock { $0?.status == 503 } }
            poll(nil, 0, 5)
        }
        fixture.service.stop()
        #expect(refused == 8)
        #expect(fixture.ask("GET", "/v1/status").status == 200)
    }

    @Test func `without a server there is nothing to wait for`() throws {
        fixture.fleet.state.withLock { $0.isLive = false }
        let answer = fixture.ask("GET", "/v1/mappings/\(mapping)/wait?timeout=60")
        #expect(answer.status == 503 && answer.errorCode == "not-running")
        _ = fixture.ask("POST", "/v1/mappings/\(mapping)/disable")
        #expect(try fixture.ask("GET", "/v1/mappings/\(mapping)/wait").value("state") == "disabled")
    }
}

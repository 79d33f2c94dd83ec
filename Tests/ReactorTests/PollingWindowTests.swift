import Reactor
import Testing

@Suite struct PollingWindowTests {
    private let short = PollingWindow.nanoseconds
    private let long: UInt64 = 1_000_000

    private func opened() -> PollingWindow {
        var window = PollingWindow()
        for _ in 0..<100 { window.waited(short) }
        return window
    }

    @Test func `it is closed at first, and opens after eight short waits`() {
        var window = PollingWindow()
        for _ in 0..<7 { window.waited(short) }
        #expect(!window.isOpen)
        window.waited(short)
        #expect(window.isOpen)
    }

    @Test func `one wait of a millisecond closes it, however long it was open`() {
        var window = opened()
        window.waited(long)
        #expect(!window.isOpen)
        for _ in 0..<7 { window.waited(short) }
        #expect(!window.isOpen)
    }

    @Test(arguments: [PollingWindow.nanoseconds + 1, 1_000_000, 1_000_000_000])
    func `waits that are never short never open it, however regular they are`(_ wait: UInt64) {
        var window = PollingWindow()
        for _ in 0..<1_000 {
            window.waited(wait)
            #expect(!window.isOpen)
        }
    }

    @Test func `a message a second whose answer comes at once never finds it open`() {
        var window = PollingWindow()
        for _ in 0..<1_000 {
            window.waited(1_000_000_000)
            #expect(!window.isOpen)
            for _ in 0..<3 { window.waited(20_000) }
            #expect(!window.isOpen)
        }
    }

    @Test func `looking in vain three times in a row closes it`() {
        var window = opened()
        for _ in 0..<2 { window.lookedInVain() }
        #expect(window.isOpen)
        window.lookedInVain()
        #expect(!window.isOpen)
    }

    @Test func `it closes when more than a fifth of the looks are in vain, and stays open when less are`() {
        var window = opened()
        for _ in 0..<1_000 {
            window.lookedInVain()
            for _ in 0..<5 { window.waited(short) }
            #expect(window.isOpen)
        }
        for _ in 0..<10 {
            window.lookedInVain()
            for _ in 0..<3 { window.waited(short) }
        }
        #expect(!window.isOpen)
    }

    @Test func `of waits that are a little too long it looks at a small part`() {
        var window = opened()
        var looks = 0
        for _ in 0..<1_000 {
            if window.isOpen {
                looks += 1
                window.lookedInVain()
            }
            window.waited(short + 1)
        }
        #expect(looks <= 3)
    }
}

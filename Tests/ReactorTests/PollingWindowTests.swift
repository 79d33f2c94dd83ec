import Testing
import Threads

@Suite struct PollingWindowTests {
    private let short = PollingWindow.shortNanoseconds
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

    @Test(arguments: [PollingWindow.shortNanoseconds + 1, 1_000_000, 1_000_000_000])
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

    @Test func `a few looks in vain are forgiven after many that helped, fifteen in a row are not`() {
        var window = opened()
        for _ in 0..<14 { window.lookedInVain() }
        #expect(window.isOpen)
        window.lookedInVain()
        #expect(!window.isOpen)
    }

    @Test func `just open, it closes with the first look in vain, and opens again after 32 short waits`() {
        var window = PollingWindow()
        for _ in 0..<8 { window.waited(short) }
        window.lookedInVain()
        for _ in 0..<31 { window.waited(short) }
        #expect(!window.isOpen)
        window.waited(short)
        #expect(window.isOpen)
    }

    @Test func `it closes when more than a fifth of the looks are in vain, not when less are`() {
        var window = opened()
        for _ in 0..<1_000 {
            window.lookedInVain()
            for _ in 0..<4 { window.waited(short) }
            #expect(window.isOpen)
        }
        for _ in 0..<60 where window.isOpen {
            window.lookedInVain()
            for _ in 0..<3 { window.waited(short) }
        }
        #expect(!window.isOpen)
    }

    /// Half as long again as it looks: each look is in vain, though each wait is short.
    @Test func `where every look is in vain it looks at one wait in thirty`() {
        var window = PollingWindow()
        var looks = 0
        for _ in 0..<3_200 {
            if window.isOpen {
                looks += 1
                window.lookedInVain()
            }
            window.waited(short)
        }
        #expect(looks <= 3_200 / 30)
    }

    @Test func `what is short is said at the start`() {
        var window = PollingWindow(shortNanoseconds: 2 * short)
        for _ in 0..<8 { window.waited(2 * short) }
        #expect(window.isOpen)
        window.waited(long)
        for _ in 0..<100 { window.waited(2 * short + 1) }
        #expect(!window.isOpen)
    }
}

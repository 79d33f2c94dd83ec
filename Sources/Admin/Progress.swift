/// A line on standard error that says how far a long command has come, where somebody looks on. It goes when the command ends.
final class Progress {
    private static let firstMicroseconds: Int64 = 1_000_000
    private static let betweenMicroseconds: Int64 = 200_000

    private let console: Console
    private var next: Int64
    private var isShown = false

    init(_ console: Console) {
        self.console = console
        next = console.now().microseconds + Self.firstMicroseconds
    }

    func show(_ text: @autoclosure () -> String) {
        let now = console.now().microseconds
        guard console.isErrorTerminal, now >= next else { return }
        console.writeError("\r\(safe(text())) (Ctrl-C shows what there is)\u{1B}[K")
        next = now + Self.betweenMicroseconds
        isShown = true
    }

    func end() {
        if isShown { console.writeError("\r\u{1B}[K") }
        isShown = false
    }
}

// records-writer DIR [history]: for the crash tests of Records. Prints a line for each write that was acknowledged, or for what
// the history may be relied on for, until it is killed.
import Glibc
import Records

let threads = 4
do {
    if CommandLine.arguments.count > 2 { try runHistory(CommandLine.arguments[1]) }
    let store = try Store.open(directory: CommandLine.arguments[1])
    let run = Int(getpid())
    let place = Place(addr: "127.0.0.1:0")
    let node = try store.read { (reader) throws(RecordsError) in try reader.node("crash") }
    for number in 1..<threads { startWriting(store, node.id, "\(run).\(number)", place) }
    keepWriting(store, node.id, "\(run).0", place)
} catch {
    say("\(error)\n", to: STDERR_FILENO)
    exit(1)
}

/// Adds a mapping and removes it again, so that every write changes several tables; the audit keeps all.
func keepWriting(_ store: Store, _ nodeID: String, _ writer: String, _ place: Place) -> Never {
    var number = 0
    while true {
        number += 1
        let mark = "\(writer).\(number)"
        do {
            try store.write(actor: .user("crash", uid: 7)) { (transaction) throws(RecordsError) in
                let new = NewMapping(kind: .listener, listen: place, forward: Place(addr: "127.0.0.1:1"))
                let mapping = try transaction.addMapping(nodeID, new)
                try transaction.audit("written", detail: mark)
                _ = try transaction.removeMapping(mapping.id)
            }
        } catch {
            say("\(error)\n", to: STDERR_FILENO)
            exit(1)
        }
        say("\(mark)\n", to: STDOUT_FILENO)
    }
}

func startWriting(_ store: Store, _ nodeID: String, _ writer: String, _ place: Place) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box { keepWriting(store, nodeID, writer, place) })
    pthread_create(
        &thread, nil,
        { box in
            Unmanaged<Box>.fromOpaque(box!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
}

func say(_ lines: String, to descriptor: Int32) {
    let bytes = Array(lines.utf8)
    // One call: lines of several threads never mix.
    _ = Glibc.write(descriptor, bytes, bytes.count)
}

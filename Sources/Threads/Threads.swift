// Threads: how the programs start threads of their own; both columns do, and neither imports the other.
import CLinux
import Glibc

/// Starts a detached thread that runs `body`. Signals are blocked on it: they belong to the main thread's loop.
package func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let hasStarted = tryToStartThread(name, body)
    precondition(hasStarted, "cannot start thread \(name)")
}

/// As `startThread`, where the program can do without: false when the system has no room for one more.
package func tryToStartThread(_ name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_BLOCK, &all, &before)
    let result = pthread_create(
        &thread, nil,
        { box in
            Unmanaged<Box>.fromOpaque(box!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    pthread_sigmask(SIG_SETMASK, &before, nil)
    guard result == 0 else {
        box.release()
        return false
    }
    pthread_setname_np(thread, String(name.prefix(15)))
    pthread_detach(thread)
    return true
}

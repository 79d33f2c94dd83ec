import CLinux

extension EventLoop {
    /// A while from now, gives the pages that the allocator holds and nobody uses back to the system: freed blocks between used ones
    /// keep the heap from shrinking by itself. Before that `first` lets go of what the caller keeps, and the loop does so too.
    package func giveBackMemory(after nanoseconds: UInt64, _ first: @escaping () -> Void) {
        schedule(after: nanoseconds) { [unowned self] in
            first()
            shrink()
            _ = malloc_trim(0)
        }
    }
}

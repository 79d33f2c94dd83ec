import CLinux

extension EventLoop {
    /// Gives the pages that the allocator holds and nobody uses back to the system, a while from now. Freed blocks between
    /// used ones keep the heap from shrinking by itself.
    package func giveBackMemory(after nanoseconds: UInt64) {
        schedule(after: nanoseconds) { _ = malloc_trim(0) }
    }
}

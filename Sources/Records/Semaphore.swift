import Glibc

/// Wakes one waiting thread for each call of `post`.
// Proof: the address is set once and freed when nobody holds the object; sem_post and sem_wait may be called by any
// thread at any time (sem_overview(7)).
final class Semaphore: @unchecked Sendable {
    private let pointer = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() {
        sem_init(pointer, 0, 0)
    }

    deinit {
        sem_destroy(pointer)
        pointer.deallocate()
    }

    func post() { sem_post(pointer) }

    func wait() {
        // EINTR: a signal's handler ran.
        while sem_wait(pointer) != 0 {}
    }
}

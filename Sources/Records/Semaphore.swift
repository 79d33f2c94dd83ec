import Glibc
import Threads

/// Wakes one waiting thread for each call of `post`. Waits are measured by the monotonic clock, which sem_timedwait cannot:
/// it would sleep through a step of the wall clock.
// Proof: the memory is set up once and freed when nobody holds the object; `count` is touched under the mutex alone, and
// pthread's functions may be called by any thread (pthread_cond_init(3)).
final class Semaphore: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count = 0

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func post() {
        pthread_mutex_lock(mutex)
        count += 1
        pthread_mutex_unlock(mutex)
        // After the mutex: who is woken would only wait for it.
        pthread_cond_signal(condition)
    }

    /// Waits, looking for up to so long before it sleeps, while posts follow each other closely.
    func wait(looking nanoseconds: UInt64, _ window: inout PollingWindow) {
        let start = Monotonic.nanoseconds
        if window.isOpen {
            while !isPosted {
                guard Monotonic.nanoseconds - start < nanoseconds else {
                    window.lookedInVain()
                    break
                }
                sched_yield()
            }
        }
        wait()
        window.waited(Monotonic.nanoseconds - start)
    }

    private var isPosted: Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return count > 0
    }

    /// Forgets earlier posts; what they told of is looked at after this call.
    func clear() {
        pthread_mutex_lock(mutex)
        count = 0
        pthread_mutex_unlock(mutex)
    }

    func wait() {
        pthread_mutex_lock(mutex)
        while count == 0 { pthread_cond_wait(condition, mutex) }
        count -= 1
        pthread_mutex_unlock(mutex)
    }

    /// False when the time was over first.
    @discardableResult
    func wait(milliseconds: Int) -> Bool {
        let end = Monotonic.nanoseconds + UInt64(max(0, milliseconds)) * 1_000_000
        var time = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while count == 0 {
            if pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT, count == 0 { return false }
        }
        count -= 1
        return true
    }
}

/// The clock that counts from the machine's start and is never set.
enum Monotonic {
    static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

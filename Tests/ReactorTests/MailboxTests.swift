import Glibc
import Reactor
import Threads
import Synchronization
import Testing

@Suite struct MailboxTests {
    @Test func `messages of many threads all run on the loop, each thread's in order`() throws {
        let loop = try EventLoop()
        let mailbox = loop.mailbox
        let threads = 4
        let each = 5_000
        final class Seen {
            var numbers = [Int](repeating: 0, count: 4)
            var outOfOrder = 0
            var total = 0
        }
        let seen = Seen()
        let bound = LoopBound(seen, to: loop)
        for thread in 0..<threads {
            startThread("poster \(thread)") {
                for number in 1...each {
                    mailbox.post { loop in
                        let seen = bound.value(on: loop)
                        if seen.numbers[thread] != number - 1 { seen.outOfOrder += 1 }
                        seen.numbers[thread] = number
                        seen.total += 1
                        if seen.total == threads * each { loop.stop() }
                    }
                    // Lets the loop fall asleep now and then: waking it is what can go wrong.
                    if number % 512 == 0 { usleep(200) }
                }
            }
        }
        let guardTimer = loop.schedule(after: 30_000_000_000) {
            Issue.record("messages were lost: \(seen.total)")
            loop.stop()
        }
        loop.run()
        loop.cancel(guardTimer)
        #expect(seen.outOfOrder == 0)
        #expect(seen.numbers == [Int](repeating: each, count: threads))
    }

    @Test func `a message posted by a message runs too, and stop ends the run`() throws {
        let loop = try EventLoop()
        let mailbox = loop.mailbox
        mailbox.post { loop in
            loop.mailbox.post { loop in loop.stop() }
        }
        loop.run()
        // And the loop can run again.
        mailbox.post { loop in loop.stop() }
        loop.run()
    }
}

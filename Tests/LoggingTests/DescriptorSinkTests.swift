import Glibc
import Logging
import Testing

struct DescriptorSinkTests {
    /// Takes what the pipe holds, without waiting for more.
    private func drain(_ descriptor: Int32) -> [Substring] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    @Test func `a full pipe does not hold up the program, and the lines it lost are counted exactly`() throws
    {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        for end in ends { try #require(fcntl(end, F_SETFL, O_NONBLOCK) == 0) }
        let sink = DescriptorSink(descriptor: ends[1])
        for number in 0..<20_000 { sink.write("info line number=\(number)") }
        let taken = drain(ends[0])
        #expect(taken.count > 1_000 && taken.count < 20_000)
        for (number, line) in taken.enumerated() { #expect(line == "info line number=\(number)") }
        sink.write("info again")
        sink.write("info and again")
        #expect(
            drain(ends[0]) == [
                "warn log-lines-lost count=\(20_000 - taken.count)", "info again", "info and again",
            ])
    }

    @Test func `a closed descriptor is no reason to stop`() {
        DescriptorSink(descriptor: -1).write("info unheard")
    }
}

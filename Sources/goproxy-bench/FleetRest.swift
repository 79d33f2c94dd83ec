// FleetRest: what a server costs while all its nodes rest: processor time and wake-ups.
import Charts
import Glibc

struct FleetRest {
    /// The time in which each link asks for a sign of life, to the whole second after 30: links that came up together ask together,
    /// so less than that may hear of all of them or of none.
    static let seconds = 31.0
    /// What a thousand nodes may cost, in per cent of a core.
    static let goalPercent = 0.1

    /// CPU time, in per cent of a core.
    let percent: Double
    /// Times a second that one of the program's threads slept and was woken.
    let wakeUps: Double

    /// Waits until `program` has come to rest, then measures for `seconds`.
    init(of program: Program, seconds: Double = Self.seconds) {
        let pid = program.pid
        Self.settle(pid)
        let begun = monotonicNanoseconds()
        let cpu = cpuNanoseconds(of: pid)
        let sleeps = Self.sleeps(of: pid)
        pass(seconds: seconds)
        let passed = Double(monotonicNanoseconds() - begun)
        percent = Double(cpuNanoseconds(of: pid) - cpu) / passed * 100
        wakeUps = Double(Self.sleeps(of: pid) - sleeps) / passed * 1e9
    }

    /// What to say beside the figure. The goal is for a thousand nodes; fewer or more have their share of it.
    func verdict(nodes: Int) -> String {
        let goal = Self.goalPercent * Double(nodes) / 1_000
        return " (goal: at most \(shown(goal, 3)), \(percent <= goal ? "reached" : "not reached"))"
    }

    /// After a start plans are pushed, answers written and lists told: at least 3 s, then until a second costs no less than the
    /// one before it, at most 10 s.
    private static func settle(_ pid: pid_t) {
        pass(seconds: 3)
        var last = Int.max
        for _ in 0..<7 {
            let before = cpuNanoseconds(of: pid)
            pass(seconds: 1)
            let cost = cpuNanoseconds(of: pid) - before
            if cost >= last { return }
            last = cost
        }
    }

    /// The voluntary context switches of all threads.
    private static func sleeps(of pid: pid_t) -> Int {
        let folder = "/proc/\(pid)/task"
        guard let directory = opendir(folder) else { return 0 }
        defer { closedir(directory) }
        var sum = 0
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            for line in textOfFile("\(folder)/\(name)/status").split(separator: "\n")
            where line.hasPrefix("voluntary_ctxt_switches:") {
                sum += Int(line.split(separator: "\t").last ?? "") ?? 0
            }
        }
        return sum
    }
}

// Machine: where the figures were measured, and what else it was doing.
import Glibc

struct Machine: Encodable {
    static let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))

    let kernel: String
    let cores = Machine.cores
    let processor: String
    /// One that paces (bbr) costs a timer and an interrupt for each burst, on loopback too: figures of machines
    /// with different ones do not compare.
    let congestionControl: String

    init() {
        kernel = textOfFile("/proc/sys/kernel/osrelease").filter { !$0.isNewline }
        congestionControl = textOfFile("/proc/sys/net/ipv4/tcp_congestion_control").filter { !$0.isNewline }
        let lines = textOfFile("/proc/cpuinfo").split(separator: "\n")
        let model = lines.first { $0.hasPrefix("model name") }?.split(separator: ":").last ?? ""
        processor = String(model.drop { $0 == " " })
    }

    /// Up to this share of the machine's CPU time may go to others before the figures are in doubt.
    static let quietShare = 0.05

    /// CPU time that all processes have used since boot, and that the hypervisor gave to others. Without the
    /// time in interrupts, which the kernel counts a second time for the process that they hit.
    static func busySeconds() -> Double {
        let line = textOfFile("/proc/stat").prefix { $0 != "\n" }
        let ticks = line.split(separator: " ").dropFirst().map { Double($0) ?? 0 }
        guard ticks.count >= 8 else { return 0 }
        let (user, nice, system, steal) = (ticks[0], ticks[1], ticks[2], ticks[7])
        return (user + nice + system + steal) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}

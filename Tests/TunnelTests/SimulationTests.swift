import Simulation
import Testing

@Suite struct SimulationTests {
    @Test func `every byte arrives once and in order, or an end is seen, whatever the seed`() {
        LogTap.silence()
        for failure in Seeds.run("TunnelSimulation", { try TunnelSimulation(seed: $0).run() }) {
            Issue.record("\(failure)")
        }
    }
}

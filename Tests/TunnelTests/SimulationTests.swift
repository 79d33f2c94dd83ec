import Simulation
import Testing

@Suite struct SimulationTests {
    @Test func `every byte arrives once and in order, or an end is seen, whatever the seed`() {
        LogTap.silence()
        var turns = 0
        var calls = 0
        let failures = Seeds.run("TunnelSimulation") {
            let simulation = try TunnelSimulation(seed: $0)
            defer {
                turns += simulation.world.turns
                calls += simulation.calls.count
            }
            try simulation.run()
        }
        print("TunnelSimulation: \(turns) turns, \(calls) calls")
        for failure in failures {
            Issue.record("\(failure)")
        }
    }

    @Test func `an end that says anything cannot harm the other, whatever the seed`() {
        LogTap.silence()
        let failures = Seeds.run("HostileSimulation of peers", count: max(1, Seeds.count / 4)) {
            try HostileSimulation(seed: $0).run()
        }
        for failure in failures { Issue.record("\(failure)") }
    }
}

import Mux
import Testing

@Suite struct SimulationTests {
    @Test func `every byte arrives once and in order, whatever the seed`() {
        Seeds.run("Simulation") { try Simulation(seed: $0).run() }
    }

    @Test func `hostile frames get an event or a violation, whatever the seed`() {
        Seeds.run("HostileSimulation") { try HostileSimulation(seed: $0).run() }
    }
}

import Mux
import Testing

/// One after the other, so that a trap tells the right seed.
@Suite(.serialized) struct SimulationTests {
    @Test func `every byte arrives once and in order, whatever the seed`() {
        Seeds.run("Simulation") { try Simulation(seed: $0).run() }
    }

    @Test func `hostile frames get an event or a violation, whatever the seed`() {
        Seeds.run("HostileSimulation") { try HostileSimulation(seed: $0).run() }
    }
}

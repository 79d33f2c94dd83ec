import Control
import Records

/// Targets that no client reaches any more, by mapping: since the first that did not, until the next that does.
struct TargetTroubles {
    /// Whoever has more mappings than this in trouble looks at the log.
    private static let most = 1_000
    private var byMapping: [UInt32: TargetTrouble] = [:]

    mutating func ended(_ mapping: UInt32, _ reason: EndReason, at: Timestamp) {
        switch reason {
        case .targetRefused, .targetTimeout, .targetUnreachable, .notAllowed, .loop:
            if byMapping[mapping] == nil {
                guard byMapping.count < Self.most else { return }
                byMapping[mapping] = TargetTrouble(mapping: mapping, reason: reason, since: at, count: 0)
            }
            byMapping[mapping]?.reason = reason
            byMapping[mapping]?.count += 1
        case .clientEOF, .targetEOF, .clientReset, .targetReset, .idle: byMapping[mapping] = nil
        default: break
        }
    }

    var all: [TargetTrouble] { byMapping.values.sorted { $0.mapping < $1.mapping } }
}

/// What operators and nodes may ask the records to hold.
package enum Limits {
    package static let mappingsPerNode = 256
    package static let nodes = 10_000
    package static let tagsPerNode = 64
    package static let tagValueBytes = 255
    package static let credentialsPerNode = 8
    /// Of which the name is kept.
    package static let endedCredentials = 10_000
    /// 90 days.
    package static let overlapSeconds: Int64 = 90 * 86_400
    /// Version, operating system and address as a node tells them.
    package static let nodeTextBytes = 64
    /// The words of a failure.
    package static let detailBytes = 512
    package static let auditDetailBytes = 4_096
    /// Rows of one page of a list that grows.
    package static let page = 1_000
    /// Different clients, or other keys, that are counted at a time.
    package static let totalsKeys = 1_000_000
    /// Of a part that is added up by who asked for it.
    package static let totalsPart = 100_000
    /// Jobs without a caller that waits; beyond it they are dropped and counted.
    package static let waitingSubmissions = 100_000

    /// At most so many bytes, cut between characters.
    package static func cut(_ text: String, bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var kept = ""
        var count = 0
        for character in text {
            count += character.utf8.count
            if count > bytes { break }
            kept.append(character)
        }
        return kept
    }
}

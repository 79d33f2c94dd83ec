/// The name that was probably meant, if one is near: a third of its letters may be wrong.
package func closestName(to typed: String, among names: [String]) -> String? {
    // Longer than any name: the work below grows with the product of the lengths.
    guard !typed.isEmpty, typed.utf8.count <= 40 else { return nil }
    var best: (name: String, distance: Int)?
    for name in names {
        let distance = editDistance(Array(typed.utf8), Array(name.utf8))
        guard distance <= max(1, name.utf8.count / 3), distance < best?.distance ?? .max else { continue }
        best = (name, distance)
    }
    return best?.name
}

/// How many letters must be inserted, deleted, replaced, or exchanged with their neighbour.
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for (row, letter) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in right.enumerated() {
            var cost = min(
                last[column] + (letter == other ? 0 : 1), last[column + 1] + 1, current[column] + 1)
            if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                cost = min(cost, beforeLast[column - 1] + 1)
            }
            current.append(cost)
        }
        beforeLast = last
        last = current
    }
    return last[right.count]
}

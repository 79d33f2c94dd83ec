/// A whole number within a range. The error is only the reason.
package func parseInt(_ text: String, in range: ClosedRange<Int>) throws(FlagError) -> Int {
    let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
    guard !digits.isEmpty, digits.allSatisfy(isDigit) else { throw FlagError("not a whole number") }
    // Nil is now a number that does not fit into 64 bits.
    guard let number = Int(text), range.contains(number) else {
        throw FlagError("not between \(range.lowerBound) and \(range.upperBound)")
    }
    return number
}

/// A span of time: numbers with units, `1h30m`, `1.5s`, `365d`; `0` alone needs no unit. The error is only the reason.
package func parseDuration(_ text: String, in range: ClosedRange<Duration>) throws(FlagError) -> Duration {
    var nanoseconds: Int64 = 0
    var fits = true
    var rest = text.utf8[...]
    if text == "0" { rest = rest.dropFirst() } else if rest.isEmpty { throw FlagError("not a duration") }
    while !rest.isEmpty {
        let whole = rest.prefix(while: isDigit)
        rest = rest[whole.endIndex...]
        var fraction = rest[rest.startIndex..<rest.startIndex]
        if rest.first == UInt8(ascii: ".") {
            fraction = rest.dropFirst().prefix(while: isDigit)
            rest = rest[fraction.endIndex...]
        }
        guard !whole.isEmpty || !fraction.isEmpty else {
            throw FlagError("not a duration, such as 10s, 500ms or 1m30s")
        }
        let unitText = rest.prefix { !isDigit($0) && $0 != UInt8(ascii: ".") }
        rest = rest[unitText.endIndex...]
        guard !unitText.isEmpty else { throw FlagError("a unit is missing: ns, us, ms, s, m, h or d") }
        guard unitText.count <= 3, var unit = nanosecondsOf(unit: String(Substring(unitText))) else {
            throw FlagError("an unknown unit: use ns, us, ms, s, m, h or d")
        }
        var part: Int64 = 0
        for digit in whole {
            let (tens, tooBig) = part.multipliedReportingOverflow(by: 10)
            let (sum, stillTooBig) = tens.addingReportingOverflow(Int64(digit) - 48)
            fits = fits && !tooBig && !stillTooBig
            part = sum
        }
        let (product, tooBig) = part.multipliedReportingOverflow(by: unit)
        let (sum, stillTooBig) = nanoseconds.addingReportingOverflow(product)
        fits = fits && !tooBig && !stillTooBig
        nanoseconds = sum
        for digit in fraction {
            unit /= 10
            let (sum, tooBig) = nanoseconds.addingReportingOverflow((Int64(digit) - 48) * unit)
            fits = fits && !tooBig
            nanoseconds = sum
        }
    }
    let duration = Duration.nanoseconds(nanoseconds)
    guard fits, range.contains(duration) else {
        throw FlagError("not between \(durationText(range.lowerBound)) and \(durationText(range.upperBound))")
    }
    return duration
}

private func nanosecondsOf(unit: String) -> Int64? {
    switch unit {
    case "ns": 1
    case "us", "µs", "μs": 1_000
    case "ms": 1_000_000
    case "s": 1_000_000_000
    case "m": 60_000_000_000
    case "h": 3_600_000_000_000
    case "d": 86_400_000_000_000
    default: nil
    }
}

/// As `parseDuration` reads it: whole units, the largest first.
package func durationText(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    var text = ""
    var rest = seconds
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] as [(String, Int64)]
    where rest >= length {
        text += "\(rest / length)\(unit)"
        rest %= length
    }
    if attoseconds != 0 { text += "\(attoseconds / 1_000_000_000)ns" }
    return text.isEmpty ? "0s" : text
}

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

// Numbers as people read them, without Foundation.

/// A number with so many digits after the point; empty when there is none.
package func shown(_ value: Double?, _ digits: Int = 0) -> String {
    guard let value, value.isFinite, value.magnitude < 1e15 else { return "" }
    let scale = (0..<digits).reduce(1) { scale, _ in scale * 10 }
    let whole = Int((value.magnitude * Double(scale)).rounded())
    let sign = value < 0 && whole > 0 ? "-" : ""
    guard digits > 0 else { return sign + grouped(whole) }
    return "\(sign)\(grouped(whole / scale)).\(String(scale + whole % scale).dropFirst())"
}

/// About three digits, which is more than such a figure is good for.
package func brief(_ value: Double) -> String {
    switch value.magnitude {
    case ..<9.995: shown(value, 2)
    case ..<99.95: shown(value, 1)
    default: shown(value, 0)
    }
}

/// Five digits and more get a comma every three.
private func grouped(_ whole: Int) -> String {
    let digits = String(whole)
    guard digits.count > 4 else { return digits }
    var text = ""
    for (index, digit) in digits.enumerated() {
        if index > 0 && (digits.count - index) % 3 == 0 { text.append(",") }
        text.append(digit)
    }
    return text
}

// The few elements of SVG that the picture needs.

/// Makes a document part of text and numbers; everything that goes in is escaped here and nowhere else.
struct Element {
    private let name: String
    private var attributes: [(String, String)]
    private var content = ""

    init(_ name: String, _ attributes: [(String, String)] = []) {
        self.name = name
        self.attributes = attributes
    }

    static func rect(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ kind: String, radius: Double = 0
    ) -> Element {
        var element = Element(
            "rect",
            [
                ("class", kind), ("x", place(x)), ("y", place(y)), ("width", place(max(0, width))),
                ("height", place(max(0, height))),
            ])
        if radius > 0 { element.attributes.append(("rx", place(radius))) }
        return element
    }

    static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ kind: String) -> Element {
        Element(
            "line",
            [("class", kind), ("x1", place(x1)), ("y1", place(y1)), ("x2", place(x2)), ("y2", place(y2))])
    }

    static func path(_ points: [(x: Double, y: Double)], _ kind: String) -> Element {
        let text = points.map { "\(place($0.x)),\(place($0.y))" }.joined(separator: " ")
        return Element("polyline", [("class", kind), ("points", text)])
    }

    static func dot(_ x: Double, _ y: Double, _ kind: String) -> Element {
        Element("circle", [("class", kind), ("cx", place(x)), ("cy", place(y)), ("r", "3")])
    }

    static func text(_ x: Double, _ y: Double, _ text: String, _ kind: String) -> Element {
        var element = Element("text", [("class", kind), ("x", place(x)), ("y", place(y))])
        element.content = escaped(text)
        return element
    }

    var document: String {
        let list = attributes.map { " \($0.0)=\"\(Self.escaped($0.1))\"" }.joined()
        return content.isEmpty ? "<\(name)\(list)/>" : "<\(name)\(list)>\(content)</\(name)>"
    }

    /// A tenth of a pixel is enough, and keeps the file small. What is no number stands at 0.
    static func place(_ value: Double) -> String {
        guard value.isFinite, value.magnitude < 1e9 else { return "0" }
        let tenths = Int((value * 10).rounded())
        let sign = tenths < 0 ? "-" : ""
        let (whole, rest) = (tenths.magnitude / 10, tenths.magnitude % 10)
        return rest == 0 ? "\(sign)\(whole)" : "\(sign)\(whole).\(rest)"
    }

    /// Characters that XML 1.0 does not allow become question marks.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\n", "\t": result += " "
            case _ where scalar.value < 32 || (0x7f...0x9f).contains(scalar.value): result += "?"
            case "\u{fffe}", "\u{ffff}": result += "?"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

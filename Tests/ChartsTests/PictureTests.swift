import Charts
import Foundation
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

struct PictureTests {
    private let picture = Picture(
        title: "a < b & \"c\"", series: ["ours", "<theirs>"],
        panels: [
            .bars(
                Bars(
                    "MB/s",
                    [.init("1 down", [670, nil]), .init("8 & up", [937, 0]), .init("none", [nil, nil])])),
            .bars(Bars("µs", isLogarithmic: true, [.init("p50", [60, 6_000]), .init("p99", [.nan, -1])])),
            .bars(Bars("nothing", [.init("none", [nil])])),
            .lines(Lines("growth", counts: [1, 10, 10_000], [[1, 2, 3], [nil, .infinity, 0]])),
            .lines(Lines("alone", counts: [1], [[5]])),
            .lines(Lines("nothing", counts: [], [[]])),
        ], foot: "control \u{1} characters\nand lines \u{ffff}")

    @Test func `the picture is well-formed XML whatever the texts and values are`() throws {
        let reader = Reader()
        let parser = XMLParser(data: Data(picture.svg.utf8))
        parser.delegate = reader
        #expect(parser.parse(), "\(String(describing: parser.parserError)): \(picture.svg)")
        #expect(reader.names.first == "svg")
        #expect(reader.texts.contains("a < b & \"c\"") && reader.texts.contains("<theirs>"))
        #expect(reader.texts.contains("control ? characters and lines ?"))
    }

    @Test func `every value is written, and no place is not a number`() {
        let svg = picture.svg
        for label in [">670<", ">937<", ">60.0<", ">6000<", ">10,000<", ">growth<", ">8 &amp; up<"] {
            #expect(svg.contains(label), "\(label)")
        }
        #expect(!svg.contains("nan") && !svg.contains("inf"))
        #expect(!svg.contains("nothing"), "a panel without values is left out")
    }

    @Test func `everything stands inside the picture`() throws {
        let reader = Reader()
        let parser = XMLParser(data: Data(picture.svg.utf8))
        parser.delegate = reader
        #expect(parser.parse())
        #expect(reader.places.count > 20)
        for place in reader.places {
            #expect(
                (0...reader.size.0).contains(place.0) && (0...reader.size.1).contains(place.1), "\(place)")
        }
    }

    @Test func `it brings its own background, for light pages and dark ones`() {
        #expect(picture.svg.contains("class=\"page\"") && picture.svg.contains("prefers-color-scheme:dark"))
    }

    @Test func `it asks for nothing from elsewhere`() {
        let svg = picture.svg.replacing("http://www.w3.org/2000/svg", with: "")
        for word in ["http", "href", "url(", "<script", "@import"] { #expect(!svg.contains(word)) }
    }
}

private final class Reader: NSObject, XMLParserDelegate {
    var names: [String] = []
    var texts: [String] = []
    var places: [(Double, Double)] = []
    var size = (0.0, 0.0)

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        names.append(name)
        texts.append("")
        func number(_ key: String) -> Double? { attributes[key].flatMap { Double($0) } }
        let box = attributes["viewBox"]?.split(separator: " ").compactMap { Double($0) } ?? []
        if box.count == 4 { size = (box[2], box[3]) }
        if let x = number("x"), let y = number("y") {
            places.append((x + (number("width") ?? 0), y + (number("height") ?? 0)))
        }
        for pair in attributes["points"]?.split(separator: " ") ?? [] {
            let parts = pair.split(separator: ",").compactMap { Double($0) }
            if parts.count == 2 { places.append((parts[0], parts[1])) }
        }
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
        let text = text.trimmingCharacters(in: .newlines)
        if !texts.isEmpty { texts[texts.count - 1] += text }
    }
}

extension String {
    /// What the other end says of itself, as this end keeps it: printable ASCII, the rest as its number, and no more than `most`
    /// bytes. So it costs what its length says wherever it is compared, hashed or counted, and shows what it is.
    package init(ofStranger text: String, most: Int) {
        if text.utf8.allSatisfy({ (32...126).contains($0) }) {
            self = String(Substring(text.utf8.prefix(most)))
            return
        }
        var kept = ""
        for scalar in text.unicodeScalars {
            let piece =
                (" "..."~").contains(scalar)
                ? String(scalar) : "\\u{\(String(scalar.value, radix: 16))}"
            guard kept.utf8.count + piece.utf8.count <= most else { break }
            kept += piece
        }
        self = kept
    }
}

import Control
import Glibc
import Records

/// `audit verify`: in this process, on the file. A server that is asked whether its own records are sound could say anything.
enum VerifyCommand {
    static func run(_ session: Session) throws(AdminError) {
        let arguments = session.arguments.keeping
        let path = arguments.file ?? "\(session.directory)/\(Store.fileName)"
        var verifier = ChainVerifier(path: path)
        for file in arguments.key { verifier.keys.append(try key(file)) }
        if arguments.file == nil {
            let own = "\(session.directory)/\(SealKey.verifyName)"
            if verifier.keys.isEmpty, access(own, F_OK) == 0 { verifier.keys = [try key(own)] }
            // Before the snapshot: a server may seal meanwhile, and then the key is newer than what is read.
            verifier.nextSeal = SealKey.next(in: session.directory)
        }
        verifier.restored = arguments.restored
        for file in arguments.anchor { verifier.anchors += try anchors(file) }
        let report: ChainReport
        do throws(RecordsError) { report = try verifier.run() } catch { throw AdminError(error) }
        try session.print(jsonText(report)) { () throws(AdminError) in
            report.fault == nil ? words(report) : ""
        }
        guard let fault = report.fault else { return }
        let isOlder = arguments.file != nil && fault.table == "seals" && fault.words.hasPrefix("cut off")
        throw AdminError(
            "tampered", "not what was written: \(fault)",
            hint: isOlder
                ? "a copy ends before what was logged after it was made: give the log up to then"
                : "keep the file as it is; goproxy-admin backup copies what is left")
    }

    private static func words(_ report: ChainReport) -> String {
        var text =
            report.sealsReplaced == 0
            ? "Nothing was changed or taken away, as far as this can tell:\n"
            : "Nothing of what is here was changed. What \(counted(Int(report.sealsReplaced), "seal")) told of "
                + "is not here: a note says that a backup was put in place.\n"
        for table in report.tables {
            let name = table.name + String(repeating: " ", count: max(0, 8 - table.name.count))
            let unsealed = table.unsealed > 0 ? ", \(table.unsealed) of them in no seal yet" : ""
            text += "  \(name)\(counted(Int(table.rows), "row"))\(unsealed)\n"
        }
        if let until = report.prunedUntil {
            text +=
                "  pruned  up to \(TimeText.absolute(until)); \(counted(Int(report.carried), "opening")) stayed\n"
        }
        if report.leaving > 0 { text += "  \(report.leaving) rows of a pruning that has not ended\n" }
        if report.exposed > 0 {
            text +=
                "  found   \(counted(Int(report.exposed), "row")) that no seal held at some start (goproxy-admin audit "
                + "--action found-unsealed)\n"
        }
        if report.unchained > 0 {
            text += "  older   \(counted(Int(report.unchained), "row")) of the audit, which nothing proves\n"
        }
        let last = report.sealedAt.map { ", the last of \(TimeText.absolute($0))" } ?? ""
        text += "  seals   \(report.seals)\(last)\n"
        if report.tables.contains(where: { $0.unsealed > 0 }) {
            text +=
                "          what no seal holds yet, whoever can write the file could have written: nothing proves it\n"
        }
        if report.seals > 0 {
            text +=
                report.sealsProven > 0
                ? "  key     \(counted(Int(report.sealsProven), "seal")) made with it\n"
                : "  key     not there: who wrote the whole chain and its seals anew is not seen without it (--key)\n"
        }
        let replaced =
            report.anchorsReplaced > 0
            ? ", \(report.anchorsReplaced) of a database that a backup has replaced" : ""
        text +=
            report.anchors + report.anchorsReplaced > 0
            ? "  anchors \(report.anchors)\(replaced)\n"
            : "  anchors none: an end that was cut off is not seen without them (--anchor)\n"
        return text
    }

    private static func key(_ file: String) throws(AdminError) -> [UInt8] {
        guard let bytes = bytes(of: file, atMost: 2 * SealKey.bytes + 2) else {
            throw AdminError("io", "\(file): cannot read it: \(String(cString: strerror(errno)))")
        }
        guard let key = SealKeyExport.key(bytes) else {
            throw AdminError(
                "invalid",
                "\(file): no verification key: it must hold \(SealKey.bytes) bytes, or as many in hexadecimal"
            )
        }
        return key
    }

    private static func bytes(of file: String, atMost count: Int) -> [UInt8]? {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = read(descriptor, &bytes, count)
        return got < 0 ? nil : Array(bytes[..<got])
    }

    /// Line by line: a log of years is large, and nearly all of it is about something else.
    private static func anchors(_ file: String) throws(AdminError) -> [Anchor] {
        guard let stream = fopen(file, "re") else {
            throw AdminError("io", "\(file): cannot read it: \(String(cString: strerror(errno)))")
        }
        defer { fclose(stream) }
        var line: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(line) }
        var found: [Anchor] = []
        while case let count = getline(&line, &room, stream), count > 0, let line {
            guard strstr(line, "history-head") != nil else { continue }
            let bytes = UnsafeRawBufferPointer(start: line, count: count)
            if let anchor = Anchor(line: String(decoding: bytes, as: UTF8.self).filter { !$0.isNewline }) {
                found.append(anchor)
            }
        }
        guard !found.isEmpty else {
            throw AdminError(
                "invalid", "\(file): holds no anchor",
                hint: "a log of the server's, with its lines history-head")
        }
        return found
    }
}

/// The lines at the doors that have a form which traps for some value, and why it cannot have that value there.
extension Doors {
    /// By the file below `Sources`: the code, and the reason.
    static let reasons: [String: [(code: String, why: String)]] = [
        "Control/ControlService+History.swift": [
            (#"call.number("cursor").map { Int64($0) }"#, "64 bits to 64"),
            ("Int(max(0, numbers.connections - numbers.closed))", "64 bits to 64; both count rows"),
            ("flatMap { Int64($0) }", "of text: nil for what is no number"),
        ],
        "Control/ControlService+Mappings.swift": [
            ("map { Int64($0) }", "64 bits to 64")
        ],
        "Control/ControlService+Status.swift": [
            ("Int(getpid())", "32 bits to 64"),
            ("map { Int64($0) }", "64 bits to 64"),
            ("Int(status.st_size)", "64 bits to 64"),
        ],
        "Control/JSONText.swift": [
            (
                #"preconditionFailure("a value that is not JSON")"#,
                "values of ours: every number is whole and every text is Swift's"
            )
        ],
        "Control/Route.swift": [
            ("flatMap { Int($0) }", "of text: nil for what is no number")
        ],
        "Fleet/Backlog.swift": [
            ("removeFirst(start)", "as many as have been passed over")
        ],
        "Fleet/ConnectionEntry.swift": [
            ("Int64(nanoseconds / 1_000)", "a 64-bit number divided by 1,000 fits 63"),
            (#"preconditionFailure("a reason without a word"#, "a closed list; a test goes through it"),
        ],
        "Fleet/ConnectionHistory.swift": [
            ("Int64(loop.now / 1_000)", "a 64-bit number divided by 1,000 fits 63"),
            ("uniqueKeysWithValues: open", "the keys of a dictionary"),
            ("uniqueKeysWithValues: ending", "the keys of a dictionary"),
            ("UInt64(place)", "a place of an array"),
            ("UInt64(time.tv_sec)", "the clock of this boot"),
            ("Int64(monotonic / 1_000)", "a 64-bit number divided by 1,000 fits 63"),
        ],
        "Fleet/Gate.swift": [
            ("Int(firstBytes[3])", "8 bits; five bytes are there")
        ],
        "Fleet/Reconciler.swift": [
            ("UInt64(max(1, took", "this program's own clock, from 1 up"),
            ("Int16(POLLIN)", "a constant"),
        ],
        "Fleet/Takeovers.swift": [
            ("machines.removeFirst()", "more than sixteen are there"),
            ("hosts.removeFirst()", "more than forty are there"),
        ],
        "Fleet/Registry.swift": [
            ("Int64(time.tv_sec)", "the kernel keeps the clock below 2^34 seconds")
        ],
        "Fleet/WriteBack.swift": [
            ("removeFirst(sessions)", "as many as were taken from it"),
            ("removeFirst(entries)", "as many as were taken from it"),
        ],
        "HTTP/HTTPServer.swift": [
            ("UInt32(2 * limits.connections)", "a setting of ours"),
            ("flatMap { Int($0) }", "of text: nil for what is no number"),
            ("UInt32(response.status)", "a status of ours"),
        ],
        "HTTP/Places.swift": [
            ("Int32(SHUT_RDWR)", "a constant")
        ],
        "JSON/JSONReader.swift": [
            ("UInt32(try unit())", "16 bits to 32"),
            ("UInt16(digit)", "8 bits to 16"),
        ],
        "Mux/Credit.swift": [
            (
                "precondition(amount <= bufferedBytes",
                "the owner returns what it was given; hostile seeds go through it"
            ),
            ("UInt64(limitBytes)", "at most 16 MiB; with the times, at most a minute, 61 bits"),
        ],
        "Mux/Frame.swift": [
            ("UInt64(stream.rawValue)", "32 and 8 bits to 64"),
            ("UInt64(payloadBytes)", "of ours, within the kind's length"),
            ("Int(word & 0xffff)", "16 bits"),
        ],
        "Mux/FrameWriter.swift": [
            ("UInt32(state.sendCredit)", "a first window: at most 256 KiB"),
            ("UInt32(state.window.limitBytes)", "at most 16 MiB"),
            ("precondition(fits)", "the caller has seen that there is room"),
            ("baseAddress!", "the record has room, so it has memory"),
        ],
        "Mux/Multiplexer+Invariants.swift": [
            ("Int(next)", "tests alone call it")
        ],
        "Mux/Multiplexer+Poll.swift": [
            ("precondition(", "the owner asks for what it may send; nothing of the other end's is in it"),
            ("UInt32(linkOwed)", "at most the link's 64 MiB"),
            ("Int(queueFirst)", "a place of the table"),
            ("removeFirst()", "it is not empty there"),
            ("UInt32(increment)", "at most a window"),
        ],
        "Mux/Multiplexer+Receive.swift": [
            ("Int(frame.payload.number(UInt32.self", "32 bits to 64")
        ],
        "Mux/Multiplexer+Table.swift": [
            ("Int32(index", "a place of the table: 17 bits"),
            ("Int(queueLast)", "a place of the table"),
            ("Int(place)", "a place of the table"),
        ],
        "Mux/Multiplexer.swift": [
            ("precondition(", "the owner's side: it does so once, as its seeds show"),
            ("Int(free)", "a slot: 16 bits"),
            ("Int32(id.slot)", "16 bits"),
        ],
        "Mux/StreamID.swift": [
            ("UInt32(generation & 0x7fff)", "15 bits"),
            ("Role(rawValue: rawValue >> 31)!", "one bit: there is a role for both"),
            ("Int(rawValue & 0xffff)", "16 bits"),
        ],
        "Reactor/SocketAddress.swift": [
            ("UInt64(address) << 32", "32 bits to 64"),
            ("scope = UInt32(parts[1])", "of text: nil for what is no number"),
            ("Int32(storage.pointee.ss_family)", "16 bits to 32"),
            ("Int(length)", "32 bits to 64"),
            ("Int(INET6_ADDRSTRLEN)", "a constant"),
        ],
        "Records/Anchor.swift": [
            ("flatMap({ Int64($0) })", "of text: nil for what is no number"),
            ("let id = Int64(parts[0])", "of text, in a guard"),
        ],
        "Records/ClientPlace.swift": [
            (
                "precondition(length == 0",
                "the journal's reader and the wire's families let no other in; of bytes there is a failable one"
            ),
            ("UInt64(ipv4)", "32 bits to 64"),
            ("$0 << 8 | UInt64($1)", "8 bits to 64"),
            ("Int(length)", "8 bits to 64"),
            ("Int(INET6_ADDRSTRLEN)", "a constant"),
        ],
        "Records/ClientRange.swift": [
            ("let prefix = Int(parts[1])", "of text, in a guard")
        ],
        "Records/ConnectionRecord.swift": [
            ("digits[Int($0 >> 4)]", "four bits, sixteen digits")
        ],
        "Records/ConnectionSearch.swift": [
            ("Int(min(Double(wanted) * 4", "between 64 and 65,536, also of what is no number"),
            ("Int(try row.integer(0))", "64 bits to 64"),
            ("UInt64(now.tv_sec)", "the clock of this boot"),
        ],
        "Records/ConnectionSlots.swift": [
            ("precondition(id > 0", "ids are the log's, which refuses a start with one that is out of range"),
            ("removeLast()", "it has grown where it was empty"),
            (
                "precondition(words[SlotFile.Slot.id] != 0",
                "ours alone free slots; whoever writes to the mapped file can also cut it, which no program survives"
            ),
            ("Int32(slot.index)", "at most 2^20 slots"),
            ("map(Int32.init)", "at most 2^20 slots"),
            ("Int(header[SlotFile.Header.current] & 1)", "one bit"),
            ("UInt64(1 - current)", "one bit"),
        ],
        "Records/EndReason.swift": [
            ("UInt64((Self.allCases", "a place of a list"),
            ("Int(number) - 1", "between 1 and the list's length"),
        ],
        "Records/OpeningJournal+Reading.swift": [
            ("Int(word(8))", "between 1 and the openings of a block"),
            ("UInt8(length)", "0, 4 or 16"),
        ],
        "Records/ParsedAddress.swift": [
            ("service.prefix(32)", "a service of at most 64 bytes")
        ],
        "Records/PruneNote.swift": [
            ("JSONDecoder()", "of at most 1 KiB")
        ],
        "Records/Reader+Connections.swift": [
            ("removeFirst()", "it is not empty there")
        ],
        "Records/Reader+Following.swift": [
            ("Int64(part)", "of text: nil for what is no number")
        ],
        "Records/Reader+Resolve.swift": [
            ("UInt32(reference) == nil", "of text: nil for what is no number")
        ],
        "Records/Reader+Totals.swift": [
            ("Int(one.totals.connections)", "64 bits to 64")
        ],
        "Records/Readers.swift": [
            ("UInt(bitPattern: turn) % UInt(slots.count)", "less than the number of slots")
        ],
        "Records/SlotFile.swift": [
            ("Int(status.st_size)", "64 bits to 64")
        ],
        "Records/Timestamp.swift": [
            ("Int64(time.tv_sec)", "64 bits to 64, with &* and &+"),
            ("Int64(byte - 48)", "a digit"),
            ("Int64(bytes[place] - 48)", "a digit"),
            ("Int32(year - 1_900)", "four digits"),
            ("Int32(month - 1)", "two digits"),
            ("Int32(day)", "two digits"),
            ("Int64(timegm(&parts))", "64 bits to 64"),
        ],
        "SQLite/Row+Values.swift": [
            ("Int(sqlite3_column_bytes", "32 bits to 64")
        ],
        "SQLite/Row.swift": [
            ("Int(sqlite3_column_bytes", "32 bits to 64")
        ],
        "TLS/RecordInput.swift": [
            (
                "precondition(fed.isEmpty",
                "the engine feeds what it has taken; nothing of the other end's is in it"
            )
        ],
        "TLS/RecordProtection.swift": [
            ("precondition(!hasSentLast", "ours: nobody writes after the close"),
            ("$0 << 8 | Int($1)", "three bytes"),
        ],
        "TLS/TLSEngine.swift": [
            ("protection!", "set with the handshake's end, which each caller has seen"),
            ("precondition(", "the owner's side: after the handshake, whole records"),
            ("Int32(number)", "8 bits to 32"),
            (#"preconditionFailure("exporting"#, "the owner's side: after the handshake"),
        ],
        "TLS/TrafficKey.swift": [
            ("Int(header[3])", "8 bits to 64"),
            ("precondition(length <= ProtectedRecord", "ours: what is sealed is cut to records"),
            ("UInt8(length >> 8)", "at most 16,401: 15 bits"),
            ("UInt8(length & 255)", "8 bits"),
            ("baseAddress!", "records and nonces are not empty"),
            ("precondition(count >= 0", "the length was checked where the record was cut out"),
            (
                "precondition(sequence < .max",
                "keys change after 2^22 records, and both ends end the link long before"
            ),
            ("UInt8(count >> 8)", "lengths of ours"),
        ],
        "Tunnel/ControlMessage.swift": [
            (#"preconditionFailure("a message that is not JSON")"#, "texts and numbers of ours"),
            ("Int(min(max(seconds, 0), 3_600))", "between 0 and 3,600"),
        ],
        "Tunnel/Hello.swift": [
            ("baseAddress!", "eight bytes of ours"),
            ("Int(payload[position])", "8 bits; the place has been checked"),
        ],
        "Tunnel/MainLink.swift": [
            (#"preconditionFailure("the multiplexer could open")"#, "it was asked the line before")
        ],
        "Tunnel/Peer.swift": [
            ("precondition(hasAuthority", "ours: a node has no one who calls it"),
            (
                "precondition(wanted.count <= settings.maximumMappings",
                "plans have been cut to it where the records are read, and ids are a primary key"
            ),
            ("uniqueKeysWithValues: wanted", "ids have been seen to differ"),
            ("uniqueKeysWithValues: parts", "the mappings of a dictionary"),
        ],
        "Tunnel/Shares.swift": [
            ("preconditionFailure(", "ours: each sub-connection takes once and gives back once")
        ],
        "Tunnel/SubConnectionRecord.swift": [
            ("removeFirst(first)", "as many as have been passed over"),
            ("UInt32(high >> 32)", "32 bits"),
        ],
    ]
}

import CLinux

/// Files that are open, whose names must go on leading to them: one that was moved or deleted under a running program would go on
/// taking writes that nobody ever finds. One thread at a time.
struct WatchedFiles {
    private var files: [File]

    init(_ names: [String]) { files = names.map(File.init) }

    /// Throws when what lies under a name is not what lay there at the first look.
    mutating func check() throws(RecordsError) {
        for place in files.indices {
            let found = Identity(files[place].path)
            // SQLite's log is made with the first write.
            guard let known = files[place].known else {
                files[place].known = found
                continue
            }
            guard found == known else { throw .lost(files[place].name) }
        }
    }

    /// Looked at with each commit: the name is kept as the system takes it.
    private struct File {
        let name: String
        let path: ContiguousArray<CChar>
        var known: Identity?

        init(_ name: String) {
            self.name = name
            path = name.utf8CString
        }
    }

    private struct Identity: Equatable {
        private var device: UInt64 = 0
        private var number: UInt64 = 0

        init?(_ path: ContiguousArray<CChar>) {
            let result = path.withUnsafeBufferPointer {
                goproxy_file_identity($0.baseAddress!, &device, &number)
            }
            guard result == 0 else { return nil }
        }
    }
}

extension RecordsError {
    static func lost(_ name: String) -> RecordsError {
        RecordsError(
            .io, "\(name): was moved, replaced or deleted while it was open: nothing more is written",
            hint: "put the file back, or stop the server and restore a backup", isLoss: true)
    }
}

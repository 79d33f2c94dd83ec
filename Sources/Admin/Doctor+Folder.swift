import Fleet
import Glibc
import Records

/// The data folder and what lies in it.
extension Doctor {
    mutating func folder() {
        var status = stat()
        guard stat(directory, &status) == 0 else {
            return fail("folder", "\(directory): \(reason())", "check --data, or run it as the server's user")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            return fail("folder", "\(directory) is no folder", "check --data")
        }
        let mode = octal(status.st_mode)
        guard status.st_mode & 0o077 == 0 else {
            return fail("folder", "\(directory): others may enter it (\(mode))", "chmod 700 \(directory)")
        }
        guard access(directory, R_OK | W_OK | X_OK) == 0 else {
            return fail("folder", "\(directory): \(reason())", "run it as the server's user or as root")
        }
        ok("folder", "\(directory) (\(mode))")
    }

    /// Nobody else's business; the socket alone may be opened to a group.
    mutating func files() {
        var wide: [String] = []
        var count = 0
        for name in Self.names(in: directory) {
            var status = stat()
            guard lstat("\(directory)/\(name)", &status) == 0 else { continue }
            count += 1
            let allowed: mode_t = status.st_mode & S_IFMT == S_IFSOCK ? 0o770 : 0o700
            if status.st_mode & 0o777 & ~allowed != 0 { wide.append("\(name) (\(octal(status.st_mode)))") }
        }
        if !wide.isEmpty {
            let paths = wide.map { "\(directory)/\($0.prefix { $0 != " " })" }
            fail(
                "files", "others may read \(Troubles.text(wide) ?? "")",
                "chmod go= \(paths.count > 5 ? "\(directory)/*" : paths.joined(separator: " "))")
        }
        let strangers = Self.strangers(in: directory)
        if let strangers {
            let detail = "\(Troubles.text(strangers.names) ?? ""): of another user than the folder"
            let hint = "chown them to the server's user"
            strangers.isOfRoot ? warn("files", detail, hint) : fail("files", detail, hint)
        }
        if wide.isEmpty, strangers == nil { ok("files", "\(count), for their owner alone") }
    }

    /// Files of another user than the folder; nil of none. Where the folder is root's, root opens them nevertheless; any other
    /// user's server does not start.
    static func strangers(in directory: String) -> (names: [String], isOfRoot: Bool)? {
        var folder = stat()
        guard stat(directory, &folder) == 0 else { return nil }
        let names = names(in: directory).filter { name in
            var status = stat()
            return lstat("\(directory)/\(name)", &status) == 0 && status.st_uid != folder.st_uid
        }
        return names.isEmpty ? nil : (names, folder.st_uid == 0)
    }

    mutating func keys() {
        for (name, what) in [
            ("server.key", "nodes that know its fingerprint refuse a new one"),
            ("seal.key", "without it no credential can be opened, and no node logs in"),
        ] {
            var status = stat()
            guard lstat("\(directory)/\(name)", &status) == 0 else {
                // Made at the first start.
                guard hasDatabase else { continue }
                fail("keys", "\(name) is missing: \(what)", "put it back from where it is kept")
                continue
            }
            guard status.st_size == 32 else {
                fail(
                    "keys", "\(name) holds \(status.st_size) bytes, not 32",
                    "put it back from where it is kept")
                continue
            }
            ok("keys", "\(name) is there: keep a copy apart from the backups")
        }
        credentials()
        var status = stat()
        guard lstat("\(directory)/seal-verify.key", &status) == 0 else { return }
        warn(
            "keys", "seal-verify.key lies beside the database: who can write here could forge what it proves",
            "goproxy-admin seal-key export FILE, for goproxy-admin audit verify --key elsewhere")
    }

    /// A key is there; is it the one?
    private mutating func credentials() {
        guard hasDatabase, let data = try? DataDirectory(directory), data.hasKeys,
            let keys = try? CredentialFactory(data),
            let credentials = try? Store.credentials(in: directory)
        else { return }
        let closed = credentials.filter { keys.openPSK($0.sealedPSK, identity: $0.identity) == nil }.count
        guard closed > 0 else { return }
        fail(
            "keys",
            "seal.key does not open \(closed) of \(credentials.count) credentials: those nodes cannot log in",
            "put the seal.key there that they were made with, or rotate those nodes")
    }

    /// What is overwritten there stays on the disk somewhere else.
    private static let copying: Set<Substring> = ["btrfs", "zfs", "bcachefs", "f2fs", "nilfs2"]

    mutating func fileSystem() {
        guard let whole = realpath(directory, nil) else { return }
        defer { free(whole) }
        let folder = String(cString: whole)
        // 36 35 98:0 / /var/lib rw,noatime shared:1 - ext4 /dev/sda1 rw
        var found: (mount: Substring, type: Substring) = ("", "")
        for line in Self.text(of: "/proc/self/mountinfo").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count > 5, let dash = words.firstIndex(of: "-"), dash + 1 < words.count else {
                continue
            }
            let mount = words[4]
            let isAbove = mount == "/" || folder == mount || folder.hasPrefix("\(mount)/")
            // The last of several at one place is the one that is seen.
            if isAbove, mount.utf8.count >= found.mount.utf8.count { found = (mount, words[dash + 1]) }
        }
        guard Self.copying.contains(found.type) else { return }
        warn(
            "keys",
            "the folder lies on \(found.type), which writes elsewhere what is overwritten: erased seal keys stay there",
            "put it on ext4 or xfs, without snapshots")
    }

    mutating func lock() {
        switch (holder, status) {
        case (let holder?, .some):
            ok("server", "running, process \(holder)")
        case (let holder?, nil):
            let name = Self.text(of: "/proc/\(holder)/comm").filter { $0 != "\n" }
            fail(
                "server", "process \(holder) (\(name)) has the records, but nobody answers at control.sock",
                "wait if it has just started, else look at its log")
        case (nil, .some):
            ok("server", "running")
        case (nil, nil) where hasDatabase:
            fail("server", "not running; nobody has the records", "start it, or look at its log")
        case (nil, nil):
            ok("server", "not running; it has not run here yet")
        }
        if let use = status?.historyUse, use.isTight {
            let detail =
                "\(bytesText(use.keptBytes)) of the \(bytesText(use.maximumBytes)) of -history-max are never pruned"
            if use.isExceeded {
                fail("size", "\(detail): the database grows beyond it", "raise -history-max")
            } else {
                warn("size", "\(detail)", "raise -history-max before it is half")
            }
        }
        guard let since = status?.failingSince else { return }
        fail(
            "records",
            "nothing can be recorded since \(TimeText.both(since, now: now)): \(status?.failure ?? "")",
            "connections are refused meanwhile: see the other lines, and the server's log")
    }

    /// By name: a count helps nobody who is to mend it.
    mutating func fleet() {
        if let text = Troubles.text(troubles.failed) {
            fail(
                "mappings", "cannot listen: \(text)",
                "free the address, or give another: goproxy-admin listener set")
        }
        if let text = Troubles.text(troubles.away) {
            fail(
                "nodes", "away: \(text)", "look at the node's log, or disable it: goproxy-admin node disable")
        }
        if let text = Troubles.text(troubles.notes) {
            warn("uuids", text, "start it with its newest uuid: goproxy-admin node show NODE lists them")
        }
        if let text = Troubles.text(troubles.shared) {
            fail("clones", text, "goproxy-admin node add NAME for each, and start it with that uuid")
        }
        if let text = Troubles.text(troubles.unreachable) {
            warn(
                "targets", "not reached: \(text)",
                "see that it runs, or give another: goproxy-admin listener set MAPPING --forward")
        }
        guard let status, troubles.failed.isEmpty, troubles.away.isEmpty else { return }
        ok("nodes", "\(status.online) of \(status.nodes) online, nothing failed")
    }

    var hasDatabase: Bool {
        var status = stat()
        return lstat("\(directory)/\(Store.fileName)", &status) == 0
    }

    /// Who holds `lock`, as the kernel tells: trying to take it could refuse a server that starts just then.
    static func lockHolder(_ directory: String) -> Int32? {
        var status = stat()
        guard lstat("\(directory)/lock", &status) == 0 else { return nil }
        // 1: FLOCK  ADVISORY  WRITE 812 fe:01:131085 0 EOF
        for line in text(of: "/proc/locks").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", words[5].hasSuffix(":\(status.st_ino)"),
                let pid = Int32(words[4]), pid > 0
            else { continue }
            let device = words[5].split(separator: ":").prefix(2).compactMap { UInt($0, radix: 16) }
            // Some file systems show another device here; the number alone is nearly always right.
            if device.count == 2, device[0] == major(status.st_dev), device[1] != minor(status.st_dev) {
                continue
            }
            return pid
        }
        return nil
    }

    private static func major(_ device: dev_t) -> UInt { (device >> 8) & 0xfff }
    private static func minor(_ device: dev_t) -> UInt { (device & 0xff) | ((device >> 12) & 0xfff00) }

    static func names(in directory: String) -> [String] {
        guard let folder = opendir(directory) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    func octal(_ mode: mode_t) -> String { "mode " + String(mode & 0o777, radix: 8) }
}

import Digests

/// The two key files of a data directory.
struct SealKeyFiles {
    let directory: String

    private var verify: String { "\(directory)/\(SealKey.verifyName)" }
    private var now: String { "\(directory)/\(SealKey.nowName)" }

    /// The key for seal `next` (the database has those before). Nil when there is none to continue with.
    func load(next: Int64) throws(RecordsError) -> SealKey? {
        // Of a program that was stopped while it made them.
        for file in [verify, now] { try SecretFile.shred("\(file).new", in: directory) }
        if let slots = try slots() {
            guard var key = slots.key else {
                throw RecordsError(
                    .corrupt, "\(now): not a key: it must hold \(SealKeySlots.fileBytes) bytes")
            }
            // Behind it: the process ended between a seal's commit and the key's replacement.
            if key.number < next { try move(&key, to: next) } else { try save(key) }
            return key
        }
        guard let bytes = try SecretFile.read(verify, count: SealKey.bytes) else { return nil }
        guard bytes.count == SealKey.bytes else {
            throw RecordsError(.corrupt, "\(verify): not a key: it must hold \(SealKey.bytes) bytes")
        }
        var key = SealKey(verification: bytes)
        try move(&key, to: next)
        return key
    }

    /// A new verification key, and the key for seal `next` from it. The verification key first: without it nothing could be
    /// checked, while a key of now is derived from it.
    func make(next: Int64) throws(RecordsError) -> SealKey {
        var new = randomKey(bytes: SealKey.bytes)
        defer { erase(&new) }
        var key = SealKey(verification: new)
        try check(key, next)
        try SecretFile.make(verify, new, mode: 0o400, in: directory)
        try move(&key, to: next)
        return key
    }

    private func move(_ key: inout SealKey, to next: Int64) throws(RecordsError) {
        try check(key, next)
        key.evolve(to: next)
        try save(key)
    }

    private func check(_ key: SealKey, _ next: Int64) throws(RecordsError) {
        guard next - key.number > SealKey.furthest else { return }
        throw RecordsError(
            .corrupt,
            "the last seal is \(next - 1), but the key stands at \(key.number): no server made so many",
            hint: "goproxy-admin audit verify; restore a backup")
    }

    /// When it returns, `key` is on disk, and in this file no other is.
    func save(_ key: SealKey) throws(RecordsError) {
        guard let slots = try slots(), slots.key != nil else {
            try SecretFile.shred(now, in: directory)
            let steps = SealKeySlots([]).steps(to: key)
            return try SecretFile.make(now, steps[0].bytes, mode: 0o600, in: directory)
        }
        for step in slots.steps(to: key) {
            try SecretFile.overwrite(now, at: step.offset, with: step.bytes)
        }
    }

    private func slots() throws(RecordsError) -> SealKeySlots? {
        try SecretFile.read(now, count: SealKeySlots.fileBytes).map(SealKeySlots.init)
    }
}

extension SealKey {
    /// The number in the key file of a data folder: seals below it were made. Nil when it cannot be read.
    package static func next(in directory: String) -> Int64? {
        guard let bytes = try? SecretFile.read("\(directory)/\(nowName)", count: SealKeySlots.fileBytes)
        else { return nil }
        return SealKeySlots(bytes).key?.number
    }
}

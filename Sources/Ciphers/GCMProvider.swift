// What OpenSSL calls: the functions of provider(7) and provider-cipher(7), each a line or two around GCMCipher.
import COpenSSL
import Glibc

/// `OSSL_provider_init_fn`.
func startProvider(
    handle: OpaquePointer?, core: UnsafePointer<OSSL_DISPATCH>?,
    out: UnsafeMutablePointer<UnsafePointer<OSSL_DISPATCH>?>?,
    context: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> Int32 {
    out?.pointee = ProviderTables.shared.provider
    // Nothing is kept in it, but nil would stand for a failure.
    context?.pointee = UnsafeMutableRawPointer(mutating: ProviderTables.shared.provider)
    return 1
}

/// Lists that OpenSSL keeps pointers to, for as long as the program runs.
private struct ProviderTables {
    // Proof: written once, before anybody sees it, never freed, and only read from then on.
    nonisolated(unsafe) static let shared = ProviderTables()

    let provider: UnsafePointer<OSSL_DISPATCH>
    let algorithms: UnsafePointer<OSSL_ALGORITHM>
    let readable: UnsafePointer<OSSL_PARAM>
    let settable: UnsafePointer<OSSL_PARAM>

    init() {
        readable = kept(
            [
                described(OSSL_CIPHER_PARAM_KEYLEN, OSSL_PARAM_UNSIGNED_INTEGER),
                described(OSSL_CIPHER_PARAM_IVLEN, OSSL_PARAM_UNSIGNED_INTEGER),
                described(OSSL_CIPHER_PARAM_AEAD_TAGLEN, OSSL_PARAM_UNSIGNED_INTEGER),
                described(OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING),
            ], end: OSSL_PARAM())
        settable = kept(
            [
                described(OSSL_CIPHER_PARAM_IVLEN, OSSL_PARAM_UNSIGNED_INTEGER),
                described(OSSL_CIPHER_PARAM_AEAD_TAG, OSSL_PARAM_OCTET_STRING),
            ], end: OSSL_PARAM())
        let cipher = kept(
            [
                function(OSSL_FUNC_CIPHER_NEWCTX, newCipher as NewContext),
                function(OSSL_FUNC_CIPHER_FREECTX, freeCipher as FreeContext),
                function(OSSL_FUNC_CIPHER_ENCRYPT_INIT, beginSealing as Begin),
                function(OSSL_FUNC_CIPHER_DECRYPT_INIT, beginOpening as Begin),
                function(OSSL_FUNC_CIPHER_UPDATE, update as Update),
                function(OSSL_FUNC_CIPHER_FINAL, end as End),
                function(OSSL_FUNC_CIPHER_GET_PARAMS, describeCipher as GetParameters),
                function(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, readState as GetState),
                function(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, setState as SetState),
                function(OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, listReadable as ListOfState),
                function(OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, listSettable as ListOfState),
            ], end: OSSL_DISPATCH())
        algorithms = kept(
            [
                OSSL_ALGORITHM(
                    algorithm_names: kept("AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6"),
                    property_definition: kept("provider=goproxy"), implementation: cipher,
                    algorithm_description: nil)
            ], end: OSSL_ALGORITHM())
        provider = kept(
            [function(OSSL_FUNC_PROVIDER_QUERY_OPERATION, listAlgorithms as Query)], end: OSSL_DISPATCH())
    }
}

private typealias Handle = UnsafeMutableRawPointer
private typealias Bytes = UnsafePointer<UInt8>
private typealias Query =
    @convention(c) (Handle?, Int32, UnsafeMutablePointer<Int32>?) -> UnsafePointer<OSSL_ALGORITHM>?
private typealias NewContext = @convention(c) (Handle?) -> Handle?
private typealias FreeContext = @convention(c) (Handle?) -> Void
private typealias Begin =
    @convention(c) (Handle?, Bytes?, Int, Bytes?, Int, UnsafePointer<OSSL_PARAM>?) -> Int32
private typealias Update =
    @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int>?, Int, Bytes?, Int) ->
    Int32
private typealias End =
    @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Int>?, Int) -> Int32
private typealias GetParameters = @convention(c) (UnsafeMutablePointer<OSSL_PARAM>?) -> Int32
private typealias GetState = @convention(c) (Handle?, UnsafeMutablePointer<OSSL_PARAM>?) -> Int32
private typealias SetState = @convention(c) (Handle?, UnsafePointer<OSSL_PARAM>?) -> Int32
private typealias ListOfState = @convention(c) (Handle?, Handle?) -> UnsafePointer<OSSL_PARAM>?

private func kept<Element>(_ elements: [Element], end: Element) -> UnsafePointer<Element> {
    let memory = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count + 1)
    _ = memory.initialize(from: elements + [end])
    return UnsafePointer(memory.baseAddress!)
}

private func kept(_ text: String) -> UnsafePointer<CChar> {
    kept(text.utf8.map { CChar(bitPattern: $0) }, end: 0)
}

private func described(_ key: String, _ type: Int32) -> OSSL_PARAM {
    OSSL_PARAM(
        key: kept(key), data_type: UInt32(type), data: nil, data_size: 0,
        return_size: OSSL_PARAM_UNMODIFIED)
}

/// OpenSSL casts it back to the type that belongs to the number.
private func function<Function>(_ number: Int32, _ function: Function) -> OSSL_DISPATCH {
    OSSL_DISPATCH(
        function_id: number, function: unsafeBitCast(function, to: (@convention(c) () -> Void).self))
}

private func listAlgorithms(
    _ context: Handle?, _ operation: Int32, _ mayNotBeKept: UnsafeMutablePointer<Int32>?
) -> UnsafePointer<OSSL_ALGORITHM>? {
    mayNotBeKept?.pointee = 0
    return operation == OSSL_OP_CIPHER ? ProviderTables.shared.algorithms : nil
}

private func newCipher(_ context: Handle?) -> Handle? {
    GCMFunctions.shared.map { Unmanaged.passRetained(GCMCipher($0)).toOpaque() }
}

private func freeCipher(_ cipher: Handle?) {
    if let cipher { Unmanaged<GCMCipher>.fromOpaque(cipher).release() }
}

private func with(_ cipher: Handle?, _ body: (GCMCipher) -> Bool) -> Int32 {
    guard let cipher else { return 0 }
    return Unmanaged<GCMCipher>.fromOpaque(cipher)._withUnsafeGuaranteedRef { body($0) } ? 1 : 0
}

private func beginSealing(
    _ cipher: Handle?, _ key: Bytes?, _ keyCount: Int, _ iv: Bytes?, _ ivCount: Int,
    _ parameters: UnsafePointer<OSSL_PARAM>?
) -> Int32 {
    with(cipher) { $0.begin(sealing: true, key: key, keyCount: keyCount, iv: iv, ivCount: ivCount) } == 1
        ? setState(cipher, parameters) : 0
}

private func beginOpening(
    _ cipher: Handle?, _ key: Bytes?, _ keyCount: Int, _ iv: Bytes?, _ ivCount: Int,
    _ parameters: UnsafePointer<OSSL_PARAM>?
) -> Int32 {
    with(cipher) { $0.begin(sealing: false, key: key, keyCount: keyCount, iv: iv, ivCount: ivCount) } == 1
        ? setState(cipher, parameters) : 0
}

/// Without a place to write to, what comes is the header.
private func update(
    _ cipher: Handle?, _ out: UnsafeMutablePointer<UInt8>?, _ written: UnsafeMutablePointer<Int>?,
    _ room: Int, _ bytes: Bytes?, _ count: Int
) -> Int32 {
    written?.pointee = count
    guard count > 0, let bytes else { return 1 }
    guard let out else { return with(cipher) { $0.add(header: bytes, count: count) } }
    guard room >= count else { return 0 }
    return with(cipher) { $0.update(out, bytes, count: count) }
}

private func end(
    _ cipher: Handle?, _ out: UnsafeMutablePointer<UInt8>?, _ written: UnsafeMutablePointer<Int>?,
    _ room: Int
) -> Int32 {
    written?.pointee = 0
    return with(cipher) { $0.end() }
}

private func describeCipher(_ parameters: UnsafeMutablePointer<OSSL_PARAM>?) -> Int32 {
    answer(parameters) { name in
        switch name {
        case .mode: Int(EVP_CIPH_GCM_MODE)
        case .blockSize, .aead, .customIV: 1
        case .keyLength: GCMCipher.keyBytes
        case .ivLength: GCMCipher.ivBytes
        case .tagLength, .tag, .other: nil
        }
    }
}

/// Asked for each record, for the IV's length and the tag.
private func readState(_ cipher: Handle?, _ parameters: UnsafeMutablePointer<OSSL_PARAM>?) -> Int32 {
    if let parameters, ParameterName(parameters.pointee) == .tag {
        guard parameters.pointee.data_type == UInt32(OSSL_PARAM_OCTET_STRING),
            let out = parameters.pointee.data
        else { return 0 }
        return with(cipher) { $0.takeTag(into: out, count: parameters.pointee.data_size) }
    }
    return answer(parameters) { name in
        switch name {
        case .keyLength: GCMCipher.keyBytes
        case .ivLength: GCMCipher.ivBytes
        case .tagLength: GCMCipher.tagBytes
        case .mode, .blockSize, .aead, .customIV, .tag, .other: nil
        }
    }
}

/// Fills in the numbers that are asked for and known.
private func answer(
    _ parameters: UnsafeMutablePointer<OSSL_PARAM>?, _ number: (ParameterName) -> Int?
) -> Int32 {
    guard var parameter = parameters else { return 1 }
    while parameter.pointee.key != nil {
        if let number = number(ParameterName(parameter.pointee)),
            OSSL_PARAM_set_size_t(parameter, number) != 1
        {
            return 0
        }
        parameter += 1
    }
    return 1
}

/// The parameters of ciphers (EVP_EncryptInit(3)) that matter here.
private enum ParameterName {
    case mode, keyLength, ivLength, blockSize, aead, customIV, tagLength, tag, other

    /// By comparing bytes: this is asked for each record, and a `String` or a list of names would be made each time.
    init(_ parameter: OSSL_PARAM) {
        self =
            if Self.isNamed(parameter, "tag") {
                .tag
            } else if Self.isNamed(parameter, "ivlen") {
                .ivLength
            } else if Self.isNamed(parameter, "keylen") {
                .keyLength
            } else if Self.isNamed(parameter, "taglen") {
                .tagLength
            } else if Self.isNamed(parameter, "mode") {
                .mode
            } else if Self.isNamed(parameter, "blocksize") {
                .blockSize
            } else if Self.isNamed(parameter, "aead") {
                .aead
            } else if Self.isNamed(parameter, "custom-iv") {
                .customIV
            } else {
                .other
            }
    }

    private static func isNamed(_ parameter: OSSL_PARAM, _ name: StaticString) -> Bool {
        UnsafeRawPointer(name.utf8Start).withMemoryRebound(to: CChar.self, capacity: name.utf8CodeUnitCount) {
            strcmp(parameter.key, $0) == 0
        }
    }
}

private func listReadable(_ cipher: Handle?, _ context: Handle?) -> UnsafePointer<OSSL_PARAM>? {
    ProviderTables.shared.readable
}

private func listSettable(_ cipher: Handle?, _ context: Handle?) -> UnsafePointer<OSSL_PARAM>? {
    ProviderTables.shared.settable
}

private func setState(_ cipher: Handle?, _ parameters: UnsafePointer<OSSL_PARAM>?) -> Int32 {
    guard var parameter = parameters else { return 1 }
    while parameter.pointee.key != nil {
        switch ParameterName(parameter.pointee) {
        case .ivLength:
            var count = 0
            guard OSSL_PARAM_get_size_t(parameter, &count) == 1, count == GCMCipher.ivBytes else { return 0 }
        case .tag:
            // Without bytes it only says how long the tag will be.
            let count = parameter.pointee.data_size
            guard let bytes = parameter.pointee.data else { return count == GCMCipher.tagBytes ? 1 : 0 }
            guard with(cipher, { $0.expect(tag: bytes, count: count) }) == 1 else { return 0 }
        default: break
        }
        parameter += 1
    }
    return 1
}

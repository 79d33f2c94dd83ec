import Fleet
import Foundation
import TLS
import Testing

struct CredentialFactoryTests {
    @Test func `a made credential is the uuid's, and its key opens with this directory's seal alone`() throws
    {
        let (fixture, other) = (try AdminFixture(hasServer: false), try AdminFixture(hasServer: false))
        let directory = try DataDirectory(fixture.directory)
        let factory = try CredentialFactory(directory)
        let new = try factory.make()
        let credential = try Credential(uuid: new.uuid)
        #expect(new.identity == credential.id)
        #expect(new.publicKey == SigningKey(seed: credential.signingSeed).publicKey)
        let fingerprint = Credential.fingerprint(of: try directory.serverKey().publicKey)
        #expect(credential.serverFingerprint == fingerprint, "the node accepts this server only")
        // Another process with the same directory has the same seal.
        let again = try CredentialFactory(try DataDirectory(fixture.directory))
        #expect(again.openPSK(new.sealedPSK, identity: new.identity) == credential.psk)
        // A stolen database is moved to a server of the thief's: without seal.key nothing opens.
        let thief = try CredentialFactory(try DataDirectory(other.directory))
        #expect(thief.openPSK(new.sealedPSK, identity: new.identity) == nil)
        #expect(again.openPSK(new.sealedPSK, identity: try factory.make().identity) == nil, "another row's")
        #expect("\(new)" == "NewCredential" && String(reflecting: new) == "NewCredential")
    }

    @Test func `the seal's file is the owner's to read, and a wider or shorter one is refused`() throws {
        let fixture = try AdminFixture(hasServer: false)
        let directory = try DataDirectory(fixture.directory)
        _ = try directory.sealingKey()
        let file = "\(fixture.directory)/seal.key"
        var status = stat()
        #expect(stat(file, &status) == 0 && status.st_mode & 0o7777 == 0o400 && status.st_size == 32)
        chmod(file, 0o440)
        #expect(throws: DataDirectory.Failure.self) { try directory.sealingKey() }
        unlink(file)
        try Data("short".utf8).write(to: URL(filePath: file))
        chmod(file, 0o400)
        #expect(throws: DataDirectory.Failure.self) { try directory.sealingKey() }
    }
}

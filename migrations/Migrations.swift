/// The folder's files, compiled into the program in the order of their numbers. A test holds this list against the folder.
package enum EmbeddedMigrations {
    /// File name and content.
    package static let files: [(name: String, content: [UInt8])] = [
        ("0001_fleet.sql", PackageResources._001_fleet_sql),
        ("0002_history.sql", PackageResources._002_history_sql),
        ("0003_credentials.sql", PackageResources._003_credentials_sql),
    ]
}

// swift-tools-version: 6.2
import PackageDescription

// The floors of this package; Tests/TidyTests checks each target's imports against them, with the reasons.
//
//     4  goproxy-server  goproxy-node  goproxy-admin  goproxy-bench
//     3  Tunnel                    Control
//        Fleet (the server's own: joins both columns), Admin
//     2  Mux   Reactor   TLS       Records
//     1  Buffers   Logging   Threads   Ciphers   SQLite   Digests   HTTP   JSON   Flags   Charts
//     0  CLinux   COpenSSL   CIPSecMB            CSQLite   CMicrohttpd   CCurl   migrations
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["Support"], swiftSettings: strict)
}

let package = Package(
    name: "goproxy",
    products: [
        .executable(name: "goproxy-server", targets: ["goproxy-server"]),
        .executable(name: "goproxy-node", targets: ["goproxy-node"]),
        .executable(name: "goproxy-admin", targets: ["TLS", "goproxy-admin"]),
        .executable(name: "goproxy-bench", targets: ["goproxy-bench"]),
        // Loaded into the programs by BudgetTests; nothing links it.
        .library(name: "Counting", type: .dynamic, targets: ["Counting"]),
    ],
    targets: [
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CIPSecMB"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(
            name: "CMicrohttpd", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
        .systemLibrary(
            name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .target(
            name: "migrations", path: "migrations",
            resources: [
                .embedInCode("0001_fleet.sql"), .embedInCode("0002_history.sql"),
                .embedInCode("0003_credentials.sql"),
            ],
            swiftSettings: strict),

        library("Buffers"),
        library("Threads", ["CLinux"]),
        library("Logging"),
        library("Flags"),
        library("Charts"),
        library("JSON"),
        library("HTTP", ["CMicrohttpd", "CCurl"]),
        library("SQLite", ["CSQLite"]),
        library("Digests", ["COpenSSL"]),
        library("Ciphers", ["COpenSSL", "CIPSecMB"]),

        library("Mux"),
        library("Reactor", ["Buffers", "Logging", "Threads", "CLinux"]),
        library("TLS", ["Buffers", "Ciphers", "COpenSSL"]),
        library("Records", ["SQLite", "Digests", "migrations", "Logging", "Threads", "CLinux"]),

        library("Tunnel", ["Buffers", "JSON", "Logging", "Mux", "Reactor", "TLS"]),
        library("Control", ["HTTP", "JSON", "Logging", "Records"]),
        library(
            "Fleet",
            [
                "Buffers", "Control", "HTTP", "Logging", "Mux", "Reactor", "Records", "TLS", "Threads",
                "Tunnel",
            ]),

        library("Admin", ["Control", "Flags", "Fleet", "HTTP", "JSON", "Reactor", "Records", "Tunnel"]),

        program("goproxy-server", ["Flags", "Logging", "Reactor", "Records", "TLS", "Tunnel", "Fleet"]),
        program("goproxy-node", ["Flags", "Logging", "Reactor", "TLS", "Tunnel"]),
        program("goproxy-admin", ["Admin", "Reactor"]),
        program(
            "goproxy-bench",
            [
                "CLinux", "Charts", "Fleet", "Flags", "HTTP", "Threads", "Logging", "Reactor", "Records",
                "SQLite",
                "TLS",
                "Tunnel",
                "goproxy-server",
                "goproxy-node",
            ]),

        // Writes until it is killed: the test of the records' promise needs a process to kill.
        .executableTarget(
            name: "records-writer", dependencies: ["Records"], path: "Tests/RecordsWriter",
            swiftSettings: strict),
        .target(name: "Support", path: "Tests/Support", swiftSettings: strict),
        .target(
            name: "Counting", path: "Tests/Counting", cSettings: [.treatAllWarnings(as: .error)]),
        // A history that a test makes up.
        .target(
            name: "Histories", dependencies: ["Records", "SQLite"], path: "Tests/Histories",
            swiftSettings: strict),
        .target(
            name: "Simulation", dependencies: ["Buffers", "Logging", "Reactor", "TLS", "Tunnel"],
            path: "Tests/Simulation", swiftSettings: strict),
        tests("FlagsTests", ["Flags"]),
        tests("ChartsTests", ["Charts"]),
        tests("HTTPTests", ["HTTP"]),
        tests("ControlTests", ["Control", "Histories", "JSON", "Records", "HTTP", "SQLite"]),
        tests(
            "AdminTests",
            [
                "Admin", "Control", "Flags", "Fleet", "HTTP", "Histories", "Records", "SQLite", "TLS",
                "goproxy-admin",
            ]),
        tests("JSONTests", ["JSON"]),
        tests("LoggingTests", ["Logging"]),
        tests("BuffersTests", ["Buffers"]),
        tests("MuxTests", ["Mux"]),
        tests("ReactorTests", ["Reactor", "Simulation", "Threads"]),
        tests("CiphersTests", ["Ciphers"]),
        tests("TLSTests", ["TLS", "Buffers", "Ciphers"]),
        tests("SQLiteTests", ["SQLite"]),
        // The dumps are read from where they stand.
        .testTarget(
            name: "RecordsTests",
            dependencies: [
                "Histories", "Records", "SQLite", "Digests", "migrations", "records-writer", "Support",
            ],
            exclude: ["Proof", "Schemas"], swiftSettings: strict),
        tests("TunnelTests", ["Tunnel", "Mux", "Reactor", "TLS", "Buffers", "Logging", "Simulation"]),
        tests("BenchTests", ["goproxy-bench"]),
        tests("EndToEndTests", ["goproxy-server", "goproxy-node"]),
        tests("BudgetTests", ["goproxy-server", "goproxy-node"]),
        tests(
            "FleetEndToEndTests",
            [
                "goproxy-server", "goproxy-node", "goproxy-admin", "Fleet", "Tunnel", "Mux", "Reactor",
                "SQLite", "TLS",
                "Records", "Simulation",
            ]),
        tests("ReadmeTests", ["goproxy-server", "goproxy-node", "goproxy-admin", "goproxy-bench"]),
        tests("TidyTests"),
    ]
)

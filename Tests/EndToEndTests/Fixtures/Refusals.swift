import Foundation

/// What a program must not start with.
extension Refusal {
    static let flags: [Refusal] = [
        .wrong(
            "an unknown flag of the server", server, ["-lisener", "{}"], says: "-lisener",
            "did you mean -listener"),
        .wrong("an unknown flag of the node", node, ["-hots", "x"], says: "-hots", "did you mean -host"),
        .wrong("a flag like no other", both, ["--frobnicate"], says: "-frobnicate", "-help"),
        .wrong("a flag of the other program", node, ["-listener", "{}"], says: "-listener"),
        .wrong("a flag without its value", both, ["-port"], says: "-port", "missing"),
        .wrong("a flag in place of a value", both, ["-port", "-verbose"], says: "-port", "missing"),
        .wrong("an empty value", both, ["-host", ""], says: "-host", "empty"),
        .wrong("an argument that is no flag", both, ["serve"], says: "serve"),
        .wrong("a flag given twice", both, ["-drain", "1s", "-drain=1s"], says: "-drain", "twice"),
        .wrong("a bool that is neither", both, ["-verbose=perhaps"], says: "-verbose", "perhaps"),
        .wrong("port 70000", both, ["-port", "70000"], says: "-port", "70000"),
        .wrong("a negative port", both, ["-port", "-1"], says: "-port"),
        .wrong("a port in words", both, ["-port", "https"], says: "-port", "https"),
        .wrong("port 0 for the node, which has to dial it", node, ["-port", "0"], says: "-port"),
        .wrong("a drain without a unit", both, ["-drain", "10"], says: "-drain", "unit"),
        .wrong("a negative drain", both, ["-drain", "-1s"], says: "-drain"),
        .wrong("an allow-list without a port", node, ["-allow", "10.0.0.1"], says: "-allow", "10.0.0.1"),
        .wrong("an allow-list with port 99999", node, ["-allow", "10.0.0.1:99999"], says: "-allow", "99999"),
        .wrong(
            "an allow-list with a bad network", node, ["-allow", "10.0.0.0/33:80"], says: "-allow",
            "10.0.0.0/33"),
        .wrong("an allow-list with an empty element", node, ["-allow", "10.0.0.1:80,"], says: "-allow"),
        .wrong(
            "a host that is no address", server, ["-port", "0", "-host", "not an address"], says: "host",
            "not an address"),
        .wrong(
            "an address of another machine", server, ["-port", "0", "-host", "203.0.113.7"], code: 1,
            says: "203.0.113.7", "cannot assign requested address"),
        Refusal(
            "a data folder that cannot be", server,
            ["-uuid-file", "{dir}/uuid", "-port", "0", "-data", "/dev/null/x"],
            code: 1, says: ["/dev/null/x", "not a directory"]),
    ]

    static let uuids: [Refusal] = [
        Refusal("no uuid", node, ["-port", "1"], says: ["uuid"]),
        Refusal(
            "mappings without the uuid of their node", server, ["-port", "0", "-listener", good],
            says: ["uuid", "-listener"]),
        Refusal("an empty -uuid", both, ["-port", "1", "-uuid", ""], says: ["uuid", "empty"]),
        Refusal(
            "an empty GOPROXY_UUID", both, ["-port", "1"], environment: ["GOPROXY_UUID": ""],
            says: ["uuid", "empty"]),
        Refusal(
            "an empty file", both, ["-port", "1", "-uuid-file", "{dir}/empty"], says: ["uuid", "empty"]),
        Refusal(
            "a file that is not there", both, ["-port", "1", "-uuid-file", "{dir}/nowhere"],
            says: ["nowhere", "no such file"]),
        Refusal("a folder for a file", both, ["-port", "1", "-uuid-file", "{dir}"], says: ["uuid"]),
        Refusal(
            "a file that others may read", both, ["-port", "1", "-uuid-file", "{dir}/readable"],
            says: ["readable", "600"]),
        Refusal(
            "-uuid and -uuid-file", both,
            ["-port", "1", "-uuid-file", "{dir}/uuid", "-uuid", "1b62a7d7-7f0d-4d8b-8a52-6f0f3f5f11d2"],
            says: ["-uuid-file", "-uuid"]),
        Refusal(
            "GOPROXY_UUID and -uuid-file", both, ["-port", "1", "-uuid-file", "{dir}/uuid"],
            environment: ["GOPROXY_UUID": "1b62a7d7-7f0d-4d8b-8a52-6f0f3f5f11d2"],
            says: ["GOPROXY_UUID", "-uuid-file"]),
        Refusal(
            "$CREDENTIALS_DIRECTORY and -uuid-file", both, ["-port", "1", "-uuid-file", "{dir}/another"],
            environment: ["CREDENTIALS_DIRECTORY": "{dir}"], says: ["CREDENTIALS_DIRECTORY", "-uuid-file"]),
        Refusal(
            "a weak -uuid", both, ["-port", "1", "-uuid", "idste"],
            says: ["weak", "goproxy-server -new-uuid"]),
        Refusal(
            "a weak uuid in a file", both, ["-port", "1", "-uuid-file", "{dir}/weak"],
            says: ["weak", "goproxy-server -new-uuid"]),
        Refusal(
            "a long uuid that is weak all the same", both,
            ["-port", "1", "-uuid", "00000000-0000-0000-0000-000000000000"],
            says: ["weak", "goproxy-server -new-uuid"]),
    ]

    static let mappings: [Refusal] = [
        mapping("half an object", #"{"Listen":"#, says: "JSON"),
        mapping("not JSON", "127.0.0.1:80", says: "JSON"),
        mapping("a list", "[]", says: "object"),
        mapping("null", "null", says: "listener"),
        mapping("rest after the object", good + "x", says: "JSON"),
        mapping("no Forward", #"{"Listen":{"Domain":"tcp","Addr":"127.0.0.1:0"}}"#, says: "Forward"),
        mapping("no Listen", #"{"Forward":{"Domain":"tcp","Addr":"127.0.0.1:80"}}"#, says: "Listen"),
        mapping("no Domain", listen(#"{"Addr":"127.0.0.1:0"}"#), says: "Domain"),
        mapping("no Addr", listen(#"{"Domain":"tcp"}"#), says: "Addr"),
        mapping("a key too many", String(good.dropLast()) + #","Name":"web"}"#, says: "Name"),
        mapping(
            "a key in the wrong case", good.replacingOccurrences(of: "Listen", with: "listen"), says: "listen"
        ),
        mapping("a number for an address", listen(#"{"Domain":"tcp","Addr":80}"#), says: "Addr"),
        mapping(
            "a domain nobody knows", listen(#"{"Domain":"udp","Addr":"127.0.0.1:0"}"#), says: "Domain", "udp"),
        mapping(
            "a domain in capitals", listen(#"{"Domain":"TCP","Addr":"127.0.0.1:0"}"#), says: "Domain", "TCP"),
        mapping(
            "an address without a port", listen(#"{"Domain":"tcp","Addr":"127.0.0.1"}"#), says: "127.0.0.1",
            "port"),
        mapping("port 70000", listen(#"{"Domain":"tcp","Addr":"127.0.0.1:70000"}"#), says: "70000"),
        mapping("a negative port", listen(#"{"Domain":"tcp","Addr":"127.0.0.1:-1"}"#), says: "-1"),
        mapping("no port after the colon", listen(#"{"Domain":"tcp","Addr":"127.0.0.1:"}"#), says: "port"),
        mapping("IPv6 without brackets", listen(#"{"Domain":"tcp","Addr":"::1:80"}"#), says: "::1:80"),
        mapping(
            "a bracket that does not close", listen(#"{"Domain":"tcp","Addr":"[::1:80"}"#), says: "[::1:80"),
        mapping("IPv6 for tcp4", listen(#"{"Domain":"tcp4","Addr":"[::1]:0"}"#), says: "[::1]:0"),
        mapping("IPv4 for tcp6", listen(#"{"Domain":"tcp6","Addr":"127.0.0.1:0"}"#), says: "127.0.0.1:0"),
        mapping("an empty address", listen(#"{"Domain":"tcp","Addr":""}"#), says: "Addr"),
        mapping("an empty path", listen(#"{"Domain":"unix","Addr":""}"#), says: "Addr"),
        mapping(
            "a path of 200 characters",
            listen(#"{"Domain":"unix","Addr":"/\#(String(repeating: "x", count: 200))"}"#),
            says: "Addr"),
        mapping(
            "a line break in an address", listen(#"{"Domain":"tcp","Addr":"127.0.0.1\n:0"}"#), says: "Addr"),
        mapping(
            "port 0 to dial",
            #"{"Listen":{"Domain":"tcp","Addr":"127.0.0.1:0"},"Forward":{"Domain":"tcp","Addr":"127.0.0.1:0"}}"#,
            says: "Forward"),
    ].flatMap { $0 }

    static let good =
        #"{"Listen":{"Domain":"tcp","Addr":"127.0.0.1:0"},"Forward":{"Domain":"tcp","Addr":"127.0.0.1:80"}}"#

    private static func listen(_ place: String) -> String {
        #"{"Listen":\#(place),"Forward":{"Domain":"tcp","Addr":"127.0.0.1:80"}}"#
    }
}

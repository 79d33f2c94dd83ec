import TLS

/// What both programs say of themselves.
package enum Version {
    package static let number = "0.1.0"

    package static func text(_ program: String) -> String {
        "\(program) \(number) (\(openSSLVersion))"
    }
}

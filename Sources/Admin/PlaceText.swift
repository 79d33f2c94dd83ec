import Flags
import Reactor
import Records
import Tunnel

/// Addresses as an operator types them. What they hold is checked by the records.
enum PlaceText {
    /// `127.0.0.1:80`, `tcp6:[::1]:80`, `unix:/run/x.sock`
    static func parse(_ text: String) throws(FlagError) -> Place {
        for domain in AddressDomain.allCases where text.hasPrefix("\(domain.rawValue):") {
            let address = String(text.dropFirst(domain.rawValue.count + 1))
            // `tcp:80` is a machine named tcp; `tcp:a:80` names the domain.
            guard domain == .unix || address.contains(":") else { continue }
            return Place(domain: domain.rawValue, addr: address)
        }
        guard !text.hasPrefix("/") else { throw FlagError("a path is written unix:\(text)") }
        return Place(addr: text)
    }

    /// `{"Listen":{"Domain":"tcp","Addr":"…"},"Forward":{…}}`
    static func parseBoth(_ text: String) throws(FlagError) -> (Place, Place) {
        do throws(EndpointError) {
            let mapping = try MappingText(text)
            return (place(mapping.listen), place(mapping.forward))
        } catch {
            throw FlagError(error.description)
        }
    }

    /// A flag is read once, so an address that is there already came with `--json`, or comes with it now.
    static func put(_ place: Place, into slot: inout Place?) throws(FlagError) {
        guard slot == nil else {
            throw FlagError("--json gives both addresses, --listen and --forward one each")
        }
        slot = place
    }

    private static func place(_ endpoint: Endpoint) -> Place {
        Place(domain: endpoint.domain.rawValue, addr: endpoint.address)
    }
}

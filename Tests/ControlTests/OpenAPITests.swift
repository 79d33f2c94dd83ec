import Control
import Foundation
import Support
import Testing

struct OpenAPITests {
    @Test func `the document has every route and nothing else`() throws {
        let fixture = try ControlFixture()
        let schema = try JSONSchema(document: fixture.ask("GET", "/v1/openapi.json").body)
        let described = schema.paths.flatMap { path, methods in
            methods.keys.map { "\($0.uppercased()) \(path)" }
        }
        #expect(Set(described) == Set(Route.all.map { "\($0.method) \($0.path)" }))
        #expect(described.count == Route.all.count && Set(Route.all.map(\.name)).count == Route.all.count)
    }

    @Test func `every reference leads somewhere`() throws {
        let text = try ControlFixture().ask("GET", "/v1/openapi.json").text
        let schema = try JSONSchema(document: Array(text.utf8))
        let names = text.matches(of: /#\/components\/schemas\/(\w+)/).map { String($0.output.1) }
        #expect(names.count > 20)
        for name in Set(names) { #expect(schema.named(name) != nil, "\(name)") }
    }

    @Test func `every path of the table is answered by its own route`() throws {
        let fixture = try ControlFixture()
        for route in Route.all {
            let path = route.path.replacing("{node}", with: "nobody").replacing("{mapping}", with: "nothing")
            let answer = fixture.ask(route.method, path)
            #expect(!["no-such-path", "no-such-method"].contains(answer.errorCode), "\(route.name)")
        }
    }

    @Test func `the checker finds what is wrong`() throws {
        let document = """
            {"components":{"schemas":{"A":{"type":"object","required":["n","t"],"properties":{
            "n":{"type":["integer","null"],"minimum":0},"t":{"type":"string","enum":["x"]},
            "f":{"type":"boolean"},"w":{"type":"string","format":"date-time"}}}}}}
            """
        let schema = try JSONSchema(document: Array(document.utf8))
        let faults = { (json: String) in schema.faults(in: Array(json.utf8), schema.named("A")).count }
        #expect(faults(#"{"n":1,"t":"x"}"#) == 0 && faults(#"{"n":null,"t":"x","f":true}"#) == 0)
        #expect(
            faults(#"{"t":"x"}"#) == 1 && faults(#"{"n":"1","t":"x"}"#) == 1
                && faults(#"{"n":1.5,"t":"x"}"#) == 1)
        #expect(faults(#"{"n":-1,"t":"y"}"#) == 2 && faults(#"{"n":1,"t":"x","f":1}"#) == 1)
        #expect(faults(#"{"n":1,"t":"x","z":1}"#) == 1 && faults(#"{"n":1,"t":"x","w":"soon"}"#) == 1)
        #expect(faults("[]") == 1 && faults("nonsense") == 1)
    }
}

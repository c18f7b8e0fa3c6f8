//! The API description. It does not depend on the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use dabba_outbound::public;
use dabba_testkit::{errors_of, sources_below};
use jsonschema::paths::Location;
use serde_json::{Value, json};

/// Proves that the descriptions and the pages of the API are served, without content from other servers.
#[tokio::test]
async fn the_documentation_is_served() {
    let server = crate::start().await;
    let page = server.get("/docs/", None).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"));
    assert!(!page.text.contains("https://") && !page.text.contains("src=\"//"), "{}", page.text);
    assert_eq!(server.get("/docs", None).await.status, 200, "redirected");
    let initializer = server.get("/docs/swagger-initializer.js", None).await;
    assert!(initializer.text.contains("/openapi.json"), "{}", initializer.text);
    let description = server.get("/openapi.json", None).await;
    assert_eq!(description.header("content-type"), "application/json");
    assert_eq!(description.text, dabba_api::openapi_json());
    for (path, of_events) in
        [("/asyncapi.json", public::asyncapi()), ("/events.schema.json", public::schema())]
    {
        let description = server.get(path, None).await;
        assert_eq!((description.status, description.header("content-type")), (200, "application/json"));
        assert_eq!(description.text, format!("{of_events:#}\n"));
    }
}

/// Proves that the committed description is current.
#[test]
fn the_committed_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
        std::fs::write(path, dabba_api::openapi_json()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == dabba_api::openapi_json(),
        "docs/reference/openapi.json is stale; regenerate it: DABBA_WRITE_DOCS=1 cargo test --workspace --test api current"
    );
}

/// Proves that the description types every status, and describes every refusal as a problem.
#[test]
fn the_description_is_complete() {
    let description = description();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{name}");
            let secured = !operation["security"].as_array().unwrap().contains(&json!({}));
            let responses = operation["responses"].as_object().unwrap();
            assert!(!secured || responses.contains_key("401"), "{name} needs a token");
            for (status, response) in responses {
                let refused = status.starts_with(['4', '5']);
                assert_eq!(
                    response.pointer("/content/application~1problem+json").is_some(),
                    refused,
                    "{name} {status}"
                );
            }
        }
    }
}

/// Proves that every response has the headers that follow from its status. The test server checks for every response that its
/// headers match the description.
#[test]
fn every_response_has_its_headers() {
    let description = description();
    let mut count = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses {
                let mut expected = vec!["X-Request-Id"];
                expected.extend(match status.as_str() {
                    "304" => Some("ETag"),
                    "401" | "403" => Some("WWW-Authenticate"),
                    "429" | "503" => Some("Retry-After"),
                    _ => None,
                });
                if responses.contains_key("429") {
                    expected.extend(["RateLimit", "RateLimit-Policy"]);
                }
                for header in expected {
                    assert!(
                        response["headers"][header].is_object(),
                        "{method} {path} {status} lacks {header}"
                    );
                    count += 1;
                }
            }
        }
    }
    assert!(count > 500, "{count}");
}

/// Proves that each number of a request has a minimum and a maximum, which a refusal states.
#[test]
fn every_number_of_a_request_has_limits() {
    let description = description();
    let schemas = &description["components"]["schemas"];
    let (mut queue, mut seen) = (Vec::new(), BTreeSet::new());
    for operation in
        description["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
    {
        queue.push(&operation["requestBody"]);
    }
    let mut count = 0;
    while let Some(value) = queue.pop() {
        let mut found = Vec::new();
        values("", value, &mut found);
        for (pointer, value) in found {
            let name = value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
            if let Some(name) = name.filter(|name| seen.insert(name.to_string())) {
                queue.push(&schemas[name]);
            }
            let kinds = value["type"].to_string();
            let is_number = kinds.contains("\"integer\"") || kinds.contains("\"number\"");
            if is_number && value["readOnly"].is_null() {
                assert!(value["minimum"].is_number() && value["maximum"].is_number(), "{pointer}: {value}");
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

/// Collects every value of a document with its JSON Pointer.
fn values<'a>(pointer: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    found.push((pointer.to_owned(), value));
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            values(&format!("{pointer}{}", Location::new().join(name)), member, found);
        }),
        Value::Array(members) => members.iter().enumerate().for_each(|(index, member)| {
            values(&format!("{pointer}/{index}"), member, found);
        }),
        _ => {}
    }
}

fn description() -> Value {
    serde_json::from_str(&dabba_api::openapi_json()).unwrap()
}

/// Proves that every reference and every mapping of a discriminator has a target, that every schema is used, and that operation
/// ids are unique.
#[test]
fn every_reference_resolves() {
    let description = description();
    let mut found = Vec::new();
    values("", &description, &mut found);
    let is_reference =
        |pointer: &str| pointer.ends_with("/$ref") || pointer.contains("/discriminator/mapping/");
    let references: BTreeSet<_> = found
        .iter()
        .filter(|(pointer, value)| is_reference(pointer) && value.is_string())
        .filter_map(|(_, value)| value.as_str())
        .collect();
    let dangling: Vec<_> =
        references.iter().filter(|to| description.pointer(to.trim_start_matches('#')).is_none()).collect();
    assert!(references.len() > 50 && dangling.is_empty(), "{dangling:?}");
    let schemas = description["components"]["schemas"].as_object().unwrap();
    let unused: Vec<_> = schemas
        .keys()
        .filter(|name| !references.contains(format!("#/components/schemas/{name}").as_str()))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
    let ids: Vec<_> = found.iter().filter(|(pointer, _)| pointer.ends_with("/operationId")).collect();
    let unique: BTreeSet<_> = ids.iter().map(|(_, id)| id.as_str().unwrap()).collect();
    assert_eq!(unique.len(), ids.len());
}

/// Proves that every one-of is either a schema or `null`, or a named schema with a discriminator, and that each variant of the
/// latter is a named schema with its own value of the discriminator.
#[test]
fn every_one_of_has_a_name_and_a_discriminator() {
    let description = description();
    let mut found = Vec::new();
    values("", &description, &mut found);
    let mut named = Vec::new();
    for (pointer, variants) in found.iter().filter(|(pointer, _)| pointer.ends_with("/oneOf")) {
        let variants = variants.as_array().unwrap();
        if variants.iter().any(|variant| variant["type"] == "null") {
            assert_eq!(variants.len(), 2, "{pointer}");
            continue;
        }
        let name = pointer.strip_prefix("/components/schemas/").and_then(|rest| rest.strip_suffix("/oneOf"));
        let name = name.unwrap_or_else(|| panic!("{pointer} has no name"));
        if name == "CommandResult" {
            check_command_result(&description);
            continue;
        }
        if name == "CartFulfilment" {
            // A text or an object: the kind of the value tells the variants apart.
            let variants = variants.iter().map(|variant| variant["$ref"].as_str().unwrap());
            let schema = |name: &str| format!("#/components/schemas/{name}");
            assert!(variants.eq([schema("FulfilmentKind"), schema("QuoteFulfilment")]));
            continue;
        }
        let discriminator = &description["components"]["schemas"][name]["discriminator"];
        let tag =
            discriminator["propertyName"].as_str().unwrap_or_else(|| panic!("{name} has no discriminator"));
        for (value, target) in discriminator["mapping"].as_object().unwrap() {
            assert!(variants.contains(&json!({"$ref": target})), "{name}: {target}");
            let variant = description.pointer(target.as_str().unwrap().trim_start_matches('#')).unwrap();
            assert_eq!(&variant["properties"][tag]["const"], value, "{target}");
            assert!(variant["required"].as_array().unwrap().contains(&json!(tag)), "{target}");
        }
        named.push(name);
    }
    assert_eq!(
        named,
        [
            "Actor",
            "Availability",
            "Closure",
            "Fulfilment",
            "OrderEvent",
            "OrderFulfilment",
            "QuoteFulfilment",
            "ReviewReason",
            "ZoneArea",
        ]
    );
}

/// Asserts that a member tells the response to a command from the response to its preview. An order has no member with a
/// constant value, so this one-of has no discriminator.
#[track_caller]
fn check_command_result(description: &Value) {
    let schemas = &description["components"]["schemas"];
    let variants =
        ["Order", "CommandPreview"].map(|name| json!({"$ref": format!("#/components/schemas/{name}")}));
    assert_eq!(schemas["CommandResult"]["oneOf"], json!(variants));
    let preview = &schemas["CommandPreview"];
    assert_eq!(preview["properties"]["preview"]["enum"], json!([true]));
    assert!(preview["required"].as_array().unwrap().contains(&json!("preview")));
    assert_eq!(schemas["Order"]["properties"].get("preview"), None);
}

/// Proves that a client that follows the description accepts additions of a newer server to responses, and that requests accept
/// only the listed values.
#[test]
fn responses_are_open_and_requests_are_closed() {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let event =
        json!({"type": "teleported", "version": 3, "actor": {"role": "robot"}, "at": "2026-06-01T12:00:00Z"});
    assert_eq!(errors_of(&reference("OrderEvent"), &event), Vec::<String>::new());
    let misfit =
        json!({"type": "placed", "version": 3, "actor": {"role": "system"}, "at": "2026-06-01T12:00:00Z"});
    assert!(
        !errors_of(&reference("OrderEvent"), &misfit).is_empty(),
        "a known event must have all its members"
    );
    assert_eq!(errors_of(&reference("AllowedAction"), &json!({"command": "teleport"})), Vec::<String>::new());
    assert!(!errors_of(&reference("Cancellation"), &json!({"reason": "bored"})).is_empty());
    assert!(!errors_of(&reference("Fulfilment"), &json!({"type": "drone"})).is_empty());
}

/// Proves that every body of a request and every representation has an example, and that each example matches its schema.
#[test]
fn every_body_has_an_example_that_matches_its_schema() {
    let description = description();
    let mut wrong = Vec::new();
    for operation in
        description["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
    {
        let id = operation["operationId"].as_str().unwrap();
        let request = &operation["requestBody"]["content"]["application/json"];
        // The payment provider defines this body.
        if request.is_object() && request["examples"].is_null() && id != "report_payment" {
            wrong.push(format!("{id} needs an example in examples.json"));
        }
        let responses = operation["responses"].as_object().unwrap().values();
        let contents = responses
            .flat_map(|response| response["content"].as_object().into_iter().flat_map(|it| it.values()));
        for content in contents.chain([request]) {
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let errors = errors_of(&content["schema"], &example["value"]);
                if !errors.is_empty() {
                    wrong.push(format!("{id} {name}: {errors:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Proves that no two types share the name of a schema, because the description would keep one of them and describe the other
/// wrongly. The test reads the names from the sources, because the description no longer contains the lost one.
#[test]
fn every_schema_has_a_name_of_its_own() {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for directory in ["../domain/src", "src"] {
        for (path, source) in sources_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)) {
            for (schema, name) in schemas(&source) {
                types.entry(schema).or_default().push(format!("{name} in {}", path.display()));
            }
        }
    }
    assert!(types.contains_key("Order") && types.contains_key("RefundRequest"), "{types:?}");
    types.retain(|_, types| types.len() > 1);
    assert_eq!(types, BTreeMap::new());
}

/// Returns the schemas that a source file derives, each with the name of its type.
fn schemas(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    for line in source.lines().map(str::trim) {
        let name = line.split_once("struct ").or_else(|| line.split_once("enum "));
        match name {
            Some((visibility, rest)) if visibility.is_empty() || visibility.starts_with("pub") => {
                let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
                let renamed = attributes.split_once("as = ").map(|(_, rest)| rest);
                let renamed = renamed.map(|rest| rest.chars().take_while(|letter| letter.is_alphanumeric()));
                if attributes.contains("ToSchema") {
                    found.push((renamed.map_or_else(|| name.clone(), Iterator::collect), name));
                }
                attributes.clear();
            }
            _ if line.is_empty() || line == "}" => attributes.clear(),
            _ if !line.starts_with("//") => attributes.push_str(line),
            _ => {}
        }
    }
    found
}

/// Proves that the table of statuses on the page of problems lists the status of every code exactly once, and that the table of
/// the guide for client developers lists it, too.
#[test]
fn the_tables_of_statuses_are_complete() {
    let statuses = |page: &str, head: &str| -> Vec<u16> {
        let (_, table) = page.split_once(head).unwrap_or_else(|| panic!("no table {head:?}"));
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let cells = rows.filter_map(|row| row.trim_start_matches('|').split('|').next());
        cells.flat_map(|cell| cell.split([',', ' '])).filter_map(|word| word.parse().ok()).collect()
    };
    let expected: BTreeSet<u16> =
        dabba_api::problem_codes().into_iter().map(|code| code.status().as_u16()).collect();
    for (page, head) in [
        (
            include_str!("../../../../docs/reference/problems.md"),
            "| status | meaning | what the client does |\n",
        ),
        (include_str!("../../../../docs/guides/client.md"), "| response | what the client does |\n"),
    ] {
        let mut found = statuses(page, head);
        // Responses that are no problems.
        found.retain(|status| *status >= 400);
        let unique: BTreeSet<u16> = found.iter().copied().collect();
        assert_eq!(unique.len(), found.len(), "{head} lists a status twice: {found:?}");
        assert_eq!(unique, expected, "{head} must list every status once");
    }
}

/// Proves that the page of problems has exactly one section for each code, in the order of the codes, with the code's status and
/// title.
#[test]
fn the_page_of_problems_matches_the_codes() {
    let page = include_str!("../../../../docs/reference/problems.md");
    let sections = page.split("\n## `").skip(1).map(|section| {
        let (code, rest) = section.split_once("`\n\n").unwrap();
        let (line, rest) = rest.split_once("\n\n").unwrap();
        let (meaning, action) =
            rest.split_once("\n\n**The client:** ").unwrap_or_else(|| panic!("{code}: {rest}"));
        assert!(meaning.len() > 20 && action.trim().len() > 10, "{code}");
        (code, line)
    });
    let found: Vec<_> = sections.map(|(code, line)| (code.to_owned(), line.to_owned())).collect();
    let expected = dabba_api::problem_codes()
        .into_iter()
        .map(|code| (code.as_str().to_owned(), format!("{} · {}.", code.status().as_u16(), code.title())));
    let expected: Vec<_> = expected.collect();
    for section in &expected {
        assert!(found.contains(section), "docs/reference/problems.md lacks this section: {section:?}");
    }
    assert_eq!(
        found, expected,
        "docs/reference/problems.md must have the sections in the order of the codes, and no others"
    );
}

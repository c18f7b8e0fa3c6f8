//! Changes that have no parameters in the query: a request with any is refused, because it expects another meaning, such as a
//! preview.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Methods of changes, as the description names them.
const METHODS: [&str; 4] = ["post", "put", "patch", "delete"];

/// The operation whose URL the operator states at the payment provider, with any query.
const REPORTS: &str = "/v1/webhooks/payments";

/// Returns the method, in capitals, and the path of each change without parameters in the query.
pub(super) fn changes_without_query(document: &Value) -> HashSet<(String, String)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.filter(|(path, _)| *path != REPORTS).flat_map(|(path, operations)| {
        METHODS.iter().filter_map(move |method| Some((path, *method, operations.get(*method)?)))
    });
    operations
        .filter(|(_, _, operation)| has_no_query(operation))
        .map(|(path, method, _)| (method.to_ascii_uppercase(), path.clone()))
        .collect()
}

/// Describes the refusal of parameters.
pub(super) fn describe(document: &mut Value) {
    for (method, path) in changes_without_query(document) {
        let responses = &mut document["paths"][path][method.to_ascii_lowercase()]["responses"];
        if responses["400"].is_null() {
            responses["400"] = json!({
                "description": "`bad_request`: The request is not valid.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            });
        }
    }
}

fn has_no_query(operation: &Value) -> bool {
    operation["parameters"].as_array().into_iter().flatten().all(|parameter| parameter["in"] != "query")
}

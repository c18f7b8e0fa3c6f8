//! Changes that have no parameters in the query: a request with any is refused, because it expects another meaning, such as a
//! preview.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Methods of changes.
const METHODS: [&str; 4] = ["post", "put", "patch", "delete"];

/// The operation whose URL the operator states at the payment provider, with any query.
const REPORTS: &str = "/v1/webhooks/payments";

/// Returns the method and the path of each change without parameters in the query.
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
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (_, operations) in paths.iter_mut().filter(|(path, _)| *path != REPORTS) {
        for method in METHODS {
            let Some(operation) = operations.get_mut(method).filter(|operation| has_no_query(operation))
            else {
                continue;
            };
            let Some(responses) = operation["responses"].as_object_mut() else { continue };
            responses.entry("400").or_insert_with(|| {
                json!({
                    "description": "`bad_request`: The request is not valid.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                })
            });
        }
    }
}

fn has_no_query(operation: &Value) -> bool {
    operation["parameters"].as_array().into_iter().flatten().all(|parameter| parameter["in"] != "query")
}

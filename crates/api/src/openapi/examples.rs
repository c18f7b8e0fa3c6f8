//! Examples of requests and responses, from `examples.json`. The file groups them by operation, then by request or status, then
//! by name.
//!
//! A test sends every request to a server, and compares every example with its schema. Every operation with a body needs an
//! example.

use std::collections::BTreeMap;

use dabba_web::problem::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};

const EXAMPLES: &str = include_str!("examples.json");

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Operation {
    requests: BTreeMap<String, Example>,
    responses: BTreeMap<String, BTreeMap<String, Example>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    summary: String,
    value: Value,
}

impl Example {
    fn into_value(self) -> Value {
        json!({"summary": self.summary, "value": self.value})
    }
}

/// Adds the examples to the operations.
pub(super) fn add(document: &mut Value) -> serde_json::Result<()> {
    let mut examples: BTreeMap<String, Operation> = serde_json::from_str(EXAMPLES)?;
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for described in paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        let id = described["operationId"].as_str().unwrap_or_default();
        let Some(Operation { requests, responses }) = examples.remove(id) else { continue };
        for (name, example) in requests {
            described["requestBody"]["content"]["application/json"]["examples"][name] = example.into_value();
        }
        for (status, examples) in responses {
            let media_type = if status.starts_with('2') { "application/json" } else { CONTENT_TYPE };
            for (name, example) in examples {
                described["responses"][&status]["content"][media_type]["examples"][name] =
                    example.into_value();
            }
        }
    }
    debug_assert!(
        examples.is_empty(),
        "examples.json has examples for unknown operations: {:?}",
        examples.keys()
    );
    Ok(())
}

//! Refusals of the server, in which the command's options take the place of the API's members.

use std::fmt;

use dabba_sim::ClientError;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Member or parameter of the API, and the option that gives it. `url` is not here: `create` has an argument, `change`
/// an option.
const OPTIONS: [(&str, &str); 10] = [
    ("restaurant_id", "--restaurant"),
    ("types", "--type"),
    ("payload", "--payload"),
    ("content_type", "--content-type"),
    ("concurrency", "--concurrency"),
    ("batch", "--batch"),
    ("overlap_seconds", "--overlap-seconds"),
    ("after", "--after"),
    ("since", "--since"),
    ("limit", "--limit"),
];

/// Returns a function that turns the error of a request into a failure. `url` is the name of the command's argument or
/// option for a URL.
pub(super) fn refused(what: impl fmt::Display, url: &'static str) -> impl FnOnce(ClientError) -> Failure {
    move |mut error| {
        if let ClientError::Problem(problem) = &mut error {
            let errors = problem.body["errors"].as_array_mut().into_iter().flatten();
            for entry in errors {
                rename(entry, &mut problem.detail, url);
            }
            if problem.body["errors"].is_null() {
                // A refusal without entries names the member in its text.
                problem.detail = problem.detail.replace("restaurant_id", "--restaurant");
            }
        }
        Failure::during(what)(error)
    }
}

/// Puts the option into an entry of `errors`, and into the detail, which repeats the entries.
fn rename(entry: &mut Value, detail: &mut String, url: &str) {
    for place in ["pointer", "parameter"] {
        let Some(found) = entry[place].as_str() else { continue };
        let Some(option) = option_of(found, url) else { continue };
        let text = entry["detail"].as_str().unwrap_or_default();
        *detail = detail.replacen(&format!("{found}: {text}"), &format!("{option}: {text}"), 1);
        entry[place] = json!(option);
    }
}

/// Returns the option for a pointer such as `/types/0`, or for a parameter.
fn option_of<'a>(place: &str, url: &'a str) -> Option<&'a str> {
    let name = place.trim_start_matches('/').split('/').next()?;
    if name == "url" {
        return Some(url);
    }
    OPTIONS.iter().find(|(member, _)| *member == name).map(|(_, option)| *option)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dabba_sim::ProblemResponse;

    use super::*;

    fn shown(errors: &Value, detail: &str) -> String {
        let problem = ProblemResponse {
            status: 422,
            code: "invalid_request".to_owned(),
            detail: detail.to_owned(),
            body: json!({"errors": errors}),
            elapsed: Duration::ZERO,
        };
        refused("E", "URL")(ClientError::Problem(Box::new(problem))).to_string()
    }

    /// Proves that options take the place of members in a refusal with one and with several errors, and that other
    /// members stay.
    #[test]
    fn members_become_options() {
        let url = json!({"pointer": "/url", "detail": "must be complete"});
        let kind = json!({"pointer": "/types/1", "detail": "repeats placed"});
        let other = json!({"pointer": "/other", "detail": "is wrong"});
        let one = shown(&json!([url]), "/url: must be complete");
        assert_eq!(one, "E: 422 invalid_request: URL: must be complete");
        let detail = "/url: must be complete; /types/1: repeats placed; /other: is wrong";
        let several = shown(&json!([url, kind, other]), detail);
        let lines = "\n  URL: must be complete\n  --type: repeats placed\n  /other: is wrong";
        assert_eq!(several, format!("E: 422 invalid_request{lines}"));
        let parameter = json!([{"parameter": "limit", "detail": "is 0"}]);
        assert_eq!(shown(&parameter, "limit: is 0"), "E: 422 invalid_request: --limit: is 0");
        let without = shown(&Value::Null, "staff state restaurant_id, the id");
        assert_eq!(without, "E: 422 invalid_request: staff state --restaurant, the id");
    }
}

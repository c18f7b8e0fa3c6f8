//! Names that are not settings: misspelt names, names of earlier versions, and variables with other purposes.

use super::{ENVIRONMENT_PREFIX, documentation};

/// Known variables that are not settings: variables that commands read, and variables of tests and builds.
const OTHER_VARIABLES: [&str; 7] = [
    crate::commands::TOKEN_VARIABLE,
    crate::databases::TEST_KNOWN_SCHEMA,
    crate::commands::copy::TEST_PAGE_ROWS,
    "DABBA_COMMIT",
    "DABBA_PAGES_BUILD",
    "DABBA_PAGES_DIST",
    "DABBA_WRITE_DOCS",
];

/// Returns the environment variables with the prefix of settings that are unknown, most likely misspelt, each with a
/// suggestion.
pub(crate) fn unknown_variables() -> Vec<(String, String)> {
    let known: Vec<&str> = documentation::variables().into_iter().chain(OTHER_VARIABLES).collect();
    let mut unknown: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(ENVIRONMENT_PREFIX) && !known.contains(&name.as_str()))
        .map(|name| {
            let suggestion = suggestion(&name, known.iter().copied());
            (name, suggestion)
        })
        .collect();
    unknown.sort();
    unknown
}

/// Names that are not settings any more or never were, each with its replacement.
const REPLACED: [(&str, &str); 2] = [
    ("trust_forwarded_for", "the setting trusted_proxies has taken its place"),
    ("config", "the option --config names the settings file"),
];

/// Returns "; did you mean …?" with the known name closest to a misspelt name; empty if no known name is close.
pub(super) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let bare = |name: &str| name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or(name).to_lowercase();
    let setting = bare(name);
    if let Some((_, successor)) = REPLACED.iter().find(|(replaced, _)| *replaced == setting) {
        return format!("; {successor}");
    }
    let distance = known.into_iter().filter_map(|known| Some((distance(&setting, &bare(known))?, known)));
    distance.min().map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

/// Returns the distance between a misspelt and a known name; `None` if it is too large. A quarter of the characters may
/// differ, or the end of the name may be missing.
fn distance(name: &str, known: &str) -> Option<usize> {
    let distance = strsim::osa_distance(name, known);
    let is_begin = known.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
    (is_begin || distance <= (name.len() / 4).max(1)).then_some(distance)
}

//! Names that are no settings: misspelt ones, those of earlier versions, and variables of other purposes.

use super::{ENVIRONMENT_PREFIX, documentation};

/// Variables that are no settings, and are known all the same: what commands read, and what only tests and builds set.
const OTHER_VARIABLES: [&str; 5] = [
    crate::commands::TOKEN_VARIABLE,
    crate::databases::TEST_KNOWN_SCHEMA,
    crate::commands::copy::TEST_PAGE_ROWS,
    "DABBA_COMMIT",
    "DABBA_WRITE_DOCS",
];

/// Variables that begin like a setting's and are none: most likely misspelt. Each with what may be meant.
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

/// Names that are no settings any more or never were, and what takes their place.
const REPLACED: [(&str, &str); 2] = [
    ("trust_forwarded_for", "the setting trusted_proxies has taken its place"),
    ("config", "the option --config names the settings file"),
];

/// "; did you mean …?" with the known name that is closest to a misspelt one; empty if none is close.
pub(super) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let bare = |name: &str| name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or(name).to_lowercase();
    let setting = bare(name);
    if let Some((_, successor)) = REPLACED.iter().find(|(replaced, _)| *replaced == setting) {
        return format!("; {successor}");
    }
    let distance = known.into_iter().filter_map(|known| Some((distance(&setting, &bare(known))?, known)));
    distance.min().map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}

/// How far a misspelt name is from a known one: every fourth character may be wrong, or the end of the name be missing.
fn distance(name: &str, known: &str) -> Option<usize> {
    let distance = strsim::osa_distance(name, known);
    let is_begin = known.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
    (is_begin || distance <= (name.len() / 4).max(1)).then_some(distance)
}

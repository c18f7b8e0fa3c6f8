//! Hides passwords in everything that is shown. Only this module decides what is hidden.
//!
//! The URL of a database may contain a password, and a malformed URL may contain it where a parser does not expect it. So every
//! text that could be part of a password is hidden: an ambiguous URL is shown as `postgresql://…`.

use std::borrow::Cow;

/// Placeholder for hidden text.
pub(crate) const HIDDEN: &str = "…";
/// Names whose values are secrets, in `name=value`. Longer names that end with one of them count as well (`sslpassword`).
const SECRET_NAMES: [&str; 9] =
    ["password", "passwd", "pwd", "pass", "token", "secret", "key", "credential", "authorization"];
/// Text before a secret in an `Authorization` header.
const AUTHORIZATION_SCHEMES: [&str; 2] = ["bearer ", "basic "];
/// The same in running text, where the lower-case word is an ordinary word.
const BEARER: &str = "Bearer ";
/// Maximum number of characters of a value that a message repeats.
const MAX_SHOWN: usize = 64;

/// Returns host and database of a `postgresql://` URL, without user, password and parameters.
pub(crate) fn place_of(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("postgresql" | "postgres"), rest)) => (scheme, rest),
        _ => ("postgresql", ""),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = match rest.rsplit_once('@') {
        // The URL states no user, so an `@` belongs to a parameter. A text that looks like a port may be the beginning of a
        // password.
        found
            if (authority.is_empty() || is_hosts(authority))
                && (found.is_none() || !authority.contains(':')) =>
        {
            before_parameters(rest)
        }
        // An `@` after a `?` belongs to a parameter, or the password contains a `?`.
        Some((before, place)) if !before.contains(['?', '#']) => before_parameters(place),
        _ => "",
    };
    if is_place(place) { format!("{scheme}://{place}") } else { format!("{scheme}://{HIDDEN}") }
}

fn before_parameters(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

/// Returns whether a URL contains a password in any interpretation; true when in doubt.
pub(crate) fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let is_named = rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    is_named || matches!(redacted(rest), Cow::Owned(_))
}

/// Returns whether a text is one or more hosts, each with or without a port.
fn is_hosts(text: &str) -> bool {
    !text.is_empty()
        && text.split(',').all(|host| {
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
                _ => (host, None),
            };
            let is_address = name.starts_with('[') && name.ends_with(']');
            let is_name =
                |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%".contains(&byte));
            (is_address || is_name(name)) && port.is_none_or(|port| port.parse::<u16>().is_ok())
        })
}

/// Returns whether a text is hosts and the name of a database.
fn is_place(text: &str) -> bool {
    let (hosts, database) = text.split_once('/').unwrap_or((text, ""));
    (hosts.is_empty() && !database.is_empty() || is_hosts(hosts)) && !database.contains(['@', ':', '/'])
}

/// Returns a wrong value for a message: without possible secrets, and cut. A value that should be a URL is not repeated at all.
pub(crate) fn shown(value: &str) -> String {
    let value = without_secrets(value);
    let mut cut: String = value.chars().take(MAX_SHOWN).collect();
    if cut.len() < value.len() {
        cut.push_str(HIDDEN);
    }
    cut
}

/// Returns a value without possible secrets.
///
/// This hides more than [`redacted`] does for running text, because both ends of the value are known: user and password before an
/// `@`, with or without a scheme, all parameters of a URL, and everything after the name of a secret.
pub(crate) fn without_secrets(value: &str) -> String {
    let (scheme, rest) = match value.find("://") {
        Some(at) if !value[..at].contains(['@', ':', '=']) => value.split_at(at + "://".len()),
        _ => ("", value),
    };
    let rest = match rest.rsplit_once('@') {
        // The `@` belongs to a parameter, or the password contains a `?`.
        Some((before, _)) if before.contains(['?', '#']) => HIDDEN.to_owned(),
        Some((before, place)) if !scheme.is_empty() || before.contains(':') => format!("{HIDDEN}@{place}"),
        _ => rest.to_owned(),
    };
    let rest = match rest.split_once(['?', '#']) {
        Some((before, after)) if !scheme.is_empty() || after.contains('=') => format!("{before}?{HIDDEN}"),
        _ => rest,
    };
    // Without an `@`, a text after `:` that is not a port may be a password.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_doubtful =
        !scheme.is_empty() && authority.contains(':') && !authority.contains('@') && !is_hosts(authority);
    let rest = if is_doubtful { HIDDEN.to_owned() } else { rest };
    let value = format!("{scheme}{rest}");
    let value = match secret_in_value(&value) {
        Some(start) => format!("{}{HIDDEN}", &value[..start]),
        None => value,
    };
    redacted(&value).into_owned()
}

/// Returns where the secret of a value begins: after the name of a secret with `=` or `:`, or after the scheme of an
/// `Authorization` header.
fn secret_in_value(value: &str) -> Option<usize> {
    let lower = value.to_ascii_lowercase();
    let start_of = |rest: &str| {
        let rest = rest.trim_start();
        (!rest.is_empty()).then(|| value.len() - rest.len())
    };
    let ends = |name: &str| lower.match_indices(name).map(|(at, name)| at + name.len()).collect::<Vec<_>>();
    let named = SECRET_NAMES
        .iter()
        .flat_map(|name| ends(name))
        .filter_map(|end| start_of(value[end..].trim_start().strip_prefix(['=', ':'])?));
    let schemes = AUTHORIZATION_SCHEMES.iter().flat_map(|scheme| ends(scheme));
    named.chain(schemes.filter_map(|end| start_of(&value[end..]))).min()
}

/// Returns the text without passwords: those in URLs, in `user:password@host`, and in `password=…` of parameters and connection
/// strings.
///
/// In running text, the end of a malformed URL is unknown, so everything up to the last `@` of its line is hidden.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    if !text.contains('@') && !has_secret_name(text) {
        return Cow::Borrowed(text);
    }
    let line = |line| without_bearers(&without_pairs(&without_values(&without_users(line))));
    let lines: Vec<String> = text.split('\n').map(line).collect();
    let redacted = lines.join("\n");
    if redacted == text { Cow::Borrowed(text) } else { Cow::Owned(redacted) }
}

fn has_secret_name(text: &str) -> bool {
    if text.contains(BEARER) {
        return true;
    }
    let text = text.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| text.contains(name))
}

/// Hides user and password of URLs, up to the last `@` that does not follow hidden text.
fn without_users(line: &str) -> String {
    let Some((before, rest)) = line.split_once("://") else { return line.to_owned() };
    let mut ends = rest.match_indices('@').map(|(at, _)| at);
    match ends.rfind(|at| !rest[..*at].ends_with(HIDDEN)) {
        Some(end) => format!("{before}://{HIDDEN}{}", &rest[end..]),
        None => line.to_owned(),
    }
}

/// Hides user and password of `user:password@host`, a word without a scheme. An `@` without a `:` before it belongs to an e-mail
/// address.
fn without_pairs(line: &str) -> String {
    let word = |word: &str| {
        let quotes = word.len() - word.trim_start_matches(['\'', '"', '`', '(', '<', '[']).len();
        let (quotes, rest) = word.split_at(quotes);
        match rest.rsplit_once('@') {
            Some((before, place)) if before.contains(':') && !before.ends_with(HIDDEN) => {
                format!("{quotes}{HIDDEN}@{place}")
            }
            _ => word.to_owned(),
        }
    };
    line.split_inclusive(char::is_whitespace).map(word).collect()
}

/// Hides tokens in the form of an `Authorization` header.
fn without_bearers(line: &str) -> String {
    let mut parts = line.split(BEARER);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(char::is_whitespace).unwrap_or(part.len());
        shown.push_str(BEARER);
        shown.push_str(if end == 0 { "" } else { HIDDEN });
        shown.push_str(&part[end..]);
    }
    shown
}

/// Hides the values of secret names.
fn without_values(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((name_end, value)) = find_secret(rest) {
        shown.push_str(&rest[..name_end]);
        shown.push_str(HIDDEN);
        let is_parameter = line[..line.len() - value.len()].contains('?');
        rest = &value[value_length(value, is_parameter)..];
    }
    shown.push_str(rest);
    shown
}

/// Returns the next secret: where its name with the `=` ends, and the text from its value on.
fn find_secret(text: &str) -> Option<(usize, &str)> {
    let lower = text.to_ascii_lowercase();
    let mut found: Option<usize> = None;
    for name in SECRET_NAMES {
        for (at, _) in lower.match_indices(name) {
            let after = &text[at + name.len()..];
            let trimmed = after.trim_start();
            let Some(value) = trimmed.strip_prefix('=') else { continue };
            let end = text.len() - value.trim_start().len();
            if end < text.len() && found.is_none_or(|earlier| end < earlier) {
                found = Some(end);
            }
        }
    }
    found.map(|end| (end, &text[end..]))
}

/// Returns the length of a value. A quoted value ends with its quote; any other value ends with its word, or at the next
/// parameter of a URL.
fn value_length(value: &str, is_parameter: bool) -> usize {
    let Some(quote) = value.chars().next().filter(|first| matches!(first, '\'' | '"')) else {
        return value
            .find(|end: char| end == '&' && is_parameter || end.is_whitespace())
            .unwrap_or(value.len());
    };
    let mut is_escaped = false;
    for (at, character) in value.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    value.len() // The closing quote is missing: everything may belong to the value.
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Proves the shown form of each kind of URL.
    #[test]
    fn a_url_is_shown_as_host_and_database() {
        for (url, shown) in [
            ("postgresql://user:p@ss@host:5432/db?password=secret", "postgresql://host:5432/db"),
            ("postgres://host/db", "postgres://host/db"),
            ("postgresql://host", "postgresql://host"),
            ("postgresql:///db", "postgresql:///db"),
            ("postgresql://[::1]:5433/db", "postgresql://[::1]:5433/db"),
            ("postgresql://u:secret@%2Frun%2Fpostgresql/db", "postgresql://%2Frun%2Fpostgresql/db"),
            ("postgresql://u@a:1,b:2/db?target_session_attrs=read-write", "postgresql://a:1,b:2/db"),
            ("postgresql://host/db?options=a@b", "postgresql://host/db"),
            ("postgresql://user:pa@ss@host", "postgresql://host"),
            ("postgresql://user:pa/ss@host/db", "postgresql://host/db"),
            ("postgresql://user:pa?ss@host/db", "postgresql://…"),
            ("postgresql://user:pa#ss@host/db", "postgresql://…"),
            ("postgresql://user:pa@s/s@host/db", "postgresql://host/db"),
            ("postgresql://user:secret", "postgresql://…"),
            ("postgresql://user:secret/db", "postgresql://…"),
            ("postgresql://user:secret@", "postgresql://…"),
            ("postgresql://", "postgresql://…"),
            ("postgresql:/user:secret@host", "postgresql://…"),
            ("host=h user=u password='x y'", "postgresql://…"),
            ("mysql://user:secret@host/db", "postgresql://…"),
        ] {
            assert_eq!(place_of(url), shown, "{url}");
        }
    }

    /// Proves the hidden parts of running text.
    #[test]
    fn a_text_is_shown_without_its_passwords() {
        for (text, shown) in [
            ("opening postgresql://u:secret@h/d: refused", "opening postgresql://…@h/d: refused"),
            ("at postgres://u:pa ss@x@h/d", "at postgres://…@h/d"),
            ("host=h password='x y' user=u", "host=h password=… user=u"),
            ("host=h password=a&b user=u", "host=h password=… user=u"),
            ("password = \"it\\\"s\" next", "password = … next"),
            ("PASSWORD=secret", "PASSWORD=…"),
            ("?sslpassword=s&password=t&x=1", "?sslpassword=…&password=…&x=1"),
            ("password='never closed and", "password=…"),
            ("first\npostgresql://u:s@h\nthird", "first\npostgresql://…@h\nthird"),
            ("a password must have 8 characters", "a password must have 8 characters"),
            ("postgresql://host/db is not a database", "postgresql://host/db is not a database"),
            ("mail to asha@example.org", "mail to asha@example.org"),
            ("'mysql://u:secret@h/d' is wrong", "'mysql://…@h/d' is wrong"),
            ("'pg://…@h': like pg://h:1, not pg://…@h", "'pg://…@h': like pg://h:1, not pg://…@h"),
            ("'pg://…@h': not pg://u:secret@h, pg://…@i", "'pg://…@h, pg://…@i"),
            ("not \"u:secret@h:80\", at", "not \"…@h:80\", at"),
            ("the file u:secret@h/x is absent", "the file …@h/x is absent"),
            ("at http://h/x?token=secret&a=1 nothing", "at http://h/x?token=…&a=1 nothing"),
            ("sent Bearer secret to h", "sent Bearer … to h"),
            ("with pwd=secret next", "with pwd=… next"),
            ("a bearer token, and the signing key: none", "a bearer token, and the signing key: none"),
        ] {
            assert_eq!(redacted(text), shown, "{text}");
        }
    }

    /// Proves the hidden parts of a wrong value in a message.
    #[test]
    fn a_wrong_value_is_shown_without_its_secrets() {
        for (value, shown_as) in [
            ("u:secret@h:80", "…@h:80"),
            ("http://u:secret@h/x", "http://…@h/x"),
            ("http://h/x?sig=secret", "http://h/x?…"),
            ("h/x?sig=secret", "h/x?…"),
            ("pg://u:sec?ret@h", "pg://…"),
            ("u:se/cr@et@h", "…@h"),
            ("host=h password=secret", "host=h password=…"),
            ("u:secret@h://x", "…@h://x"),
            ("file://u:secret@h/x", "file://…@h/x"),
            ("mysql://u:secret", "mysql://…"),
            ("http://u:secret/x", "http://…"),
            ("http://h:80/x", "http://h:80/x"),
            ("Bearer secret", "Bearer …"),
            ("authorization: basic secret", "authorization: …"),
            ("pwd=secret", "pwd=…"),
            ("PASS = secret", "PASS = …"),
            ("key=secret", "key=…"),
            ("password: secret", "password: …"),
            ("/etc/dabba/signing-key", "/etc/dabba/signing-key"),
            ("localhost", "localhost"),
            ("[::1]:80x", "[::1]:80x"),
            ("asha@example.org", "asha@example.org"),
        ] {
            assert_eq!(shown(value), shown_as, "{value}");
        }
        assert_eq!(shown(&"x".repeat(70)), format!("{}…", "x".repeat(64)));
    }

    #[test]
    fn a_password_in_a_url_is_detected() {
        for (url, has) in [
            ("postgresql://u:secret@h/d", true),
            ("postgresql://h/d?password=secret", true),
            ("postgresql://u@h/d", false),
            ("postgresql://h:5432/d", false),
            ("postgresql://u@h:5432/d?sslmode=verify-full", false),
        ] {
            assert_eq!(has_password(url), has, "{url}");
        }
    }

    proptest! {
        /// Proves that no password is shown, encoded or not.
        #[test]
        fn no_password_is_ever_shown(
            password in "[a-z@:/?#%&=' \\\\\\[\\]0-9]{0,6}Z[a-z@:/?#%&=' \\\\\\[\\]0-9]{0,6}Z",
            prefix in "(|opening |cannot use )",
        ) {
            let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
            for url in [
                format!("postgresql://user:{password}@host:5432/db"),
                format!("postgres://user:{password}@host"),
                format!("postgresql://user:{password}@one,two/db?sslmode=require"),
            ] {
                for shown in [place_of(&url), redacted(&format!("{prefix}{url}")).into_owned()] {
                    prop_assert!(!shown.contains('Z'), "{url}: {shown}");
                }
            }
            let keywords = format!("{prefix}host=h password='{quoted}' user=u");
            prop_assert!(!redacted(&keywords).contains('Z'), "{keywords}");
        }
    }
}

//! Types of values that several topics use. Every source is checked with the same rules.

use std::{fmt, net::Ipv4Addr, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::redaction::shown;

/// Reason why a message does not show a wrong URL: the position of a password in a malformed URL is unknown.
pub(crate) const NOT_REPEATED: &str = "the given value is not shown, since it may contain a password";

/// Implements `Deserialize` for types with `FromStr`, so that a text in the settings file has the rules of a flag.
macro_rules! read_from_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use read_from_text;

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    fn new(number: u64) -> Result<Self, String> {
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(Self::wrong(number)) }
    }

    fn wrong(found: impl fmt::Display) -> String {
        format!("{}, not {found}", Self::allowed())
    }

    fn allowed() -> String {
        format!("must be a whole number from {MIN} to {MAX}")
    }

    /// Returns the number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// Returns the number as a size. `MAX` is far below the maximum of `usize`.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Returns the number with 32 bits.
    pub(crate) fn small(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// Returns the number as milliseconds.
    pub(crate) const fn milliseconds(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Returns the number as seconds.
    pub(crate) const fn seconds(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Bounded<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.trim().parse().map_err(|_| Self::wrong(shown(text)))?)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The signed type accepts negative numbers, so that the message shows them; an unsigned type would fail with the
        // library's message.
        let number = i64::deserialize(deserializer).map_err(|_| de::Error::custom(Self::allowed()))?;
        u64::try_from(number).map_err(|_| Self::wrong(number)).and_then(Self::new).map_err(de::Error::custom)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Bounded<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// A time in milliseconds, up to ten minutes.
pub(crate) type Milliseconds = Bounded<1, 600_000>;

/// A name that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// Returns the name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(Self(text.to_owned())) }
    }
}

read_from_text!(Name);

/// URL of an HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl(String);

impl WebUrl {
    /// Returns the URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!("must be a URL that begins with https:// or http://; {NOT_REPEATED}")),
        }
    }
}

read_from_text!(WebUrl);

/// Maximum number of wrong entries of a list that a message shows.
const MAX_SHOWN_ENTRIES: usize = 16;

/// Reads a list that is separated by commas. An empty text is an empty list. `what` is the kind of an entry with its
/// article, and `hint` says what to give. `entry` reads an entry; its error is the reason, or empty.
///
/// The error states every wrong entry.
pub(super) fn list<T>(
    text: &str,
    what: &str,
    hint: &str,
    entry: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    let parts = text.split(',').map(str::trim).enumerate().filter(|_| !text.trim().is_empty());
    for (index, part) in parts {
        match entry(part) {
            _ if part.is_empty() => wrong.push(format!("entry {} is empty", index + 1)),
            Ok(entry) => entries.push(entry),
            Err(reason) if reason.is_empty() => wrong.push(format!("{:?} is not {what}", shown(part))),
            Err(reason) => wrong.push(format!("{:?} is not {what} ({reason})", shown(part))),
        }
    }
    if wrong.is_empty() {
        return Ok(entries);
    }
    let more = wrong.len().saturating_sub(MAX_SHOWN_ENTRIES);
    wrong.truncate(MAX_SHOWN_ENTRIES);
    if more > 0 {
        wrong.push(format!("{more} more entries are wrong"));
    }
    Err(format!("{}: {hint}", wrong.join("; ")))
}

/// Checks the name of a host as RFC 1123 defines it: 1 to 253 characters; labels of 1 to 63 letters, digits and hyphens,
/// with a letter or a digit at both ends; a dot at the end is allowed. A name whose last label is a number is an IPv4
/// address. The error is the reason.
pub(super) fn check_host_name(name: &str) -> Result<(), String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(format!(
            "the name has {} characters, and at most {MAX_NAME_LENGTH} are allowed",
            name.len()
        ));
    }
    for label in name.split('.') {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if label.is_empty() {
            return Err("the name has an empty part between or before dots".to_owned());
        }
        if !label.bytes().all(is_allowed) || label.starts_with('-') || label.ends_with('-') {
            return Err(format!(
                "{:?} must consist of letters, digits, and hyphens between them; write other scripts in Punycode",
                shown(label)
            ));
        }
        if label.len() > MAX_LABEL_LENGTH {
            return Err(format!("{:?} has more than {MAX_LABEL_LENGTH} characters", shown(label)));
        }
    }
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let digits = last.strip_prefix("0x").unwrap_or(&last);
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || (last.starts_with("0x") && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number && name.parse::<Ipv4Addr>().is_err() {
        return Err("an IPv4 address must have four numbers from 0 to 255, such as 10.0.0.7".to_owned());
    }
    Ok(())
}

/// Maximum number of characters of the name of a host.
const MAX_NAME_LENGTH: usize = 253;
/// Maximum number of characters between two dots in the name of a host.
const MAX_LABEL_LENGTH: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a list is read entry by entry, that every wrong entry is stated, and that an empty entry is wrong.
    #[test]
    fn every_wrong_entry_of_a_list_is_stated() {
        let read = |text: &str| {
            list(text, "a digit", "give digits", |part| match part {
                "x" => Err(String::new()),
                part => part.parse::<u8>().map_err(|_| "no number".to_owned()),
            })
        };
        assert_eq!((read(""), read(" "), read("1, 2")), (Ok(vec![]), Ok(vec![]), Ok(vec![1, 2])));
        assert_eq!(read(",").unwrap_err(), "entry 1 is empty; entry 2 is empty: give digits");
        let text = "\"x\" is not a digit; \"y\" is not a digit (no number); entry 4 is empty: give digits";
        assert_eq!(read("x,1,y,").unwrap_err(), text);
        let many = read(&vec!["x"; 20].join(",")).unwrap_err();
        assert!(many.ends_with("; 4 more entries are wrong: give digits"), "{many}");
        assert_eq!(many.matches("\"x\"").count(), MAX_SHOWN_ENTRIES);
    }

    /// Proves which names of hosts are accepted, and that the reason names the wrong part.
    #[test]
    fn names_of_hosts_are_those_of_rfc_1123() {
        let label = "a".repeat(63);
        let long = [label.as_str(); 4].join(".");
        for right in
            ["a", "redis-1", "3com.example", "Hooks.Internal.", "10.0.0.7", "1.a", &long[..253], "0xy"]
        {
            assert_eq!(check_host_name(right), Ok(()), "{right}");
        }
        for (wrong, reason) in [
            ("", "missing"),
            (".", "missing"),
            ("a..b", "empty part"),
            (".a", "empty part"),
            ("a..", "empty part"),
            ("-a.b", "\"-a\" must consist"),
            ("a.b-", "\"b-\" must consist"),
            ("my_host", "\"my_host\" must consist"),
            ("hööks", "\"hööks\" must consist"),
            ("a b", "must consist"),
            ("*", "must consist"),
            ("127.1", "IPv4"),
            ("10.0.0.256", "IPv4"),
            ("1.2.3.4.5", "IPv4"),
            ("010.0.0.7", "IPv4"),
            ("0x7f", "IPv4"),
            ("0x", "IPv4"),
            (&format!("{label}a"), "more than 63"),
            (&long, "has 255 characters"),
        ] {
            let found = check_host_name(wrong).unwrap_err();
            assert!(found.contains(reason), "{wrong}: {found}");
        }
    }

    #[test]
    fn a_bounded_number_is_refused_with_its_bounds() {
        assert_eq!("5".parse::<Bounded<1, 9>>().unwrap().get(), 5);
        assert_eq!("0".parse::<Bounded<1, 9>>().unwrap_err(), "must be a whole number from 1 to 9, not 0");
        assert_eq!("x".parse::<Bounded<1, 9>>().unwrap_err(), "must be a whole number from 1 to 9, not x");
    }
}

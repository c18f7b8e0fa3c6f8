//! Types of values that several topics use. Every source is checked with the same rules.

use std::{fmt, str::FromStr, time::Duration};

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

/// Returns the parts of a list that is separated by commas.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_is_refused_with_its_bounds() {
        assert_eq!("5".parse::<Bounded<1, 9>>().unwrap().get(), 5);
        assert_eq!("0".parse::<Bounded<1, 9>>().unwrap_err(), "must be a whole number from 1 to 9, not 0");
        assert_eq!("x".parse::<Bounded<1, 9>>().unwrap_err(), "must be a whole number from 1 to 9, not x");
    }
}

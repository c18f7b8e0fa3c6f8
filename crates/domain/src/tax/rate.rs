//! Rates as exact decimals.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{problem::quoted, text::RawText};

/// A rate in percent, from 0 to 100 with up to 4 decimals. In JSON, it is a decimal string: `"8.875"` is 8.875 %.
///
/// A rate is stored as a number of millionths, so that arithmetic is exact. It is never a floating-point number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

/// The text is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a percentage from \"0\" to \"100\" with at most {} decimals, written as a decimal string such as \
     \"8.875\", not {}",
    Rate::DECIMALS, quoted(.0)
)]
pub struct RateError(String);

impl Rate {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// 100 %.
    pub const WHOLE: Self = Self(1_000_000);
    /// Maximum number of decimals of the percentage.
    pub const DECIMALS: usize = 4;
    /// Number of millionths in one percent.
    const PERCENT: u32 = 10_000;

    /// Returns the rate that a decimal string states: digits, and after a point up to 4 decimals.
    pub fn new(text: &str) -> Result<Self, RateError> {
        Self::parse(text).ok_or_else(|| RateError(text.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) =
            text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let is_number = |digits: &str, max: usize| {
            (1..=max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 3) || decimals.is_some_and(|decimals| !is_number(decimals, Self::DECIMALS)) {
            return None;
        }
        let decimals = format!("{:0<width$}", decimals.unwrap_or_default(), width = Self::DECIMALS);
        let millionths = whole.parse::<u32>().ok()? * Self::PERCENT + decimals.parse::<u32>().ok()?;
        (millionths <= Self::WHOLE.0).then_some(Self(millionths))
    }

    /// Returns the rate of this many basis points; `None` above 100 %.
    pub const fn from_basis_points(basis_points: u32) -> Option<Self> {
        match basis_points.checked_mul(Self::PERCENT / 100) {
            Some(millionths) if millionths <= Self::WHOLE.0 => Some(Self(millionths)),
            _ => None,
        }
    }

    /// Returns the number of millionths: 10,000 for 1 %.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Returns whether the rate is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Rate {
    /// Writes the percentage without trailing zeros: `8.875`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / Self::PERCENT, self.0 % Self::PERCENT);
        if rest == 0 {
            return write!(formatter, "{whole}");
        }
        let decimals = format!("{rest:0width$}", width = Self::DECIMALS);
        write!(formatter, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&RawText::<'de>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_decimal_strings_are_rates() {
        for (text, millionths) in [
            ("0", 0),
            ("8.875", 88_750),
            ("9.975", 99_750),
            ("0.0001", 1),
            ("100", 1_000_000),
            ("007.50", 75_000),
        ] {
            assert_eq!(Rate::new(text), Ok(Rate(millionths)), "{text}");
        }
        for text in [
            "", ".", ".5", "5.", "-1", "+1", "1e1", "1_0", "1,5", " 1", "8.87500", "100.0001", "1000", "٣",
            "1.2.3",
        ] {
            let error = Rate::new(text).unwrap_err().to_string();
            assert!(error.contains("at most 4 decimals") && error.contains(&quoted(text)), "{error}");
        }
        assert!(serde_json::from_str::<Rate>("8.875").is_err(), "a JSON number may be a float");
    }

    #[test]
    fn basis_points_are_hundredths_of_a_percent() {
        assert_eq!(Rate::from_basis_points(887), Some(Rate::new("8.87").unwrap()));
        assert_eq!(Rate::from_basis_points(10_000), Some(Rate::WHOLE));
        assert_eq!(Rate::from_basis_points(10_001), None);
        assert_eq!(Rate::from_basis_points(u32::MAX), None);
    }

    proptest! {
        /// Proves that each rate survives its text, and that its text has no trailing zeros.
        #[test]
        fn a_rate_survives_its_text(millionths in 0_u32..=1_000_000) {
            let text = Rate(millionths).to_string();
            prop_assert_eq!(Rate::new(&text), Ok(Rate(millionths)));
            prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']), "{}", text);
        }
    }
}

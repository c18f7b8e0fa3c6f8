//! Money in whole minor units (cents, paise) of an ISO 4217 currency. No fractions, no floats.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::MAX_AMOUNT;

/// An amount of money in minor units, from 0 to [`MAX_AMOUNT`]. The order states the currency once, for all its
/// amounts.
///
/// Arithmetic is checked: a result out of range is an [`AmountError`] and never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Amount(i64);

/// The amount, or the result of an operation, is below zero or above [`MAX_AMOUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount must be from 0 to {MAX_AMOUNT} minor units")]
pub struct AmountError;

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// The largest amount: [`MAX_AMOUNT`] minor units.
    pub const MAX: Self = Self(MAX_AMOUNT);

    /// Returns the amount of this many minor units.
    pub const fn from_minor(minor: i64) -> Result<Self, AmountError> {
        if minor >= 0 && minor <= MAX_AMOUNT { Ok(Self(minor)) } else { Err(AmountError) }
    }

    /// Returns the number of minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// Returns whether the amount is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) const fn is_nothing(&self) -> bool {
        self.is_zero()
    }

    /// Returns the sum of the two amounts.
    pub const fn plus(self, other: Self) -> Result<Self, AmountError> {
        Self::from_minor(self.0 + other.0) // Two amounts in range cannot wrap an i64.
    }

    /// Returns the difference, or an error if `other` is larger.
    pub const fn minus(self, other: Self) -> Result<Self, AmountError> {
        Self::from_minor(self.0 - other.0)
    }

    /// Returns this amount multiplied by `count`.
    pub const fn times(self, count: u32) -> Result<Self, AmountError> {
        match self.0.checked_mul(count as i64) {
            Some(minor) => Self::from_minor(minor),
            None => Err(AmountError),
        }
    }

    /// Returns `rate` basis points of this amount, rounded half up to a whole minor unit.
    pub const fn basis_points(self, rate: u32) -> Result<Self, AmountError> {
        /// Number of basis points in the whole.
        const WHOLE: i64 = 10_000;
        match self.0.checked_mul(rate as i64) {
            Some(product) => Self::from_minor((product + WHOLE / 2) / WHOLE),
            None => Err(AmountError),
        }
    }

    /// Returns the sum of all amounts, or the error of the first step that is out of range.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, AmountError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_minor(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A currency of ISO 4217, represented by its three-letter code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Returns the currency with this code, for example `GBP`. Codes are upper case.
    pub fn from_code(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code).map(Self)
    }

    /// Returns the three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Returns the number of digits after the decimal point: 2 for GBP, 0 for JPY. `None` for units that have no
    /// subdivision, such as gold.
    pub fn minor_digits(self) -> Option<u16> {
        self.0.exponent()
    }

    /// Returns the amount in a form for people: `£12.50`, `¥1200`.
    pub fn display(self, amount: Amount) -> impl fmt::Display {
        let digits = u32::from(self.minor_digits().unwrap_or(0));
        let unit = 10_i64.pow(digits);
        let symbol = self.0.symbol();
        let (whole, rest) = (amount.minor() / unit, amount.minor() % unit);
        if digits == 0 {
            format!("{symbol}{whole}")
        } else {
            format!("{symbol}{whole}.{rest:0width$}", width = digits as usize)
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// An amount with its currency, for use outside an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Money {
    /// The amount.
    pub amount: Amount,
    /// Its currency.
    pub currency: Currency,
}

impl Money {
    /// Returns the amount if it is in this currency.
    pub fn amount_in(self, currency: Currency) -> Option<Amount> {
        (self.currency == currency).then_some(self.amount)
    }
}

impl fmt::Display for Money {
    /// Writes the amount with its unit: `1250 minor units of GBP`. Without the unit, an admin reads 1250 pounds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} minor units of {}", self.amount.minor(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(minor: i64) -> Amount {
        Amount::from_minor(minor).unwrap()
    }

    #[test]
    fn money_is_written_with_its_unit() {
        let money = Money { amount: amount(610), currency: Currency::from_code("GBP").unwrap() };
        assert_eq!(money.to_string(), "610 minor units of GBP");
    }

    #[test]
    fn leaving_the_range_is_an_error_not_a_wrap() {
        assert_eq!(Amount::from_minor(-1), Err(AmountError));
        assert_eq!(Amount::from_minor(MAX_AMOUNT + 1), Err(AmountError));
        assert_eq!(amount(MAX_AMOUNT).plus(amount(1)), Err(AmountError));
        assert_eq!(amount(1).minus(amount(2)), Err(AmountError));
        assert_eq!(amount(MAX_AMOUNT).times(u32::MAX), Err(AmountError));
        assert_eq!(amount(MAX_AMOUNT).basis_points(u32::MAX), Err(AmountError));
        assert_eq!(Amount::sum([amount(MAX_AMOUNT), amount(MAX_AMOUNT)]), Err(AmountError));
        assert!(serde_json::from_str::<Amount>("-1").is_err());
        assert!(serde_json::from_str::<Amount>("1.5").is_err());
    }

    #[test]
    fn a_share_is_rounded_half_up() {
        for (minor, rate, share) in
            [(0, 2_000, 0), (1, 4_999, 0), (1, 5_000, 1), (10, 1_250, 1), (999, 2_000, 200), (10_000, 1, 1)]
        {
            assert_eq!(amount(minor).basis_points(rate), Ok(amount(share)), "{rate} of {minor}");
        }
    }

    #[test]
    fn amounts_are_displayed_as_people_write_them() {
        for (code, minor, text) in [
            ("GBP", 1_250, "£12.50"),
            ("JPY", 1_200, "¥1200"),
            ("INR", 5, "₹0.05"),
            ("KWD", 1_234, "د.ك1.234"),
        ] {
            assert_eq!(Currency::from_code(code).unwrap().display(amount(minor)).to_string(), text);
        }
        assert_eq!(Currency::from_code("gbp"), None);
        assert_eq!(Currency::from_code("XYZ"), None);
    }
}

//! Amounts in the units that Stripe counts in.
//!
//! They are the minor units of ISO 4217, as Dabba's own are, with these exceptions ("Supported currencies",
//! docs.stripe.com/currencies):
//!
//! | currency | ISO 4217 | Stripe |
//! |---|---|---|
//! | ISK | no minor unit | counts in hundredths, which have to be whole krónur |
//! | MGA | hundredths | counts in whole ariary |
//! | UGX | no minor unit | stands in the list of currencies without a minor unit, and among the special cases that count in hundredths: refused, as one of them is wrong by a factor of 100 |
//! | BHD, JOD, KWD, OMR, TND and others in thousandths | thousandths | the same, in multiples of ten |
//!
//! An amount that Stripe cannot be told exactly is refused, never rounded.

use dabba_domain::{Amount, Currency};
use dabba_engine::GatewayError;

/// Hundredths of a whole unit, in the currencies for which Stripe and ISO 4217 differ.
const HUNDREDTHS: i64 = 100;

/// Amounts in thousandths have to be a multiple of this.
const THOUSANDTHS_STEP: i64 = 10;

/// The amount in Stripe's units. [`GatewayError::Refused`] where there is no such amount.
pub(super) fn units(amount: Amount, currency: Currency) -> Result<i64, GatewayError> {
    let minor = amount.minor();
    let units = match (currency.code(), currency.minor_digits()) {
        ("UGX", _) => return Err(refused(currency, "it is not certain in which unit it counts them")),
        ("ISK", _) => minor.checked_mul(HUNDREDTHS),
        ("MGA", _) => (minor % HUNDREDTHS == 0).then_some(minor / HUNDREDTHS),
        (_, Some(0 | 2)) => Some(minor),
        (_, Some(3)) => (minor % THOUSANDTHS_STEP == 0).then_some(minor),
        _ => return Err(refused(currency, "it does not know the currency")),
    };
    units.ok_or_else(|| refused(currency, &format!("it cannot be told {minor} minor units exactly")))
}

fn refused(currency: Currency, reason: &str) -> GatewayError {
    GatewayError::Refused(format!("Stripe takes no such amount in {currency}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, minor: i64) -> Option<i64> {
        units(Amount::from_minor(minor).unwrap(), Currency::from_code(code).unwrap()).ok()
    }

    #[test]
    fn amounts_are_in_the_units_of_stripe() {
        let rows = [
            ("GBP", 1_250, Some(1_250)),
            ("INR", 5, Some(5)),
            ("HUF", 1_045, Some(1_045)),
            ("TWD", 80_045, Some(80_045)),
            ("ISK", 5, Some(500)),
            ("MGA", 500, Some(5)),
            ("MGA", 501, None),
            ("UGX", 5, None),
            ("KWD", 5_120, Some(5_120)),
            ("KWD", 5_124, None),
            ("TND", 10, Some(10)),
            ("XAU", 1, None),
            ("CLF", 1, None),
        ];
        for (code, minor, expected) in rows {
            assert_eq!(of(code, minor), expected, "{minor} {code}");
        }
    }

    /// Stripe's list of currencies without a minor unit, less MGA and UGX.
    #[test]
    fn currencies_without_a_minor_unit_are_the_same_ones() {
        for code in
            ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
        {
            assert_eq!(Currency::from_code(code).unwrap().minor_digits(), Some(0), "{code}");
            assert_eq!(of(code, 1_201), Some(1_201), "{code}");
        }
    }
}

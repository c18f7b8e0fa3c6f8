//! Conversion of amounts to the units that Stripe uses, and the amounts that Stripe accepts.
//!
//! Stripe's units are the minor units of ISO 4217, as Dabba's are, with these exceptions ("Supported
//! currencies", docs.stripe.com/currencies):
//!
//! | currency | ISO 4217 | Stripe |
//! |---|---|---|
//! | ISK, UGX | no minor unit | hundredths, which must be whole units |
//! | MGA | hundredths | whole ariary |
//! | BHD, JOD, KWD, OMR, TND | thousandths | thousandths, in multiples of ten |
//!
//! HUF and TWD are whole units only in payouts; payments and refunds use hundredths.
//!
//! The minimum of a payment is Stripe's documented minimum for the currency. If Stripe documents none, the
//! minimum depends on the exchange rate of the day. Dabba then accepts every amount, and Stripe declines an
//! amount that is too small. The maximum of a card payment is the documented twelve digits of Stripe's units.
//! A card network may have a lower maximum.

use std::num::NonZeroU32;

use dabba_domain::{Amount, Currency, Money};
use dabba_engine::{AmountNotAccepted, AmountRules};

/// Number of hundredths in a whole unit, for the currencies for which Stripe and ISO 4217 differ.
const HUNDREDTHS: i64 = 100;

/// Amounts in thousandths must be a multiple of this number.
const THOUSANDTHS_STEP: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Amounts in hundredths of an ariary must be a multiple of this number.
const ARIARY_STEP: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Maximum of a card payment, in Stripe's units: twelve digits.
const MAXIMUM_UNITS: i64 = 999_999_999_999;

/// The currencies in which Stripe accepts cards.
const CURRENCIES: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
    "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY", "COP",
    "CRC", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GIP",
    "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "ISK", "JMD", "JOD", "JPY",
    "KES", "KGS", "KHR", "KMF", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL",
    "MGA", "MKD", "MMK", "MNT", "MOP", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK",
    "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF",
    "SAR", "SBD", "SCR", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "STN", "SZL", "THB", "TJS", "TND", "TOP",
    "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS", "VND", "VUV", "WST", "XAF", "XCD", "XCG",
    "XOF", "XPF", "YER", "ZAR", "ZMW",
];

/// The minimum of a payment per currency, in minor units of ISO 4217.
const MINIMUMS: &[(&str, i64)] = &[
    ("AED", 200),
    ("ARS", 50),
    ("AUD", 50),
    ("BGN", 100),
    ("BRL", 50),
    ("CAD", 50),
    ("CHF", 50),
    ("COP", 50),
    ("CZK", 1_500),
    ("DKK", 250),
    ("EUR", 50),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("IDR", 50),
    ("ILS", 50),
    ("INR", 50),
    ("JPY", 50),
    ("KRW", 50),
    ("MXN", 1_000),
    ("MYR", 200),
    ("NOK", 300),
    ("NZD", 50),
    ("PHP", 50),
    ("PLN", 200),
    ("RON", 200),
    ("RUB", 50),
    ("SEK", 300),
    ("SGD", 50),
    ("THB", 1_000),
    ("USD", 50),
    ("ZAR", 50),
];

/// Returns the amounts that Stripe accepts in a currency; `None` if Stripe accepts no cards in this currency.
pub(super) fn rules(currency: Currency) -> Option<AmountRules> {
    let code = currency.code();
    if !CURRENCIES.contains(&code) {
        return None;
    }
    let multiple_of = match (code, currency.minor_digits()?) {
        ("MGA", _) => ARIARY_STEP,
        (_, 3) => THOUSANDTHS_STEP,
        _ => NonZeroU32::MIN,
    };
    let minimum = MINIMUMS.iter().find(|(of, _)| *of == code).map_or(1, |(_, minimum)| *minimum);
    let maximum = match code {
        "ISK" | "UGX" => Amount::from_minor(MAXIMUM_UNITS / HUNDREDTHS).ok()?,
        // Twelve digits of whole ariary exceed the maximum of `Amount`.
        "MGA" => Amount::MAX,
        _ => Amount::from_minor(MAXIMUM_UNITS).ok()?,
    };
    Some(AmountRules { minimum: Amount::from_minor(minimum).ok()?, maximum, multiple_of })
}

/// Converts an amount to Stripe's units. The error says why Stripe does not accept the amount. Amounts are
/// never rounded.
pub(super) fn units(amount: Amount, currency: Currency) -> Result<i64, String> {
    let checked = AmountNotAccepted::check_refund(amount, currency, rules(currency));
    checked.map_err(|refusal| refusal.to_string())?;
    let minor = amount.minor();
    let units = match currency.code() {
        "ISK" | "UGX" => minor.checked_mul(HUNDREDTHS),
        "MGA" => minor.checked_div(HUNDREDTHS),
        _ => Some(minor),
    };
    units.ok_or_else(|| format!("{minor} minor units of {currency} exceed the range of Stripe's units"))
}

/// Converts Stripe's units to an amount. `code` is the currency code in lower or upper case. Returns `None`
/// if there is no such currency or amount.
pub(super) fn money(units: i64, code: &str) -> Option<Money> {
    let currency = Currency::from_code(&code.to_ascii_uppercase())?;
    let minor = match currency.code() {
        "ISK" | "UGX" => (units % HUNDREDTHS == 0).then_some(units / HUNDREDTHS),
        "MGA" => units.checked_mul(HUNDREDTHS),
        _ => Some(units),
    };
    Some(Money { amount: Amount::from_minor(minor?).ok()?, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    fn of(code: &str, minor: i64) -> Option<i64> {
        units(Amount::from_minor(minor).unwrap(), currency(code)).ok()
    }

    #[test]
    fn amounts_are_converted_to_the_units_of_stripe() {
        let rows = [
            ("GBP", 1_250, Some(1_250)),
            ("INR", 5, Some(5)),
            ("HUF", 1_045, Some(1_045)),
            ("TWD", 80_045, Some(80_045)),
            ("ISK", 5, Some(500)),
            ("UGX", 5, Some(500)),
            ("MGA", 500, Some(5)),
            ("MGA", 501, None),
            ("KWD", 5_120, Some(5_120)),
            ("KWD", 5_124, None),
            ("TND", 10, Some(10)),
            ("BHD", 1_001, None),
            ("XAU", 1, None),
            ("CLF", 1, None),
            ("IQD", 1_000, None),
        ];
        for (code, minor, expected) in rows {
            assert_eq!(of(code, minor), expected, "{minor} {code}");
            if let Some(units) = expected {
                let back = money(units, &code.to_ascii_lowercase()).unwrap();
                assert_eq!((back.amount.minor(), back.currency), (minor, currency(code)));
            }
        }
        assert_eq!([money(1, "isk"), money(-1, "gbp"), money(1, "zzz")], [None; 3]);
    }

    /// Stripe's list of currencies without a minor unit, except MGA and UGX.
    #[test]
    fn stripe_and_iso_4217_agree_on_currencies_without_a_minor_unit() {
        for code in
            ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
        {
            assert_eq!(currency(code).minor_digits(), Some(0), "{code}");
            assert_eq!(of(code, 1_201), Some(1_201), "{code}");
        }
    }

    #[test]
    fn the_largest_payment_has_twelve_digits_in_the_units_of_stripe() {
        let rows = [
            ("USD", 999_999_999_999),
            ("JPY", 999_999_999_999),
            ("UGX", 9_999_999_999),
            ("ISK", 9_999_999_999),
            ("MGA", 1_000_000_000_000),
        ];
        for (code, maximum) in rows {
            let rules = rules(currency(code));
            assert_eq!(rules.unwrap().maximum.minor(), maximum, "{code}");
            let units = of(code, maximum).unwrap();
            assert!(units <= MAXIMUM_UNITS, "{code} {units}");
            let Ok(next) = Amount::from_minor(maximum + 1) else { continue };
            assert!(AmountNotAccepted::check_payment(next, currency(code), rules).is_err(), "{code}");
        }
    }

    #[test]
    fn every_listed_currency_exists_and_has_rules() {
        let (known, unknown): (Vec<_>, Vec<_>) =
            CURRENCIES.iter().copied().partition(|code| Currency::from_code(code).is_some());
        // ISO 4217 has withdrawn ANG, but Stripe still lists it.
        assert_eq!(unknown, ["ANG"]);
        assert!(known.iter().all(|code| rules(currency(code)).is_some()));
        for (code, minimum) in MINIMUMS {
            assert!(CURRENCIES.contains(code), "{code}");
            assert_eq!(rules(currency(code)).unwrap().minimum.minor(), *minimum, "{code}");
        }
        let three_digits =
            ["BHD", "JOD", "KWD", "OMR", "TND"].map(|code| rules(currency(code)).unwrap().multiple_of);
        assert_eq!(three_digits, [THOUSANDTHS_STEP; 5]);
        assert!(CURRENCIES.iter().all(|code| code.len() == 3) && CURRENCIES.is_sorted());
    }
}

//! Currencies and amounts that a payment provider accepts.
//!
//! Dabba checks these rules before it places an order and before it records a refund. An order that can never be paid
//! would hold stock until its payment deadline, and a refund that can never be made would stay open.

use std::{fmt, num::NonZeroU32};

use dabba_domain::{Amount, Currency};

/// Amounts that a payment provider accepts in one currency, in minor units of ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountRules {
    /// Minimum of a payment. A refund may be smaller.
    pub minimum: Amount,
    /// Maximum of a payment.
    pub maximum: Amount,
    /// Number of which payments and refunds must be multiples.
    pub multiple_of: NonZeroU32,
}

impl AmountRules {
    /// Returns rules with this minimum, the largest possible maximum, and multiples of 1.
    pub const fn from_minimum(minimum: Amount) -> Self {
        Self { minimum, maximum: Amount::MAX, multiple_of: NonZeroU32::MIN }
    }

    const fn is_multiple(&self, amount: Amount) -> bool {
        amount.minor() % (self.multiple_of.get() as i64) == 0
    }
}

/// Reason why a payment provider does not accept an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountNotAccepted {
    /// The amount.
    pub amount: Amount,
    /// Its currency.
    pub currency: Currency,
    /// Amounts that the provider accepts; `None` if it does not accept the currency.
    pub rules: Option<AmountRules>,
    /// Whether the amount is a refund. Payments have a minimum and a maximum, refunds have neither.
    pub is_refund: bool,
}

impl AmountNotAccepted {
    /// Checks a payment against a provider's rules for its currency.
    pub fn check_payment(amount: Amount, currency: Currency, rules: Option<AmountRules>) -> Result<(), Self> {
        Self { amount, currency, rules, is_refund: false }.check()
    }

    /// Checks a refund against a provider's rules for its currency.
    pub fn check_refund(amount: Amount, currency: Currency, rules: Option<AmountRules>) -> Result<(), Self> {
        Self { amount, currency, rules, is_refund: true }.check()
    }

    fn check(self) -> Result<(), Self> {
        let is_accepted = self.rules.is_some_and(|rules| {
            let is_in_range = (rules.minimum..=rules.maximum).contains(&self.amount);
            rules.is_multiple(self.amount) && (self.is_refund || is_in_range)
        });
        if is_accepted { Ok(()) } else { Err(self) }
    }
}

impl std::error::Error for AmountNotAccepted {}

impl fmt::Display for AmountNotAccepted {
    /// Names every limit that the amount violates, with the amount and the allowed values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amount, currency, rules, is_refund } = *self;
        let what = if is_refund { "refunds" } else { "payments by card" };
        let Some(rules) = rules else {
            return write!(formatter, "the payment provider does not accept {what} in {currency}");
        };
        let minor = amount.minor();
        write!(
            formatter,
            "the payment provider does not accept {minor} minor units of {currency}: {what} must be "
        )?;
        let too_small =
            (!is_refund && amount < rules.minimum).then(|| format!("at least {}", rules.minimum.minor()));
        let too_large =
            (!is_refund && amount > rules.maximum).then(|| format!("at most {}", rules.maximum.minor()));
        let no_multiple =
            (!rules.is_multiple(amount)).then(|| format!("a multiple of {}", rules.multiple_of));
        let limits: Vec<String> = [too_small, too_large, no_multiple].into_iter().flatten().collect();
        formatter.write_str(&limits.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAXIMUM: i64 = 10_000;

    fn rules(minimum: i64, multiple_of: u32) -> AmountRules {
        let multiple_of = NonZeroU32::new(multiple_of).unwrap();
        let [minimum, maximum] = [minimum, MAXIMUM].map(|minor| Amount::from_minor(minor).unwrap());
        AmountRules { minimum, maximum, multiple_of }
    }

    #[test]
    fn every_violated_limit_is_named_with_the_amount_and_the_allowed_values() {
        let rows = [
            (false, 50, Some(rules(50, 1)), None),
            (
                false,
                49,
                Some(rules(50, 1)),
                Some(
                    "the payment provider does not accept 49 minor units of KWD: payments by card must be at least 50",
                ),
            ),
            (true, 1, Some(rules(50, 1)), None),
            (true, 1_230, Some(rules(500, 10)), None),
            (
                true,
                1_234,
                Some(rules(500, 10)),
                Some(
                    "the payment provider does not accept 1234 minor units of KWD: refunds must be a multiple of 10",
                ),
            ),
            (
                false,
                7,
                Some(rules(500, 10)),
                Some(
                    "the payment provider does not accept 7 minor units of KWD: payments by card must be at least \
                     500 and a multiple of 10",
                ),
            ),
            (false, MAXIMUM, Some(rules(50, 10)), None),
            (
                false,
                MAXIMUM + 1,
                Some(rules(50, 10)),
                Some(
                    "the payment provider does not accept 10001 minor units of KWD: payments by card must be at most \
                     10000 and a multiple of 10",
                ),
            ),
            (true, MAXIMUM + 10, Some(rules(50, 10)), None),
            (false, 500, None, Some("the payment provider does not accept payments by card in KWD")),
            (true, 500, None, Some("the payment provider does not accept refunds in KWD")),
        ];
        let currency = Currency::from_code("KWD").unwrap();
        for (is_refund, minor, rules, expected) in rows {
            let amount = Amount::from_minor(minor).unwrap();
            let check =
                if is_refund { AmountNotAccepted::check_refund } else { AmountNotAccepted::check_payment };
            let checked = check(amount, currency, rules);
            let text = checked.err().map(|refusal| refusal.to_string());
            assert_eq!(text.as_deref(), expected, "{minor}");
        }
    }
}

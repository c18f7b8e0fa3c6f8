//! Taxes of a restaurant, and their amounts on the goods of an order.
//!
//! Rules:
//! - The **goods** are the parts of lines, the charges and the fees that taxes apply to. Each names its taxes.
//! - A tax that is **not included** is added to the price: rate × price.
//! - A tax that is included **in the net** price has its rate on the price without included taxes. If several such
//!   taxes share one price, each is price × rate / (1 + sum of the rates).
//! - A tax that is included **in the gross** price has its rate on the price itself: rate × price. If a price also
//!   includes taxes on the net, what is left after the taxes on the gross is their price.
//! - A tax with a threshold (`from`) applies if the goods that name it reach the threshold together.
//! - Each tax is **rounded once per order**, on the exact sum over all its goods, by the restaurant's rounding rule.
//! - The rounded amount is divided among the goods by the largest-remainder method, so that a refund of a line returns
//!   exactly the tax of the line.

mod assess;
mod rate;

use serde::{Deserialize, Serialize};

use crate::{
    Amount,
    limits::MAX_TAXES,
    text::{Name, Slug},
};

pub use assess::{Assessment, Good, assess};
pub use rate::{Rate, RateError};

/// A tax that a restaurant charges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Tax {
    /// Id, unique within the restaurant. Items, options, charges and fees name their taxes by it.
    pub id: Slug,
    /// Name of the tax, as receipts show it.
    pub name: Name,
    /// Authority that receives the tax.
    pub authority: Name,
    /// Rate in percent, with up to 4 decimals.
    pub rate: Rate,
    /// Whether prices include the tax. Default `no`.
    #[serde(default)]
    pub included: Inclusion,
    /// Sum of the goods that name the tax from which the tax applies. Absent: the tax always applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Amount>,
    /// Who pays the tax to the authority. Default `restaurant`.
    #[serde(default)]
    pub remitted_by: Remitter,
}

/// Whether prices include a tax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Inclusion {
    /// The tax is added to the price.
    #[default]
    No,
    /// Prices include the tax. The rate is on the price without included taxes.
    Net,
    /// Prices include the tax. The rate is on the price with included taxes.
    Gross,
}

impl Inclusion {
    /// Returns whether prices include the tax.
    pub const fn is_included(self) -> bool {
        !matches!(self, Self::No)
    }
}

/// Who pays a tax to its authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Remitter {
    /// The restaurant, so the tax is part of its payout.
    #[default]
    Restaurant,
    /// The platform, so the tax is not part of the restaurant's payout.
    Platform,
}

/// Rule by which a tax is rounded to a whole minor unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaxRounding {
    /// To the nearest minor unit; a half is rounded up.
    #[default]
    HalfUp,
    /// To the nearest minor unit; a half is rounded to the even one.
    HalfEven,
    /// Down to the minor unit.
    Down,
}

impl TaxRounding {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) const fn is_default(&self) -> bool {
        matches!(self, Self::HalfUp)
    }
}

/// A set of taxes of a restaurant, as positions in its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TaxSet(u32);

// Each tax of a restaurant has a bit.
const _: () = assert!(MAX_TAXES <= 32);

impl TaxSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Returns whether the set contains the tax at this position.
    pub const fn contains(self, position: usize) -> bool {
        self.0 >> position & 1 == 1
    }

    /// Returns the set with the tax at this position.
    #[must_use]
    pub const fn with(self, position: usize) -> Self {
        Self(self.0 | 1 << position)
    }
}

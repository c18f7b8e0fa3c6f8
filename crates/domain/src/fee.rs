//! Fees that a restaurant charges beside the goods of an order.
//!
//! A fee has an amount, a rate on the goods with bounds, or tiers by the distance of a delivery, and is charged if its
//! conditions are met. The fee of kind `delivery` is different: the terms of delivery state its amount, and its entry in the settings states only its name,
//! its taxes and its receiver.
//!
//! A fee is taxed by the taxes that it names, or like the goods: then it is divided over the different lists of taxes of
//! the goods, in proportion to the goods that have them.

use serde::{Deserialize, Serialize};

use crate::{
    Amount,
    money::AmountError,
    pricing::FulfilmentKind,
    share::portion,
    tax::Rate,
    text::{Name, Slug},
};

/// A fee that a restaurant charges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// Id, unique within the restaurant. The id of the fee for delivery is `delivery`.
    pub id: Slug,
    /// Name of the fee, as receipts show it.
    pub name: Name,
    /// Kind of fee.
    pub kind: FeeKind,
    /// Amount. Given instead of `rate` and `tiers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Rate on the subtotal. Given instead of `amount` and `tiers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Minimum amount of a fee with a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Amount>,
    /// Maximum amount of a fee with a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Amount>,
    /// Amounts by the distance of a delivery, in ascending order. Given instead of `amount` and `rate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<DistanceTier>,
    /// Conditions, which must all be met. Default: the fee is always charged.
    #[serde(default, skip_serializing_if = "FeeConditions::is_empty")]
    pub when: FeeConditions,
    /// Ids of the taxes on the fee. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Slug>,
    /// Whether the fee is taxed like the goods. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taxed_as_goods: bool,
    /// Who receives the fee, less the taxes that it includes. Default `platform`.
    #[serde(default)]
    pub receiver: FeeReceiver,
}

/// Kind of a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FeeKind {
    /// For the delivery.
    Delivery,
    /// For the service.
    Service,
    /// For a small order.
    SmallOrder,
    /// For packaging.
    Packaging,
    /// For the distance of a delivery.
    Distance,
    /// For something else, which the name states.
    Other,
}

/// Amount of a fee for deliveries from a distance on. The last tier whose distance a delivery reaches states the amount; a
/// delivery that reaches none has no such fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DistanceTier {
    /// Great-circle distance from the restaurant, in metres.
    pub from_metres: u32,
    /// Amount of the fee.
    pub amount: Amount,
}

/// Who receives a fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FeeReceiver {
    /// The restaurant.
    Restaurant,
    /// The platform.
    #[default]
    Platform,
    /// The courier. If the customer collects the order, the restaurant.
    Courier,
    /// An authority, for a levy that is no tax.
    Authority,
}

/// Conditions of a fee, which must all be met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FeeConditions {
    /// The order has this fulfilment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fulfilment: Option<FulfilmentKind>,
    /// The subtotal is at least this amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goods_from: Option<Amount>,
    /// The subtotal is below this amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goods_below: Option<Amount>,
    /// At least one line has a tax with a rate above zero, also if the line does not reach the threshold of the tax.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_line_taxed: bool,
}

impl FeeConditions {
    /// Returns whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether an order with these goods meets every condition.
    pub fn are_met(&self, fulfilment: FulfilmentKind, subtotal: Amount, is_any_line_taxed: bool) -> bool {
        self.fulfilment.is_none_or(|kind| kind == fulfilment)
            && self.goods_from.is_none_or(|from| subtotal >= from)
            && self.goods_below.is_none_or(|below| subtotal < below)
            && (is_any_line_taxed || !self.any_line_taxed)
    }
}

impl Fee {
    /// The id of the fee for delivery.
    pub const DELIVERY: &str = "delivery";

    /// Returns the amount of the fee on goods with this subtotal. A rate is rounded half up to a minor unit. `metres` is the
    /// distance of a delivery; without it, a fee with tiers is zero.
    ///
    /// # Errors
    ///
    /// The amount is out of range.
    pub fn amount_on(&self, subtotal: Amount, metres: Option<f64>) -> Result<Amount, AmountError> {
        if !self.tiers.is_empty() {
            return Ok(metres.map(|metres| self.amount_at(metres)).unwrap_or_default());
        }
        let Some(rate) = self.rate else { return Ok(self.amount.unwrap_or_default()) };
        let whole = i64::from(Rate::WHOLE.millionths());
        let share = portion(i64::from(rate.millionths()), subtotal.minor(), whole);
        let amount = Amount::from_minor(share)?.max(self.min.unwrap_or_default());
        Ok(self.max.map_or(amount, |max| amount.min(max)))
    }

    fn amount_at(&self, metres: f64) -> Amount {
        let reached = self.tiers.iter().take_while(|tier| f64::from(tier.from_metres) <= metres);
        reached.last().map(|tier| tier.amount).unwrap_or_default()
    }
}

//! The result of pricing: lines, fees, taxes and amounts, as an order keeps them.

use serde::{Deserialize, Serialize};

use crate::{
    Amount,
    fee::{FeeKind, FeeReceiver},
    menu::PriceBy,
    money::AmountError,
    tax::{Inclusion, Rate, Remitter, TaxRounding},
    text::{Name, Note, Slug},
};

/// A priced cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedCart {
    /// Lines, in the order of the cart.
    pub lines: Vec<OrderLine>,
    /// Fees.
    pub fees: Vec<OrderFee>,
    /// Taxes that apply to a line or a fee.
    pub taxes: Vec<OrderTax>,
    /// Amounts to be paid.
    pub amounts: Amounts,
}

/// A line as it was sold, with the names and prices at the time of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// The item's id in the menu.
    pub item: Slug,
    /// The item's name.
    pub name: Name,
    /// Quantity.
    pub quantity: u32,
    /// Price of one item with its options.
    pub unit_price: Amount,
    /// `unit_price` × `quantity`.
    pub total: Amount,
    /// Chosen options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OrderLineOption>,
    /// Note for the kitchen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Parts of the total that are taxed alike, with their taxes. Absent if no tax applies to the line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<TaxedPart>,
    /// Rules of the groups whose options are not all charged, for the auditor. The charged quantities of the options state
    /// their effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub rules: Vec<OptionRule>,
}

impl OrderLine {
    /// Returns the line's share of the tax with this id, in minor units.
    pub fn tax(&self, id: &Slug) -> i64 {
        let shares = self.parts.iter().flat_map(|part| &part.taxes).filter(|share| share.tax == *id);
        shares.map(|share| share.amount.minor()).sum()
    }
}

/// A part of a line or a fee that is taxed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaxedPart {
    /// Amount of the part, with the taxes that it includes.
    pub amount: Amount,
    /// The part's shares of the order's taxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<TaxShare>,
}

/// A share of a tax of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaxShare {
    /// Id of the tax.
    pub tax: Slug,
    /// Amount of the share.
    pub amount: Amount,
}

/// A fee of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderFee {
    /// Id of the fee.
    pub id: Slug,
    /// Name of the fee.
    pub name: Name,
    /// Kind of fee.
    pub kind: FeeKind,
    /// Amount, with the taxes that it includes.
    pub amount: Amount,
    /// Who receives the fee, less the taxes that it includes.
    pub receiver: FeeReceiver,
    /// Parts of the fee that are taxed alike, with their taxes. Absent if no tax applies to the fee.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<TaxedPart>,
}

/// A tax of an order. It is rounded once, on all parts of lines and fees that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderTax {
    /// Id of the tax.
    pub id: Slug,
    /// Name of the tax.
    pub name: Name,
    /// Authority that receives the tax.
    pub authority: Name,
    /// Rate in percent.
    pub rate: Rate,
    /// Whether prices include the tax.
    pub included: Inclusion,
    /// Who pays the tax to the authority.
    pub remitted_by: Remitter,
    /// Rule by which the tax was rounded.
    pub rounding: TaxRounding,
    /// Sum of the parts that have the tax, with the taxes that they include.
    pub base: Amount,
    /// Amount of the tax.
    pub amount: Amount,
}

/// An option as it was sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderLineOption {
    /// The group's id in the item.
    pub group: Slug,
    /// The option's id in the group.
    pub option: Slug,
    /// The option's name.
    pub name: Name,
    /// Price of one unit of the option.
    pub price: Amount,
    /// Quantity for one item. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 2, maximum = 99))]
    pub quantity: Option<u32>,
    /// Number of units for one item whose price is charged. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 98))]
    pub charged: Option<u32>,
}

impl OrderLineOption {
    /// Returns the quantity for one item.
    pub fn units(&self) -> u32 {
        self.quantity.unwrap_or(1)
    }

    /// Returns the number of units for one item whose price is charged.
    pub fn charged_units(&self) -> u32 {
        self.charged.unwrap_or_else(|| self.units())
    }
}

/// The rule by which the options of a group in a line were charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionRule {
    /// The group's id in the item.
    pub group: Slug,
    /// Number of units that are free.
    #[serde(default)]
    pub free: u32,
    /// Which units are charged.
    #[serde(default)]
    pub price_by: PriceBy,
}

/// Itemized amounts to be paid, in minor units of the order's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Amounts {
    /// Sum of the lines.
    pub subtotal: Amount,
    /// Sum of the taxes that are added to prices. Taxes that prices include are not part of it.
    pub tax: Amount,
    /// Fee for delivery.
    pub delivery_fee: Amount,
    /// Sum of the other fees. Absent if it is zero.
    #[serde(default, skip_serializing_if = "Amount::is_nothing")]
    pub other_fees: Amount,
    /// Tip for the courier or the staff.
    pub tip: Amount,
    /// Discount. No rule grants a discount yet, so it is always zero.
    pub discount: Amount,
    /// Total that the customer pays.
    pub total: Amount,
}

impl Amounts {
    /// Returns the total that results from the other amounts.
    pub fn sum(&self) -> Result<Amount, AmountError> {
        Amount::sum([self.subtotal, self.tax, self.delivery_fee, self.other_fees, self.tip])?
            .minus(self.discount)
    }
}

//! Taxes and fees in the settings of a restaurant: their validation, and the taxes in force.

use std::{borrow::Cow, collections::HashSet};

use super::{RestaurantSettings, SettingsDocument};
use crate::{
    Problems,
    fee::{Fee, FeeKind},
    limits::{MAX_FEE_TIERS, MAX_FEES, MAX_TAX_RATE_BASIS_POINTS, MAX_TAXES, MAX_TIER_METRES},
    pricing::FulfilmentKind,
    problem::whole_number,
    tax::{Inclusion, Rate, Remitter, Tax},
    text::{Name, Slug},
};

/// Id of the tax that `tax_rate_basis_points` stands for.
const SHORT_FORM: &str = "tax";

impl RestaurantSettings {
    /// Returns the taxes of the restaurant: `taxes`, or the one tax that `tax_rate_basis_points` stands for.
    pub fn taxes_in_force(&self) -> Cow<'_, [Tax]> {
        if self.taxes.is_empty() {
            short_form(self.tax_rate_basis_points).map_or(Cow::Borrowed(&[]), |tax| Cow::Owned(vec![tax]))
        } else {
            Cow::Borrowed(&self.taxes)
        }
    }

    /// Returns whether a fee depends on the distance of a delivery, so that its place must be known.
    pub fn charges_by_distance(&self) -> bool {
        self.fees.iter().any(|fee| !fee.tiers.is_empty())
    }
}

/// Returns the tax that a rate in basis points stands for; `None` for zero.
fn short_form(basis_points: u32) -> Option<Tax> {
    let rate = Rate::from_basis_points(basis_points).filter(|rate| !rate.is_zero())?;
    Some(Tax {
        id: Slug::from_stored(SHORT_FORM),
        name: Name::from_stored("Tax"),
        authority: Name::from_stored("Tax authority"),
        rate,
        included: Inclusion::No,
        from: None,
        remitted_by: Remitter::Restaurant,
    })
}

/// Adds every problem of the taxes and fees of a document.
pub(super) fn check(document: &SettingsDocument, problems: &mut Problems) {
    let taxes = check_taxes(document, problems);
    if let Some(named) = &document.default_taxes {
        check_named(named, &taxes, "/default_taxes", problems);
    }
    if document.fees.len() > MAX_FEES {
        problems.add("/fees", format!("must be at most {MAX_FEES}, not {}", document.fees.len()));
    }
    let mut seen = HashSet::new();
    for (index, fee) in document.fees.iter().take(MAX_FEES).enumerate() {
        let pointer = format!("/fees/{index}");
        if !seen.insert(&fee.id) {
            problems
                .add(format!("{pointer}/id"), format!("must be unique; another fee has the id {}", fee.id));
        }
        check_fee(fee, &taxes, &pointer, problems);
        check_tiers(fee, document.location.is_some(), &pointer, problems);
    }
}

/// Checks the taxes of a document, and returns their ids.
fn check_taxes(document: &SettingsDocument, problems: &mut Problems) -> HashSet<Slug> {
    let basis_points = document.tax_rate_basis_points;
    if basis_points > MAX_TAX_RATE_BASIS_POINTS {
        let allowed = whole_number(0, MAX_TAX_RATE_BASIS_POINTS);
        problems.add("/tax_rate_basis_points", format!("must be {allowed}, not {basis_points}"));
    } else if basis_points != 0 && !document.taxes.is_empty() {
        problems.add("/tax_rate_basis_points", "must be 0 or absent if `taxes` has entries");
    }
    if document.taxes.len() > MAX_TAXES {
        problems.add("/taxes", format!("must be at most {MAX_TAXES}, not {}", document.taxes.len()));
    }
    let mut ids = HashSet::new();
    for (index, tax) in document.taxes.iter().take(MAX_TAXES).enumerate() {
        if !ids.insert(tax.id.clone()) {
            let text = format!("must be unique; another tax has the id {}", tax.id);
            problems.add(format!("/taxes/{index}/id"), text);
        }
    }
    let on_gross = document.taxes.iter().filter(|tax| tax.included == Inclusion::Gross);
    let on_gross: u32 = on_gross.take(MAX_TAXES).map(|tax| tax.rate.millionths()).sum();
    if on_gross >= Rate::WHOLE.millionths() {
        problems.add("/taxes", "the rates that are included in the gross price must be below 100 together");
    }
    if document.taxes.is_empty() {
        ids.extend(short_form(basis_points).map(|tax| tax.id));
    }
    ids
}

fn check_fee(fee: &Fee, taxes: &HashSet<Slug>, pointer: &str, problems: &mut Problems) {
    let is_delivery = fee.kind == FeeKind::Delivery;
    if is_delivery != (fee.id.as_str() == Fee::DELIVERY) {
        let text = "the fee of kind delivery has the id delivery, and no other fee has it";
        problems.add(format!("{pointer}/id"), text);
    }
    let given = [
        ("amount", fee.amount.is_some()),
        ("rate", fee.rate.is_some()),
        ("min", fee.min.is_some()),
        ("max", fee.max.is_some()),
        ("tiers", !fee.tiers.is_empty()),
        ("when", !fee.when.is_empty()),
    ];
    if is_delivery {
        for (name, _) in given.iter().filter(|(_, is_given)| *is_given) {
            let text = "must be absent for a fee of kind delivery; `delivery` states when and how much it is";
            problems.add(format!("{pointer}/{name}"), text);
        }
    } else {
        let forms = given.iter().filter(|(name, _)| ["amount", "rate", "tiers"].contains(name));
        let forms: Vec<_> = forms.filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
        match forms[..] {
            [] => problems.add(pointer, "must have an `amount`, a `rate` or `tiers`"),
            [first, ref others @ ..] => {
                for other in others {
                    problems
                        .add(format!("{pointer}/{other}"), format!("must be absent if `{first}` is given"));
                }
            }
        }
        for (name, is_given) in [("min", fee.min.is_some()), ("max", fee.max.is_some())] {
            if is_given && fee.rate.is_none() {
                problems.add(format!("{pointer}/{name}"), "must be absent without a `rate`");
            }
        }
        if let (Some(min), Some(max)) = (fee.min, fee.max)
            && min > max
        {
            problems.add(format!("{pointer}/min"), format!("must not be above max ({})", max.minor()));
        }
        if let (Some(from), Some(below)) = (fee.when.goods_from, fee.when.goods_below)
            && from >= below
        {
            let text = format!("must be below goods_below ({})", below.minor());
            problems.add(format!("{pointer}/when/goods_from"), text);
        }
    }
    check_named(&fee.taxes, taxes, &format!("{pointer}/taxes"), problems);
    if fee.taxed_as_goods && !fee.taxes.is_empty() {
        problems.add(format!("{pointer}/taxes"), "must be empty or absent if `taxed_as_goods` is true");
    }
}

/// Checks that a fee has tiers if it is one for the distance, and that they ascend. `is_located`: the restaurant has a location.
fn check_tiers(fee: &Fee, is_located: bool, pointer: &str, problems: &mut Problems) {
    let is_of_distance = fee.kind == FeeKind::Distance;
    let pointer = format!("{pointer}/tiers");
    if fee.tiers.is_empty() {
        if is_of_distance {
            problems.add(pointer, "must not be empty for a fee of kind distance");
        }
        return;
    }
    if !is_of_distance && fee.kind != FeeKind::Delivery {
        problems.add(&*pointer, "must be empty or absent unless the fee is of kind distance");
    }
    if !is_located {
        problems
            .add(&*pointer, "needs the `location` of the restaurant, from which the distance is measured");
    }
    if fee.when.fulfilment == Some(FulfilmentKind::Collection) {
        problems.add(&*pointer, "must be empty or absent for a fee on collection, which has no distance");
    }
    if fee.tiers.len() > MAX_FEE_TIERS {
        problems.add(&*pointer, format!("must be at most {MAX_FEE_TIERS}, not {}", fee.tiers.len()));
    }
    let mut before: Option<u32> = None;
    for (index, tier) in fee.tiers.iter().take(MAX_FEE_TIERS).enumerate() {
        let pointer = format!("{pointer}/{index}/from_metres");
        if tier.from_metres > MAX_TIER_METRES {
            let allowed = whole_number(0, MAX_TIER_METRES);
            problems.add(&*pointer, format!("must be {allowed}, not {}", tier.from_metres));
        }
        if let Some(before) = before.filter(|before| *before >= tier.from_metres) {
            problems.add(&*pointer, format!("must be above that of the tier before ({before})"));
        }
        before = Some(tier.from_metres);
    }
}

/// Checks that every id in a list is the id of a tax, and that none is in the list twice.
fn check_named(named: &[Slug], taxes: &HashSet<Slug>, pointer: &str, problems: &mut Problems) {
    if named.len() > MAX_TAXES {
        return problems.add(pointer, format!("must be at most {MAX_TAXES}, not {}", named.len()));
    }
    let mut seen = HashSet::new();
    for (index, id) in named.iter().enumerate() {
        if !taxes.contains(id) {
            problems.add(format!("{pointer}/{index}"), format!("the restaurant has no tax {id}"));
        } else if !seen.insert(id) {
            problems.add(format!("{pointer}/{index}"), format!("must not name {id} twice"));
        }
    }
}

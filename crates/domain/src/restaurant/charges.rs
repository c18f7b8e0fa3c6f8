//! Taxes and fees in the settings of a restaurant: their validation, and the taxes in force.

use std::{borrow::Cow, collections::HashSet};

use super::{RestaurantSettings, SettingsDocument};
use crate::{
    Problems,
    fee::{Fee, FeeKind},
    limits::{MAX_FEES, MAX_TAX_RATE_BASIS_POINTS, MAX_TAXES},
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
        ("when", !fee.when.is_empty()),
    ];
    if is_delivery {
        for (name, _) in given.iter().filter(|(_, is_given)| *is_given) {
            let text = "must be absent for a fee of kind delivery; `delivery` states when and how much it is";
            problems.add(format!("{pointer}/{name}"), text);
        }
    } else {
        match (fee.amount, fee.rate) {
            (Some(_), Some(_)) => {
                problems.add(format!("{pointer}/rate"), "must be absent if `amount` is given");
            }
            (None, None) => problems.add(pointer, "must have an `amount` or a `rate`"),
            _ => {}
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

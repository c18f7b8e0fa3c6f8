//! The lines of a cart: their options, prices and taxes.

use std::collections::HashSet;

use super::{CartLine, OrderLine, OrderLineOption, terms::TaxTerms, totals::Charged};
use crate::{
    Amount, Problems,
    limits::{MAX_CHOSEN_OPTIONS, MAX_QUANTITY},
    menu::{MenuItem, MenuOption, OptionGroup},
    money::AmountError,
    problem::whole_number,
    tax::{Good, TaxSet},
};

/// Prices a line, and returns it with its goods.
pub(super) fn price_line(
    terms: &TaxTerms<'_>,
    item: &MenuItem,
    line: &CartLine,
    pointer: &str,
    problems: &mut Problems,
) -> Option<Charged<OrderLine>> {
    if line.quantity == 0 || line.quantity > MAX_QUANTITY {
        let text = format!("must be {}, not {}", whole_number(1, MAX_QUANTITY), line.quantity);
        problems.add(format!("{pointer}/quantity"), text);
    }
    let item_pointer = format!("{pointer}/item");
    let of_item = terms.named(item.taxes.as_deref(), terms.default(), &item_pointer, problems);
    let mut priced = vec![(item.price_minor, of_item)];
    let mut options = Vec::with_capacity(line.options.len());
    for (pointer, group, option) in choose_options(item, line, pointer, problems) {
        priced.push((option.price_minor, terms.named(option.taxes.as_deref(), of_item, &pointer, problems)));
        options.push(OrderLineOption {
            group: group.id.clone(),
            option: option.id.clone(),
            name: option.name.clone(),
            price: option.price_minor,
        });
    }
    let unit_price = problems.check(pointer, Amount::sum(priced.iter().map(|(price, _)| *price)))?;
    let total = problems.check(pointer, unit_price.times(line.quantity))?;
    let goods = problems.check(pointer, goods(&priced, line.quantity))?;
    let line = OrderLine {
        item: item.id.clone(),
        name: item.name.clone(),
        quantity: line.quantity,
        unit_price,
        total,
        options,
        note: line.note.clone(),
        parts: Vec::new(),
    };
    Some(Charged { charge: line, goods })
}

/// Returns the sums of the prices that are taxed alike, in the order of their first prices. A sum of zero is left out
/// unless it is the only one.
fn goods(priced: &[(Amount, TaxSet)], quantity: u32) -> Result<Vec<Good>, AmountError> {
    let mut goods: Vec<Good> = Vec::with_capacity(1);
    for (price, taxes) in priced {
        let amount = price.times(quantity)?;
        match goods.iter_mut().find(|good| good.taxes == *taxes) {
            Some(good) => good.amount = good.amount.plus(amount)?,
            None => goods.push(Good { amount, taxes: *taxes }),
        }
    }
    if goods.iter().any(|good| !good.amount.is_zero()) {
        goods.retain(|good| !good.amount.is_zero());
    } else {
        goods.truncate(1);
    }
    Ok(goods)
}

/// Returns the chosen options with their pointers, and checks the minimum and maximum of each group.
fn choose_options<'a>(
    item: &'a MenuItem,
    line: &CartLine,
    pointer: &str,
    problems: &mut Problems,
) -> Vec<(String, &'a OptionGroup, &'a MenuOption)> {
    let pointer = format!("{pointer}/options");
    if line.options.len() > MAX_CHOSEN_OPTIONS {
        problems.add(pointer, format!("must be at most {MAX_CHOSEN_OPTIONS} options"));
        return Vec::new();
    }
    let mut seen = HashSet::with_capacity(line.options.len());
    let mut chosen = Vec::with_capacity(line.options.len());
    for (index, choice) in line.options.iter().enumerate() {
        let Some(group) = item.group(choice.group.as_str()) else {
            problems.add(
                format!("{pointer}/{index}/group"),
                format!("{} has no group {}", item.id, choice.group),
            );
            continue;
        };
        let Some(option) = group.option(choice.option.as_str()) else {
            problems.add(
                format!("{pointer}/{index}/option"),
                format!("{} has no option {}", group.id, choice.option),
            );
            continue;
        };
        if !seen.insert(choice) {
            problems.add(format!("{pointer}/{index}"), format!("{} must not be chosen twice", option.id));
            continue;
        }
        chosen.push((format!("{pointer}/{index}/option"), group, option));
    }
    for group in &item.option_groups {
        let count = chosen.iter().filter(|(_, chosen, _)| chosen.id == group.id).count();
        check_group(group, count, &pointer, problems);
    }
    chosen
}

fn check_group(group: &OptionGroup, count: usize, pointer: &str, problems: &mut Problems) {
    let OptionGroup { id, min, max, .. } = group;
    if count < usize::try_from(*min).unwrap_or(usize::MAX) {
        problems.add(pointer, format!("{id} needs at least {min}, not {count}"));
    } else if count > usize::try_from(*max).unwrap_or(usize::MAX) {
        problems.add(pointer, format!("{id} allows at most {max}, not {count}"));
    }
}

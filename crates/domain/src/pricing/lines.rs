//! The lines of a cart: their options, prices and taxes.

use std::collections::HashSet;

use super::{CartLine, OptionRule, OrderLine, OrderLineOption, terms::TaxTerms, totals::Charged};
use crate::{
    Amount, Problems,
    limits::{MAX_CHOSEN_OPTIONS, MAX_QUANTITY},
    menu::{MenuItem, MenuOption, OptionGroup, PriceBy},
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
    for Chosen { pointer, group, option, quantity, charged } in choose_options(item, line, pointer, problems)
    {
        let price = problems.check(pointer.as_str(), option.price_minor.times(charged))?;
        priced.push((price, terms.named(option.taxes.as_deref(), of_item, &pointer, problems)));
        options.push(OrderLineOption {
            group: group.id.clone(),
            option: option.id.clone(),
            name: option.name.clone(),
            price: option.price_minor,
            quantity: (quantity != 1).then_some(quantity),
            charged: (charged != quantity).then_some(charged),
        });
    }
    let has_rule = |group: &&OptionGroup| {
        (group.free > 0 || !group.price_by.is_sum()) && options.iter().any(|option| option.group == group.id)
    };
    let rules = item.option_groups.iter().filter(has_rule).map(|group| OptionRule {
        group: group.id.clone(),
        free: group.free,
        price_by: group.price_by,
    });
    let rules = rules.collect();
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
        rules,
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

/// An option that a line chooses.
struct Chosen<'a> {
    pointer: String,
    group: &'a OptionGroup,
    option: &'a MenuOption,
    /// Quantity for one item.
    quantity: u32,
    /// Number of units for one item whose price is charged.
    charged: u32,
}

/// Returns the chosen options with their pointers, and checks the quantities in each group.
fn choose_options<'a>(
    item: &'a MenuItem,
    line: &CartLine,
    pointer: &str,
    problems: &mut Problems,
) -> Vec<Chosen<'a>> {
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
        if !seen.insert((&choice.group, &choice.option)) {
            problems.add(format!("{pointer}/{index}"), format!("{} must not be chosen twice", option.id));
            continue;
        }
        let (quantity, max) = (choice.quantity, group.max_per_option);
        if quantity == 0 || quantity > max {
            let allowed = if max == 1 { "1".to_owned() } else { whole_number(1, max) };
            let text = format!("must be {allowed} in {}, not {quantity}", group.id);
            problems.add(format!("{pointer}/{index}/quantity"), text);
            continue;
        }
        let pointer = format!("{pointer}/{index}/option");
        chosen.push(Chosen { pointer, group, option, quantity, charged: quantity });
    }
    for group in &item.option_groups {
        let of_group = chosen.iter().filter(|chosen| chosen.group.id == group.id);
        let count = of_group.fold(0, |count: u32, chosen| count.saturating_add(chosen.quantity));
        check_group(group, count, &pointer, problems);
        charge(group, &mut chosen);
    }
    chosen
}

fn check_group(group: &OptionGroup, count: u32, pointer: &str, problems: &mut Problems) {
    let OptionGroup { id, min, max, .. } = group;
    if count < *min {
        problems.add(pointer, format!("{id} needs at least {min}, not {count}"));
    } else if count > *max {
        problems.add(pointer, format!("{id} allows at most {max}, not {count}"));
    }
}

/// Sets the charged units of the chosen options of a group. The order of choice makes no difference.
fn charge(group: &OptionGroup, chosen: &mut [Chosen<'_>]) {
    if group.free == 0 && group.price_by.is_sum() {
        return;
    }
    let place = |option: &MenuOption| group.options.iter().position(|other| other.id == option.id);
    let mut of_group: Vec<_> = chosen.iter_mut().filter(|chosen| chosen.group.id == group.id).collect();
    of_group.sort_by_key(|chosen| place(chosen.option));
    match group.price_by {
        PriceBy::Sum => {
            // The sort is stable, so equally cheap options stay in the order of the menu.
            of_group.sort_by_key(|chosen| chosen.option.price_minor);
            let mut free = group.free;
            for chosen in of_group {
                let of_option = free.min(chosen.quantity);
                chosen.charged = chosen.quantity - of_option;
                free -= of_option;
            }
        }
        PriceBy::Highest => {
            of_group.sort_by_key(|chosen| std::cmp::Reverse(chosen.option.price_minor));
            for (index, chosen) in of_group.into_iter().enumerate() {
                chosen.charged = u32::from(index == 0);
            }
        }
    }
}

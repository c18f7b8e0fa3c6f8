//! The taxes that items and options of a menu name.

use std::collections::HashSet;

use super::{Menu, validation::check_count};
use crate::{
    Problems,
    limits::MAX_TAXES,
    restaurant::RestaurantSettings,
    tax::{Remitter, Tax},
    text::Slug,
};

/// Checks a list of ids of taxes, and adds every problem below `pointer`.
pub(super) fn named(ids: Option<&[String]>, pointer: &str, problems: &mut Problems) -> Option<Vec<Slug>> {
    let ids = ids?;
    check_count(problems, pointer, ids.len(), MAX_TAXES);
    let mut named = Vec::with_capacity(ids.len().min(MAX_TAXES));
    for (index, id) in ids.iter().take(MAX_TAXES).enumerate() {
        let pointer = format!("{pointer}/{index}");
        let Some(id) = problems.check(pointer.as_str(), Slug::new(id)) else { continue };
        if named.contains(&id) {
            problems.add(pointer, format!("must not name {id} twice"));
        } else {
            named.push(id);
        }
    }
    Some(named)
}

impl Menu {
    /// Checks that the restaurant has every tax that an item or an option names. Lists every unknown tax with its place
    /// in the menu.
    pub fn check_taxes(&self, settings: &RestaurantSettings) -> Result<(), Problems> {
        let taxes = settings.taxes_in_force();
        let known: HashSet<&str> = taxes.iter().map(|tax| tax.id.as_str()).collect();
        let mut problems = Problems::new();
        for (pointer, named) in self.named_taxes() {
            for (index, id) in named.iter().enumerate().filter(|(_, id)| !known.contains(id.as_str())) {
                problems.add(format!("{pointer}/taxes/{index}"), format!("the restaurant has no tax {id}"));
            }
        }
        problems.into_result()
    }

    /// Checks that settings which replace the restaurant's keep every tax that an item or an option names. Lists every
    /// missing tax once.
    pub fn check_settings(&self, settings: &RestaurantSettings) -> Result<(), Problems> {
        let taxes = settings.taxes_in_force();
        let mut known: HashSet<&str> = taxes.iter().map(|tax| tax.id.as_str()).collect();
        let mut problems = Problems::new();
        for (pointer, named) in self.named_taxes() {
            for id in named {
                if known.insert(id.as_str()) {
                    problems
                        .add("/taxes", format!("must contain {id}, because the menu names it at {pointer}"));
                }
            }
        }
        problems.into_result()
    }

    /// Checks a menu of staff, who must not leave out a tax that the platform pays to its authority: each list that an item
    /// or an option names must contain those of the restaurant's default taxes. An entry may keep the list that it has on
    /// the current menu. Lists every list that lacks a tax.
    pub fn check_remitted(&self, current: &Self, settings: &RestaurantSettings) -> Result<(), Problems> {
        let taxes = settings.taxes_in_force();
        let is_default = |tax: &&Tax| settings.default_taxes.as_ref().is_none_or(|ids| ids.contains(&tax.id));
        let by_platform = taxes.iter().filter(|tax| tax.remitted_by == Remitter::Platform).filter(is_default);
        let required: Vec<&Slug> = by_platform.map(|tax| &tax.id).collect();
        let mut problems = Problems::new();
        let mut check = |pointer: &str, named: Option<&Vec<Slug>>, before: Option<&Vec<Slug>>| {
            let lacking = named
                .filter(|_| named != before)
                .and_then(|named| required.iter().find(|id| !named.contains(id)));
            if let Some(id) = lacking {
                let text =
                    format!("must contain {id}; only an admin may leave out a tax that the platform remits");
                problems.add(format!("{pointer}/taxes"), text);
            }
        };
        for (category, content) in self.categories().iter().enumerate() {
            for (index, item) in content.items.iter().enumerate() {
                let pointer = format!("/categories/{category}/items/{index}");
                let old = current.item(item.id.as_str());
                check(&pointer, item.taxes.as_ref(), old.and_then(|old| old.taxes.as_ref()));
                for (number, group) in item.option_groups.iter().enumerate() {
                    let old = old.and_then(|old| old.group(group.id.as_str()));
                    for (option, content) in group.options.iter().enumerate() {
                        let old = old.and_then(|old| old.option(content.id.as_str()));
                        let pointer = format!("{pointer}/option_groups/{number}/options/{option}");
                        check(&pointer, content.taxes.as_ref(), old.and_then(|old| old.taxes.as_ref()));
                    }
                }
            }
        }
        problems.into_result()
    }

    /// Returns the lists of taxes in the menu, each with the place of its item or option.
    fn named_taxes(&self) -> impl Iterator<Item = (String, &[Slug])> {
        self.categories().iter().enumerate().flat_map(|(category, content)| {
            content.items.iter().enumerate().flat_map(move |(index, item)| {
                let pointer = format!("/categories/{category}/items/{index}");
                let groups = item.option_groups.iter().enumerate();
                let options = groups.flat_map({
                    let pointer = pointer.clone();
                    move |(group, content)| {
                        let pointer = format!("{pointer}/option_groups/{group}/options");
                        content.options.iter().enumerate().filter_map(move |(option, content)| {
                            Some((format!("{pointer}/{option}"), content.taxes.as_deref()?))
                        })
                    }
                });
                item.taxes.as_deref().map(|taxes| (pointer, taxes)).into_iter().chain(options)
            })
        })
    }
}

//! The taxes of a restaurant, found by their ids.

use std::borrow::Cow;

use crate::{
    Problems,
    restaurant::RestaurantSettings,
    tax::{Tax, TaxSet},
    text::Slug,
};

/// The taxes of a restaurant, and those of items that name none.
pub(super) struct TaxTerms<'a> {
    pub(super) taxes: Cow<'a, [Tax]>,
    default: TaxSet,
}

impl<'a> TaxTerms<'a> {
    pub(super) fn of(settings: &'a RestaurantSettings) -> Self {
        let mut terms = Self { taxes: settings.taxes_in_force(), default: TaxSet::EMPTY };
        let all = (0..terms.taxes.len()).fold(TaxSet::EMPTY, TaxSet::with);
        let named = settings.default_taxes.as_ref();
        // The validation of the settings refuses an unknown id.
        terms.default = named.map_or(all, |named| terms.find(named).unwrap_or(all));
        terms
    }

    /// Returns the taxes of an item or an option: those that it names, or `default`.
    pub(super) fn named(
        &self,
        named: Option<&[Slug]>,
        default: TaxSet,
        pointer: &str,
        problems: &mut Problems,
    ) -> TaxSet {
        let Some(named) = named else { return default };
        self.find(named).unwrap_or_else(|unknown| {
            // The engine checks menus and settings against each other. If both change at the same moment, an item may
            // still name a tax that was removed. Then nobody can order the item, because nobody knows its tax.
            problems
                .add(pointer, format!("cannot be ordered now, because the restaurant has no tax {unknown}"));
            default
        })
    }

    /// Returns the taxes of items that name none.
    pub(super) const fn default(&self) -> TaxSet {
        self.default
    }

    /// Returns the taxes with these ids, or an id that no tax has.
    pub(super) fn find<'b>(&self, ids: &'b [Slug]) -> Result<TaxSet, &'b Slug> {
        ids.iter().try_fold(TaxSet::EMPTY, |set, id| {
            self.taxes.iter().position(|tax| tax.id == *id).map(|position| set.with(position)).ok_or(id)
        })
    }
}

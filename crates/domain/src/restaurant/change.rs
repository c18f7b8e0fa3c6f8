//! Changes of a restaurant's settings: which settings only an admin may change, and which nobody.

use super::RestaurantSettings;
use crate::Problems;

/// Returns whether a setting differs between two versions of a restaurant's settings.
type Differs = fn(&RestaurantSettings, &RestaurantSettings) -> bool;

/// The settings that only an admin may change, by their names in a [`SettingsDocument`](super::SettingsDocument): with
/// them, staff could spend or take money that does not belong to the restaurant. The acceptance deadline is not among them: it
/// moves no money, has limits of its own, and a restaurant knows best how long it needs.
const ADMIN_ONLY: [(&str, Differs); 6] = [
    ("refund_limit", |from, to| from.refund_limit != to.refund_limit),
    ("tax_rate_basis_points", |from, to| from.tax_rate_basis_points != to.tax_rate_basis_points),
    ("taxes", |from, to| from.taxes != to.taxes),
    ("default_taxes", |from, to| from.default_taxes != to.default_taxes),
    ("tax_rounding", |from, to| from.tax_rounding != to.tax_rounding),
    ("fees", |from, to| from.fees != to.fees),
];

impl RestaurantSettings {
    /// Checks whether staff (or an admin, with `is_admin`) may change these settings to `to`. Nobody may change the
    /// currency.
    pub fn check_change(&self, to: &Self, is_admin: bool) -> Result<(), SettingsChangeError> {
        if self.currency != to.currency {
            // Every price on the menu would change its meaning.
            let text = format!("must be {}; a restaurant's currency never changes", self.currency);
            return Err(SettingsChangeError::Never(Problems::one("/currency", text)));
        }
        let mut problems = Problems::new();
        for (name, differs) in ADMIN_ONLY {
            if !is_admin && differs(self, to) {
                let text = "only an admin may change it; send the current value (an absent member means the default)";
                problems.add(format!("/{name}"), text);
            }
        }
        problems.into_result().map_err(SettingsChangeError::AdminOnly)
    }
}

/// Reason why a change of settings is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsChangeError {
    /// Nobody may change these settings.
    #[error("{0}")]
    Never(Problems),
    /// Only an admin may change these settings.
    #[error("{0}")]
    AdminOnly(Problems),
}

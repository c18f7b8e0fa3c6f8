//! A restaurant, as far as orders need it: its terms, its opening hours, its pause.
//!
//! | module | content |
//! |---|---|
//! | `stored` | [`Restaurant`] and [`RestaurantSettings`]: what the engine works with and stores keep |
//! | `document` | [`SettingsDocument`]: the settings as clients and files write them, not yet validated |
//! | `validation` | the way from document to settings, which lists every problem |
//! | `charges` | taxes and fees in the settings, and the taxes in force |
//! | `change` | the settings that only an admin may change, or nobody |
//! | `accepting` | whether the restaurant takes orders at a moment |
//! | `hours` | opening hours: from civil time to instants |
//! | `zones` | delivery zones: where the restaurant delivers, and on which terms |

mod accepting;
mod change;
mod charges;
mod document;
mod hours;
mod stored;
mod validation;
mod zones;

pub use accepting::NotAcceptingReason;
pub use change::SettingsChangeError;
pub use document::{DeliverySetting, SettingsDocument};
pub use hours::{ClockTime, Day, OpeningHours, OpeningInterval, Zone};
pub use stored::{
    DeliveryTerms, Location, Pause, PausedBy, PermanentClosure, Restaurant, RestaurantSettings, Revision,
};
pub use validation::{check_country, check_currency, check_time_zone};
pub use zones::{AreaDocument, AreaKind, Coordinates, DeliveryZone, Reach, ZoneArea, ZoneDocument};

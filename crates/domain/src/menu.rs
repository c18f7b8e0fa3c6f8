//! Menus: what a restaurant sells.
//!
//! | module | content |
//! |---|---|
//! | `stored` | [`Menu`]: the validated menu, which the engine works with and stores keep |
//! | `document` | [`MenuDocument`]: the menu as clients and files write it, not yet validated |
//! | `validation` | the way from document to menu, which lists every problem |
//! | `identity`, `name` | which entry of the current menu an entry of a document is, so that an id never passes to another entry |
//! | `generated_id` | the ids of new entries, and the ids that must not be generated again |
//! | `hours` | the hours in which items can be ordered |
//! | `taxes` | the taxes that items and options name |
//! | `facts` | allergens, diets, trade item numbers and images of items and options |
//! | `availability` | the unavailable items, stored beside the menu, and the unavailable options |

mod availability;
mod document;
mod facts;
mod generated_id;
mod hours;
mod identity;
mod name;
mod stored;
mod taxes;
mod validation;

pub use availability::{
    Availability, MarkEndError, UnavailableItem, UnavailableItems, UnavailableOption, check_end, later_end,
};
pub use document::{CategoryDocument, ItemDocument, MenuDocument, OptionDocument, OptionGroupDocument};
pub use facts::{Allergen, Diet, Gtin, GtinError, ImageUrl, ImageUrlError};
pub use hours::OutsideHours;
pub use name::searchable;
pub use stored::{Category, Menu, MenuItem, MenuOption, OptionGroup, PriceBy};

//! Menus: what a restaurant sells.
//!
//! | module | content |
//! |---|---|
//! | `stored` | [`Menu`]: the validated menu, which the engine works with and stores keep |
//! | `document` | [`MenuDocument`]: the menu as clients and files write it, not yet validated |
//! | `validation` | the way from document to menu, which lists every problem |
//! | `identity` | the ids of a document's entries, so that an id never passes to another entry |
//! | `availability` | the unavailable items, stored beside the menu |

mod availability;
mod document;
mod identity;
mod stored;
mod validation;

pub use availability::{Availability, MarkEndError, UnavailableItem, UnavailableItems, check_end, later_end};
pub use document::{CategoryDocument, ItemDocument, MenuDocument, OptionDocument, OptionGroupDocument};
pub use stored::{Category, Menu, MenuItem, MenuOption, OptionGroup};

//! Texts that earlier versions accepted.

use std::sync::Arc;

use dabba_domain::{
    Role,
    menu::Menu,
    order::{Command, Contact, RejectReason},
    text::{Name, Note, Phone, read_stored},
};
use serde_json::json;

use super::{
    builders::{World, menu, order_of, staff},
    history::commit_and_compare,
};
use crate::Store;

/// A text with content that input validation now refuses: line breaks in a name, direction controls, invisible characters,
/// another normal form.
const PAST: &str = "line one\nline two \u{202e}\u{200b}\u{feff} e\u{301} \r\n";

/// Stored texts that input validation now refuses are returned unchanged: of an order and its events, of a restaurant and its
/// menu, and of an account.
pub async fn texts_that_validation_now_refuses_are_read(store: Arc<dyn Store>) {
    let mut world = World::new(39);
    let (name, note) = (Name::from_stored(PAST), Note::from_stored(PAST));
    let mut restaurant = world.restaurant();
    restaurant.settings.name = name.clone();
    let mut document = serde_json::to_value(menu(&["naan"])).unwrap();
    document["categories"][0]["name"] = json!(PAST);
    document["categories"][0]["items"][0]["name"] = json!(PAST);
    document["categories"][0]["items"][0]["description"] = json!(PAST);
    document["categories"][0]["items"][0]["tags"] = json!([PAST]);
    let menu: Menu = read_stored(|| serde_json::from_value(document)).unwrap();
    assert!(store.create_restaurant(&restaurant, &menu).await.unwrap().is_created());
    let catalogue = store.catalogue(restaurant.id).await.unwrap().unwrap();
    assert_eq!((&catalogue.restaurant, &*catalogue.menu), (&restaurant, &menu));

    let mut account = world.account(Role::Customer);
    account.name = name.clone();
    store.create_account(&account).await.unwrap();
    assert_eq!(store.account(account.id).await.unwrap().as_ref(), Some(&account));

    let mut details = world.details(restaurant.id, account.id);
    details.restaurant_name = name.clone();
    let phone: Phone = read_stored(|| serde_json::from_value(json!(PAST))).unwrap();
    details.contact = Some(Contact { name: name.clone(), phone: Some(phone) });
    details.note = Some(note.clone());
    details.lines[0].name = name;
    details.lines[0].note = Some(note.clone());
    let address = json!({"type": "delivery", "address": {"line1": PAST, "city": PAST, "instructions": PAST}});
    details.fulfilment = read_stored(|| serde_json::from_value(address)).unwrap();
    let placed = world.place_with(details);
    let order = order_of(&placed);
    commit_and_compare(&store, placed).await;
    let reject = Command::Reject { reason: RejectReason::Other, note: Some(note), items: Vec::new() };
    let rejected = world.act(&order, &reject, &staff(&order));
    commit_and_compare(&store, rejected).await;
}

//! Hours of categories and items: tables for the rules, and a comparison with a clock that is read minute by minute.

use dabba_domain::{
    Timestamp,
    limits::MAX_MENU_HOURS,
    menu::{Menu, MenuDocument, OutsideHours, UnavailableItem},
    pricing::Cart,
    restaurant::Zone,
    text::Slug,
};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MINUTES_A_DAY: u32 = 24 * 60;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::from_name(name).unwrap()
}

fn menu(of_category: Option<Value>, of_item: Option<Value>) -> Menu {
    let mut item = json!({"id": "idli", "name": "Idli", "price_minor": 400});
    let mut category = json!({"name": "Breakfast", "items": []});
    if let Some(hours) = of_item {
        item["hours"] = hours;
    }
    if let Some(hours) = of_category {
        category["hours"] = hours;
    }
    category["items"] = json!([item, {"id": "tea", "name": "Tea", "price_minor": 100}]);
    serde_json::from_value::<MenuDocument>(json!({"categories": [category]})).unwrap().validate().unwrap()
}

fn checked(menu: &Menu, zone: &Zone, now: Timestamp) -> Result<(), OutsideHours> {
    menu.check_hours(menu.item("idli").unwrap(), zone, now)
}

#[test]
fn an_item_needs_the_hours_of_its_category_and_its_own() {
    let (london, monday) = (zone("Europe/London"), "monday");
    let of_category = json!([{"day": monday, "opens": "08:00", "closes": "12:00"}]);
    let of_item = json!([
        {"day": monday, "opens": "06:00", "closes": "09:00"}, {"day": monday, "opens": "11:00", "closes": "14:00"},
    ]);
    let menu = menu(Some(of_category), Some(of_item));
    let outside = |opens_at| Err(OutsideHours { opens_at: Some(at(opens_at)) });
    // In June, London is an hour ahead of UTC.
    for (now, expected) in [
        ("2026-06-01T06:59:59Z", outside("2026-06-01T07:00:00Z")),
        ("2026-06-01T07:00:00Z", Ok(())),
        ("2026-06-01T08:00:00Z", outside("2026-06-01T10:00:00Z")),
        ("2026-06-01T10:59:59Z", Ok(())),
        ("2026-06-01T11:00:00Z", outside("2026-06-08T07:00:00Z")),
    ] {
        assert_eq!(checked(&menu, &london, at(now)), expected, "{now}");
    }
    let lines = json!([{"item": "tea", "quantity": 1}, {"item": "idli", "quantity": 1}, {"item": "idli", "quantity": 2}]);
    let cart: Cart = serde_json::from_value(json!({"lines": lines, "fulfilment": "collection"})).unwrap();
    let unavailable = |item: &str| UnavailableItem {
        item: Slug::new(item).unwrap(),
        until: Some(at("2026-06-01T10:00:00Z")),
    };
    let outside = menu.outside_hours((&cart).into(), &london, at("2026-06-01T08:30:00Z"));
    assert_eq!(outside, [unavailable("idli")], "tea has the hours of the category only");
}

#[test]
fn hours_that_never_meet_have_no_opening() {
    let day = |day: &str| json!([{"day": day, "opens": "00:00", "closes": "00:00"}]);
    let menu = menu(Some(day("monday")), Some(day("thursday")));
    let now = at("2026-06-01T12:00:00Z");
    assert_eq!(checked(&menu, &zone("UTC"), now), Err(OutsideHours { opens_at: None }));
}

#[test]
fn a_menu_without_hours_never_changes() {
    let menu = menu(None, None);
    let now = at("2026-06-01T12:00:00Z");
    assert_eq!(checked(&menu, &zone("UTC"), now), Ok(()));
    assert_eq!(menu.hours_change_after(&zone("UTC"), now), None);
    assert!(!serde_json::to_string(&menu).unwrap().contains("hours"));
}

#[test]
fn hours_are_checked_and_survive_storage() {
    let monday = json!({"day": "monday", "opens": "08:00", "closes": "12:00"});
    let stored = menu(Some(json!([monday])), Some(json!(vec![monday.clone(); MAX_MENU_HOURS])));
    let read: Menu = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
    assert_eq!(read, stored);
    let document = json!({"categories": [{"name": "A", "hours": [], "items": [
        {"name": "Idli", "price_minor": 400, "hours": vec![monday; MAX_MENU_HOURS + 1]},
    ]}]});
    let problems = serde_json::from_value::<MenuDocument>(document).unwrap().validate().unwrap_err();
    let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/categories/0/hours", "/categories/0/items/0/hours"]);
}

/// Day of the week (Monday is 0), first and last minute of the day.
type Opening = (usize, u32, u32);

fn openings() -> impl Strategy<Value = Vec<Opening>> {
    proptest::collection::vec((0_usize..7, 0..MINUTES_A_DAY, 0..MINUTES_A_DAY), 1..5)
}

fn document(openings: &[Opening]) -> Value {
    let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    openings.iter().map(|(day, opens, closes)| json!({"day": DAYS[*day], "opens": clock(*opens), "closes": clock(*closes)})).collect()
}

/// Returns whether the openings include the minute of the week, in a zone without clock changes.
fn includes(openings: &[Opening], minute: u32) -> bool {
    let week = 7 * MINUTES_A_DAY;
    openings.iter().any(|(day, opens, closes)| {
        let start = u32::try_from(*day).unwrap() * MINUTES_A_DAY + opens;
        let length = if closes > opens { closes - opens } else { MINUTES_A_DAY + closes - opens };
        (minute + week - start) % week < length
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Proves that the first moment within both hours is that of a search minute by minute, and that nothing changes before the
    /// next change.
    #[test]
    fn hours_agree_with_a_clock(category in openings(), item in openings(), minute in 0..7 * MINUTES_A_DAY) {
        let menu = menu(Some(document(&category)), Some(document(&item)));
        let utc = zone("UTC");
        // A Monday.
        let week = at("2026-06-01T00:00:00Z");
        let now = week + SignedDuration::from_mins(i64::from(minute));
        let is_within = |minute: u32| {
            let minute = minute % (7 * MINUTES_A_DAY);
            includes(&category, minute) && includes(&item, minute)
        };
        let first = (minute..minute + 7 * MINUTES_A_DAY).find(|minute| is_within(*minute));
        let expected = match first {
            Some(first) if first == minute => Ok(()),
            first => Err(OutsideHours {
                opens_at: first.map(|first| week + SignedDuration::from_mins(i64::from(first))),
            }),
        };
        prop_assert_eq!(checked(&menu, &utc, now), expected);
        let change = menu.hours_change_after(&utc, now).unwrap();
        prop_assert!(change > now);
        let steady = u32::try_from(change.duration_since(now).as_mins()).unwrap();
        prop_assert!((minute..minute + steady).all(|other| is_within(other) == is_within(minute)));
    }
}

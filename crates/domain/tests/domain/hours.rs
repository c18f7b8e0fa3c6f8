//! Opening hours at clock changes, compared with a clock that is read minute by minute.

use dabba_domain::{
    Bucket, RestaurantId, Timestamp,
    restaurant::{NotAcceptingReason, Pause, Restaurant, SettingsDocument},
};
use jiff::{
    SignedDuration,
    civil::{DateTime, Time},
    tz::TimeZone,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Clock changes, each with its zone: back and forward, by an hour, half an hour and a whole day, across midnight, and
/// no change.
const CHANGES: &[(&str, &str)] = &[
    ("Europe/London", "2027-10-31T01:00:00Z"),
    ("Europe/London", "2027-03-28T01:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Africa/Casablanca", "2026-03-22T02:00:00Z"),
    // From 00:01 back to 23:01 of the previous day.
    ("America/St_Johns", "2010-11-07T02:31:00Z"),
    // From 00:00 to 01:00.
    ("Africa/Cairo", "2026-04-23T22:00:00Z"),
    ("UTC", "2026-06-01T00:00:00Z"),
];

const MINUTES_BEFORE: usize = 3 * 24 * 60;
const MINUTES_AFTER: usize = 2 * 24 * 60;
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Day of the week (Monday is 0), opening and closing minute of the day.
type Interval = (usize, u32, u32);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn restaurant(zone: &str, opening_hours: &Value) -> Restaurant {
    let document =
        json!({"name": "Tiffin", "currency": "GBP", "time_zone": zone, "opening_hours": opening_hours});
    let settings = serde_json::from_value::<SettingsDocument>(document).unwrap().validate().unwrap();
    let id = RestaurantId::generate(at("2026-01-01T00:00:00Z"), Bucket::from_random(7), 7);
    Restaurant { id, revision: 1, settings, pause: None, closed: None, created_at: id.created_at() }
}

/// Returns for each minute whether the restaurant is open. An opening begins when the clock first shows its start or a
/// later time, and ends when the clock first shows its end or a later time.
fn open_minutes(zone: &str, intervals: &[Interval], first_minute: Timestamp, minutes: usize) -> Vec<bool> {
    let zone = TimeZone::get(zone).unwrap();
    let clock: Vec<DateTime> = (0..minutes)
        .map(|minute| zone.to_datetime(first_minute + SignedDuration::from_mins(minute.try_into().unwrap())))
        .collect();
    let mut open = vec![false; minutes];
    let mut date = clock[0].date();
    while date <= clock[minutes - 1].date().tomorrow().unwrap() {
        for (day, opens, closes) in intervals {
            if usize::try_from(date.weekday().to_monday_zero_offset()).unwrap() != *day {
                continue;
            }
            let time = |minute: u32| {
                Time::new((minute / 60).try_into().unwrap(), (minute % 60).try_into().unwrap(), 0, 0).unwrap()
            };
            let end_date = if closes > opens { date } else { date.tomorrow().unwrap() };
            let first = |local: DateTime| clock.iter().position(|shown| *shown >= local).unwrap_or(minutes);
            let (begin, end) =
                (first(date.to_datetime(time(*opens))), first(end_date.to_datetime(time(*closes))));
            open[begin..end.max(begin)].fill(true);
        }
        date = date.tomorrow().unwrap();
    }
    open
}

fn intervals() -> impl Strategy<Value = Vec<Interval>> {
    // Quarters of an hour coincide with each other and with the changes more often than minutes do.
    let minute = || prop_oneof![(0_u32..96).prop_map(|quarter| quarter * 15), 0_u32..1440];
    let whole_day = (0_usize..7).prop_map(|day| (day, 0, 0));
    let interval = prop_oneof![4 => (0_usize..7, minute(), minute()), 1 => whole_day];
    prop::collection::vec(interval, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Proves that in every minute around a clock change the restaurant is open exactly when its clock says so, and
    /// that the announced opening is the first open minute without a pause.
    #[test]
    fn opening_hours_follow_the_local_clock(
        change in 0..CHANGES.len(), intervals in intervals(), pause in prop::option::of(1_u32..2_880),
    ) {
        let (zone, change) = CHANGES[change];
        let documents: Vec<Value> = intervals
            .iter()
            .map(|(day, opens, closes)| json!({"day": DAYS[*day], "opens": clock(*opens), "closes": clock(*closes)}))
            .collect();
        let mut restaurant = restaurant(zone, &json!(documents));
        let first_minute = at(change) - SignedDuration::from_mins(MINUTES_BEFORE.try_into().unwrap());
        let open = open_minutes(zone, &intervals, first_minute, MINUTES_BEFORE + MINUTES_AFTER);
        let moment = |minute: usize| first_minute + SignedDuration::from_mins(minute.try_into().unwrap());
        // Openings that began before the first minute are unknown. No opening lasts longer than a day and a clock
        // change.
        let every_minute = MINUTES_BEFORE - 3 * 60..MINUTES_BEFORE + 3 * 60;
        for minute in ((MINUTES_BEFORE - 24 * 60)..open.len()).filter(|minute| every_minute.contains(minute) || minute % 7 == 0) {
            let expected = (minute..open.len()).find(|minute| open[*minute]).map(moment);
            let now = moment(minute);
            match (restaurant.check_accepting(now), expected) {
                (Ok(()), _) => prop_assert_eq!(expected, Some(now), "open at {}", now),
                (Err(closed), Some(_)) => prop_assert_eq!(closed.opens_at(), expected, "closed at {}", now),
                (Err(closed), None) => {
                    let last = moment(open.len() - 1);
                    prop_assert!(closed.opens_at().is_none_or(|opens_at| opens_at > last), "closed at {}", now);
                }
            }
        }
        if let Some(minutes) = pause {
            let until = at(change) + SignedDuration::from_mins(i64::from(minutes) - 1_440);
            restaurant.pause = Some(Pause::by_person(Some(until)));
            let paused = restaurant.check_accepting(until - SignedDuration::from_mins(1)).unwrap_err();
            restaurant.pause = None;
            let then = restaurant.check_accepting(until);
            prop_assert_eq!(paused.opens_at(), then.map_or_else(|closed| closed.opens_at(), |()| Some(until)));
        }
    }
}

/// Proves that an opening does not reopen when clocks go back, and that no opening is announced in between.
#[test]
fn an_opening_is_one_interval_where_clocks_go_back() {
    // On 2027-10-31 clocks in London go back from 02:00 to 01:00, at 01:00Z.
    let hours = json!([{"day": "saturday", "opens": "20:00", "closes": "01:30"}]);
    let restaurant = restaurant("Europe/London", &hours);
    let closed = Err(NotAcceptingReason::Closed { opens_at: Some(at("2027-11-06T20:00:00Z")) });
    for (now, expected) in [
        (
            "2027-10-30T18:59:59Z",
            Err(NotAcceptingReason::Closed { opens_at: Some(at("2027-10-30T19:00:00Z")) }),
        ),
        ("2027-10-30T19:00:00Z", Ok(())),
        ("2027-10-31T00:29:59Z", Ok(())),
        ("2027-10-31T00:30:00Z", closed),
        // 01:00 and 01:29, the second time.
        ("2027-10-31T01:00:00Z", closed),
        ("2027-10-31T01:29:00Z", closed),
        ("2027-10-31T01:30:00Z", closed),
    ] {
        assert_eq!(restaurant.check_accepting(at(now)), expected, "{now}");
    }
}

/// Proves that an opening whose start is skipped opens at the change and is announced for that moment.
#[test]
fn an_opening_that_starts_in_the_gap_starts_when_the_gap_ends() {
    // On 2027-03-28 clocks in London go forward from 01:00 to 02:00, at 01:00Z.
    let hours = json!([{"day": "sunday", "opens": "01:30", "closes": "05:00"}]);
    let night = restaurant("Europe/London", &hours);
    let opens_at = Some(at("2027-03-28T01:00:00Z"));
    assert_eq!(
        night.check_accepting(at("2027-03-28T00:59:59Z")),
        Err(NotAcceptingReason::Closed { opens_at })
    );
    assert_eq!(night.check_accepting(at("2027-03-28T01:00:00Z")), Ok(()));
    // An opening that lies in the gap exists again a week later.
    let hours = json!([{"day": "sunday", "opens": "01:15", "closes": "01:45"}]);
    let skipped = restaurant("Europe/London", &hours);
    let opens_at = Some(at("2027-04-04T00:15:00Z"));
    for now in ["2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z"] {
        assert_eq!(skipped.check_accepting(at(now)), Err(NotAcceptingReason::Closed { opens_at }), "{now}");
    }
}

/// Proves that the announced opening is the first moment at which the restaurant is neither paused nor closed.
#[test]
fn a_pause_and_closed_hours_end_together() {
    let hours = json!([
        {"day": "monday", "opens": "11:00", "closes": "14:00"},
        {"day": "monday", "opens": "14:00", "closes": "22:00"},
        {"day": "tuesday", "opens": "00:00", "closes": "00:00"},
        {"day": "wednesday", "opens": "00:00", "closes": "00:00"},
    ]);
    let mut restaurant = restaurant("Europe/London", &hours);
    // 2026-06-01 is a Monday in British Summer Time, one hour ahead of UTC.
    for (now, until, opens_at) in [
        // The pause ends before the opening, at the opening, within an opening, where two openings adjoin, after the
        // closing time, at midnight between two whole days, and after the last opening of the week.
        ("2026-06-01T06:00:00Z", "2026-06-01T08:00:00Z", "2026-06-01T10:00:00Z"),
        ("2026-06-01T06:00:00Z", "2026-06-01T10:00:00Z", "2026-06-01T10:00:00Z"),
        ("2026-06-01T06:00:00Z", "2026-06-01T11:30:00Z", "2026-06-01T11:30:00Z"),
        ("2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z", "2026-06-01T13:00:00Z"),
        ("2026-06-01T20:00:00Z", "2026-06-01T21:30:00Z", "2026-06-01T23:00:00Z"),
        ("2026-06-02T12:00:00Z", "2026-06-02T23:00:00Z", "2026-06-02T23:00:00Z"),
        ("2026-06-03T12:00:00Z", "2026-06-03T23:00:00Z", "2026-06-08T10:00:00Z"),
    ] {
        let (until, opens_at) = (Some(at(until)), Some(at(opens_at)));
        restaurant.pause = Some(Pause::by_person(until));
        assert_eq!(
            restaurant.check_accepting(at(now)),
            Err(NotAcceptingReason::Paused { until, opens_at }),
            "at {now}, paused until {until:?}"
        );
    }
    restaurant.pause = Some(Pause::by_person(None));
    assert_eq!(
        restaurant.check_accepting(at("2026-06-01T06:00:00Z")),
        Err(NotAcceptingReason::Paused { until: None, opens_at: None })
    );
}

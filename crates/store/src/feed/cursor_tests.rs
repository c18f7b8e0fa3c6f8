use proptest::prelude::*;

use super::*;
use crate::feed::old_cursor::digest_of;

const ONE: Incarnation = Incarnation::new(1);
const TWO: Incarnation = Incarnation::new(2);

const fn at(transaction: u64, sequence: u64) -> FeedPosition {
    FeedPosition { transaction, sequence }
}

const P: FeedPosition = at(740, 17);

/// A shard with its name and the shard that it was split from; empty for none.
type Shard = (&'static str, &'static str);

fn sources(shards: &[Shard]) -> Vec<FeedSource> {
    let source = |(name, parent): &Shard| FeedSource {
        name: (*name).to_owned(),
        split_from: (!parent.is_empty()).then(|| (*parent).to_owned()),
    };
    shards.iter().map(source).collect()
}

const fn end(incarnation: Incarnation) -> FeedEnd {
    FeedEnd { incarnation, position: at(1_000, 100) }
}

fn cursor(entries: &[(&str, Incarnation, FeedPosition)]) -> FeedCursor {
    let mut cursor = FeedCursor::default();
    for (name, incarnation, position) in entries {
        cursor.set(name, *incarnation, *position);
    }
    cursor
}

fn any_cursor() -> impl Strategy<Value = FeedCursor> {
    let entry = ("[a-z0-9_-]{1,63}", proptest::option::of(any::<u64>()), any::<u64>(), any::<u64>());
    proptest::collection::vec(entry, 0..FeedCursor::MAX_ENTRIES).prop_map(|entries| {
        let entry = |(name, incarnation, transaction, sequence): (String, Option<u64>, u64, u64)| {
            (
                name,
                Entry { incarnation: incarnation.map(Incarnation::new), position: at(transaction, sequence) },
            )
        };
        FeedCursor { content: Content::Named(entries.into_iter().map(entry).collect()) }
    })
}

proptest! {
    /// Proves that parsing a written cursor returns the cursor, and that the text needs no escape in a URL.
    #[test]
    fn parsing_a_written_cursor_returns_it(cursor in any_cursor()) {
        let text = cursor.to_string();
        prop_assert_eq!(FeedCursor::parse(&text), Ok(cursor));
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
    }

    /// Proves that a text that no version wrote is refused, and that parsing never panics.
    #[test]
    fn any_other_text_is_refused(text in ".{0,40}") {
        prop_assume!(!text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && text != "r2");
        prop_assert_eq!(FeedCursor::parse(&text), Err(FeedCursorError));
    }

    /// Proves that a changed character makes either no cursor or another cursor, and never a second text of the same
    /// cursor.
    #[test]
    fn a_cursor_has_one_text(
        cursor in any_cursor(),
        place: prop::sample::Index,
        byte in prop::sample::select(b"0123456789abcdef.-~_+ ".to_vec()),
    ) {
        let text = cursor.to_string();
        let mut changed = text.clone().into_bytes();
        changed[place.index(text.len())] = byte;
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(parsed) = FeedCursor::parse(&changed) {
            prop_assert_eq!(parsed == cursor, changed == text);
        }
    }

    /// Proves that a resolved position is never after the position that applies, so that no event is skipped: it is the
    /// shard's own position, or that of the shard from which it was split.
    #[test]
    fn resolving_never_skips(own in proptest::option::of((1_u64..3, 0_u64..2_000)), parent in proptest::option::of((1_u64..3, 0_u64..2_000)), is_up: bool) {
        let mut entries = Vec::new();
        entries.extend(own.map(|(incarnation, transaction)| ("b", Incarnation::new(incarnation), at(transaction, 1))));
        entries.extend(parent.map(|(incarnation, transaction)| ("a", Incarnation::new(incarnation), at(transaction, 1))));
        let ends = [Some(end(ONE)), is_up.then_some(end(ONE))];
        if let Ok(positions) = cursor(&entries).resolve(&sources(&[("a", ""), ("b", "a")]), &ends) {
            let (incarnation, transaction) = own.or(parent).unwrap();
            prop_assert_eq!(positions[1].is_some(), is_up);
            if let Some(position) = positions[1] {
                prop_assert_eq!((incarnation, position), (1, at(transaction, 1)));
            }
        }
    }
}

/// Proves that the text is the documented one, and that texts which differ from a written cursor are refused.
#[test]
fn malformed_cursors_are_refused() {
    let written = "r2~north.0000000000000001.740-17~south.any.0-0";
    let mut expected = cursor(&[("north", ONE, at(740, 17))]);
    let Content::Named(entries) = &mut expected.content else { panic!("a new cursor has entries") };
    entries.insert("south".to_owned(), Entry { incarnation: None, position: FeedPosition::START });
    assert_eq!(expected.to_string(), written);
    assert_eq!(FeedCursor::parse(written), Ok(expected));
    for text in [
        "",
        "r2~",
        "r3~north.0000000000000001.740-17",
        "r2north.0000000000000001.740-17",
        "r2~north.0000000000000001.740-17~",
        "r2~north.0000000000000001.740",
        "r2~north.0000000000000001.740-17-1",
        "r2~north.0000000000000001.740-17.1",
        "r2~north.0000000000000001.0740-17",
        "r2~north.0000000000000001.+740-17",
        "r2~north.0000000000000001.740-18446744073709551616",
        "r2~north.000000000000001.740-17",
        "r2~north.000000000000000A.740-17",
        "r2~North.0000000000000001.740-17",
        "r2~.0000000000000001.740-17",
        "r2~south.any.0-0~north.any.0-0",
        "r2~north.any.0-0~north.any.0-0",
        "0",
        "017",
        "+17",
        "1-0",
        "0-1",
        "1-1-1",
        "r1.00000007.1.0-2-12 ",
        "r1.7.1.0-2-12",
        "r1.00000007.2.0-2-12",
        "r1.00000007.01.0-2-12",
        "r1.00000007.1.0-02-12",
        "r1.00000007.1.0-3-12",
        "r1.00000007.1.0-2-1x",
        "r1.00000007.1.1-é0-",
        "r1.00000007.1.18446744073709551615-2-12",
        "r1.00000007.0.",
    ] {
        assert_eq!(FeedCursor::parse(text), Err(FeedCursorError), "{text}");
    }
    let entry = |number: usize| format!("~s{number:03}.any.0-0");
    let text = |count: usize| format!("r2{}", (0..count).map(entry).collect::<String>());
    assert!(FeedCursor::parse(&text(FeedCursor::MAX_ENTRIES)).is_ok());
    assert_eq!(FeedCursor::parse(&text(FeedCursor::MAX_ENTRIES + 1)), Err(FeedCursorError));
}

/// A change of the map or of a database, and its effect on a cursor.
struct Case {
    name: &'static str,
    cursor: &'static str,
    /// The shards, each with `<` and the shard that it was split from.
    shards: &'static str,
    /// The incarnation of each shard; `-` for a shard that does not answer.
    ends: &'static str,
    /// The positions, or why the cursor is void.
    resolved: &'static str,
    /// The cursor afterwards.
    afterwards: &'static str,
}

const CHANGES: &[Case] = &[
    Case {
        name: "nothing changed",
        cursor: "r2~a.0000000000000001.740-17~b.0000000000000002.812-3",
        shards: "b<a a",
        ends: "2 1",
        resolved: "812-3 740-17",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000002.812-3",
    },
    Case {
        name: "a split: the new shard inherits",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "a b<a",
        ends: "1 1",
        resolved: "740-17 740-17",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.740-17",
    },
    Case {
        name: "a split: the new shard does not answer, and keeps what it inherits",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "a b<a",
        ends: "1 -",
        resolved: "740-17 -",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.740-17",
    },
    Case {
        name: "a second split, of the new shard, which the cursor knows",
        cursor: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
        shards: "a b<a c<b",
        ends: "1 1 1",
        resolved: "740-17 812-3 812-3",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3~c.0000000000000001.812-3",
    },
    Case {
        name: "two splits at once",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "c<b b<a a",
        ends: "1 1 1",
        resolved: "740-17 740-17 740-17",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.740-17~c.0000000000000001.740-17",
    },
    Case {
        name: "a rename: the old name is a former shard",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "north<a",
        ends: "1",
        resolved: "740-17",
        afterwards: "r2~a.0000000000000001.740-17~north.0000000000000001.740-17",
    },
    Case {
        name: "a rename without split_from",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "north",
        ends: "1",
        resolved: "no position in north",
        afterwards: "r2~a.0000000000000001.740-17",
    },
    Case {
        name: "a restore",
        cursor: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
        shards: "a b<a",
        ends: "1 2",
        resolved: "other incarnation of b",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
    },
    Case {
        name: "a restore of a shard that was read from its start only",
        cursor: "r2~a.0000000000000001.0-0",
        shards: "a",
        ends: "2",
        resolved: "0-0",
        afterwards: "r2~a.0000000000000001.0-0",
    },
    Case {
        name: "a restored shard does not answer: unknown until it does",
        cursor: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
        shards: "a b<a",
        ends: "1 -",
        resolved: "740-17 -",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
    },
    Case {
        name: "the parent was replaced before the split",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "a b<a",
        ends: "- 2",
        resolved: "other incarnation of b",
        afterwards: "r2~a.0000000000000001.740-17",
    },
    Case {
        name: "a new unrelated shard",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "a z",
        ends: "1 2",
        resolved: "no position in z",
        afterwards: "r2~a.0000000000000001.740-17",
    },
    Case {
        name: "a new unrelated shard that does not answer",
        cursor: "r2~a.0000000000000001.740-17",
        shards: "a z",
        ends: "1 -",
        resolved: "no position in z",
        afterwards: "r2~a.0000000000000001.740-17",
    },
    Case {
        name: "a shard that left the map: its entry stays for servers with the old map",
        cursor: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
        shards: "a",
        ends: "1",
        resolved: "740-17",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.812-3",
    },
    Case {
        name: "a single database becomes two shards with other names",
        cursor: "r2~main.0000000000000001.740-17",
        shards: "a b",
        ends: "1 1",
        resolved: "740-17 740-17",
        afterwards: "r2~a.0000000000000001.740-17~b.0000000000000001.740-17~main.0000000000000001.740-17",
    },
    Case {
        name: "a single database becomes a shard beside an unrelated one",
        cursor: "r2~main.0000000000000001.740-17",
        shards: "a b",
        ends: "1 2",
        resolved: "other incarnation of b",
        afterwards: "r2~main.0000000000000001.740-17",
    },
    Case {
        name: "an entry main beside others belongs to the shard main only",
        cursor: "r2~a.0000000000000001.740-17~main.0000000000000001.740-17",
        shards: "a b",
        ends: "1 1",
        resolved: "no position in b",
        afterwards: "r2~a.0000000000000001.740-17~main.0000000000000001.740-17",
    },
    Case {
        name: "a position beyond the end",
        cursor: "r2~a.0000000000000001.1000-101",
        shards: "a",
        ends: "1",
        resolved: "unknown position in a",
        afterwards: "r2~a.0000000000000001.1000-101",
    },
    Case {
        name: "the position at the end",
        cursor: "r2~a.0000000000000001.1000-100",
        shards: "a",
        ends: "1",
        resolved: "1000-100",
        afterwards: "r2~a.0000000000000001.1000-100",
    },
    Case {
        name: "an old cursor of a single database",
        cursor: "740-17",
        shards: "main",
        ends: "1",
        resolved: "740-17",
        afterwards: "r2~main.0000000000000001.740-17",
    },
    Case {
        name: "an old cursor of a single database that was split",
        cursor: "740-17",
        shards: "main b<main",
        ends: "1 1",
        resolved: "740-17 740-17",
        afterwards: "r2~b.0000000000000001.740-17~main.0000000000000001.740-17",
    },
    Case {
        name: "an old cursor of a single database, in a map that does not name its database",
        cursor: "740-17",
        shards: "a b",
        ends: "1 1",
        resolved: "no position in a",
        afterwards: "r2~main.any.740-17",
    },
    Case {
        name: "an old cursor of the embedded store, after a copy to PostgreSQL",
        cursor: "17",
        shards: "main",
        ends: "1",
        resolved: "unknown position in main",
        afterwards: "r2~main.any.0-17",
    },
    Case {
        name: "a cursor without entries",
        cursor: "r2",
        shards: "a",
        ends: "1",
        resolved: "no position in a",
        afterwards: "r2",
    },
    Case {
        name: "a list of sources with a cycle",
        cursor: "r2~z.0000000000000001.740-17",
        shards: "a<b b<a",
        ends: "1 1",
        resolved: "no position in a",
        afterwards: "r2~z.0000000000000001.740-17",
    },
];

/// Returns the shards, their ends, and what resolving a cursor returned, in the notation of [`Case`].
fn resolved(cursor: &mut FeedCursor, shards: &str, ends: &str) -> String {
    let source = |text: &str| {
        let (name, parent) = text.split_once('<').map_or((text, None), |(name, parent)| (name, Some(parent)));
        FeedSource { name: name.to_owned(), split_from: parent.map(str::to_owned) }
    };
    let end = |text: &str| match text {
        "1" => Some(end(ONE)),
        "2" => Some(end(TWO)),
        _ => None,
    };
    let sources: Vec<_> = shards.split(' ').map(source).collect();
    let ends: Vec<_> = ends.split(' ').map(end).collect();
    match cursor.resolve(&sources, &ends) {
        Ok(positions) => {
            let text = |position: Option<FeedPosition>| {
                position.map_or_else(|| "-".to_owned(), |position| position.to_string())
            };
            positions.into_iter().map(text).collect::<Vec<_>>().join(" ")
        }
        Err(CursorVoid::OtherShards) => "other shards".to_owned(),
        Err(CursorVoid::NoPosition(name)) => format!("no position in {name}"),
        Err(CursorVoid::OtherIncarnation(name)) => format!("other incarnation of {name}"),
        Err(CursorVoid::UnknownPosition(name)) => format!("unknown position in {name}"),
    }
}

/// Proves the effect of each change of the map and of the databases: events are never skipped, and a cursor that still
/// applies stays valid.
#[test]
fn a_cursor_follows_the_map_and_never_skips_events() {
    for case in CHANGES {
        let mut cursor = FeedCursor::parse(case.cursor).unwrap();
        assert_eq!(resolved(&mut cursor, case.shards, case.ends), case.resolved, "{}", case.name);
        assert_eq!(cursor.to_string(), case.afterwards, "{}", case.name);
        // Resolving again changes nothing, also after a round trip through the text.
        let mut again = FeedCursor::parse(case.afterwards).unwrap();
        assert_eq!(resolved(&mut again, case.shards, case.ends), case.resolved, "{}", case.name);
        assert_eq!(again, cursor, "{}", case.name);
    }
}

/// Proves that a cursor of the format `r1` applies to the shards for which it was made, and to no others: in any other
/// map it could give a shard the position of another one.
#[test]
fn an_old_cursor_of_a_map_applies_to_the_same_map() {
    let shards = sources(&[("a", ""), ("b", "")]);
    let text = format!("r1.{:08x}.1.0-6-740-17", digest_of(&shards));
    let ends = [Some(end(ONE)), Some(end(TWO))];
    let mut cursor = FeedCursor::parse(&text).unwrap();
    assert_eq!(cursor.to_string(), text);
    for other in [&[("b", ""), ("a", "")][..], &[("a", "")], &[("a", ""), ("bc", "")]] {
        assert_eq!(cursor.resolve(&sources(other), &ends), Err(CursorVoid::OtherShards), "{other:?}");
    }
    assert_eq!(cursor.resolve(&shards, &ends), Ok(vec![Some(FeedPosition::START), Some(P)]));
    assert_eq!(cursor.to_string(), "r2~a.any.0-0~b.0000000000000002.740-17");
    assert_eq!(digest_of(&sources(&[("ab", ""), ("c", "")])), digest_of(&sources(&[("ab", "x"), ("c", "")])));
    assert_ne!(digest_of(&sources(&[("ab", ""), ("c", "")])), digest_of(&sources(&[("a", ""), ("bc", "")])));
}

/// Proves that a cursor keeps a bounded number of entries, and among them those of the map.
#[test]
fn entries_of_former_shards_are_bounded() {
    let mut cursor = FeedCursor::default();
    for number in 0..FeedCursor::MAX_ENTRIES {
        cursor.set(&format!("former-{number}"), ONE, P);
    }
    let shards = sources(&[("north", "former-7")]);
    assert_eq!(cursor.resolve(&shards, &[Some(end(ONE))]), Ok(vec![Some(P)]));
    assert_eq!(cursor.to_string(), "r2~north.0000000000000001.740-17");
}

/// Proves that a cursor at the end needs the answer of every shard, and a cursor at the start needs none.
#[test]
fn a_new_cursor_has_a_position_in_every_shard() {
    let shards = sources(&[("a", ""), ("b", "a")]);
    assert_eq!(FeedCursor::at_end(&shards, &[Some(end(ONE)), None]), None);
    let mut cursor = FeedCursor::at_end(&shards, &[Some(end(ONE)), Some(end(TWO))]).unwrap();
    let last = Some(at(1_000, 100));
    assert_eq!(cursor.resolve(&shards, &[Some(end(ONE)), Some(end(TWO))]), Ok(vec![last, last]));
    let start = Some(FeedPosition::START);
    let mut cursor = FeedCursor::at_start(&shards);
    assert_eq!(cursor.resolve(&shards, &[Some(end(ONE)), None]), Ok(vec![start, None]));
    assert_eq!(cursor.resolve(&shards, &[Some(end(TWO)), Some(end(TWO))]), Ok(vec![start, start]));
}

/// Proves when a cursor is behind another one: in at least one shard, and only if no database was replaced between them.
#[test]
fn a_cursor_is_behind_another_in_the_same_databases() {
    let both = |north, south| cursor(&[("north", ONE, north), ("south", TWO, south)]);
    let present = both(P, P);
    let earlier = at(P.transaction, P.sequence - 1);
    assert!(both(earlier, P).is_behind(&present) && both(P, earlier).is_behind(&present));
    assert!(!present.is_behind(&both(earlier, P)) && !present.is_behind(&present));
    // The other publisher's events of a shard may have come first.
    assert!(both(earlier, at(P.transaction, P.sequence + 1)).is_behind(&present));
    let restored = cursor(&[("north", TWO, P), ("south", TWO, earlier)]);
    assert!(!restored.is_behind(&present));
    let start = FeedCursor::at_start(&sources(&[("north", ""), ("south", "")]));
    assert!(start.is_behind(&present) && !present.is_behind(&start));
    let unsplit = cursor(&[("north", ONE, earlier)]);
    assert!(unsplit.is_behind(&present) && !present.is_behind(&unsplit));
}

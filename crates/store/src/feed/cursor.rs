//! A position in the feeds of all shards, as text.
//!
//! Example: `r2~north.0123456789abcdef.740-17~south.fedcba9876543210.812-3`. The text names the format, and for each
//! shard its name, the incarnation of its database and the position. It contains only the unreserved characters of
//! URLs.
//!
//! | the map or a database changes | the cursor |
//! |---|---|
//! | a shard is split | The new shard inherits the entry of the shard that its `split_from` names. A physical copy continues transactions and sequences, and each shard shows only the events of its own buckets, so every event appears once. |
//! | a shard is renamed | The shard inherits the entry of its old name, which `split_from` states. |
//! | a single database becomes a map | Every shard that is a physical copy of the database, and so has its incarnation, inherits the entry `main`. |
//! | a database is restored | The cursor is void, because the incarnation differs. |
//! | an unrelated shard is added | The cursor is void, because no entry applies to the shard. |
//! | a shard does not answer | Its entry stays. |
//!
//! An inherited entry becomes an entry of its own as soon as the cursor is resolved, even while the new shard does not
//! answer. Otherwise the entry of the parent would advance, and the new shard would later inherit a position after its
//! first events.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{FeedEnd, FeedPosition, Incarnation, old_cursor::MapCursor};
use crate::{MAX_SHARDS, SOLE_SHARD, ShardRange};

/// Name of the format.
const FORMAT: &str = "r2";

/// Begins each entry.
const ENTRY: char = '~';

/// Separates the parts of an entry.
const PART: char = '.';

/// Stands for the incarnation of an entry that has none.
const ANY_INCARNATION: &str = "any";

/// A shard, as a source of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSource {
    /// Name of the shard.
    pub name: String,
    /// See [`ShardRange::split_from`].
    pub split_from: Option<String>,
}

/// A position in the feed of each shard. See the description of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// An entry for each shard, by name.
    Named(BTreeMap<String, Entry>),
    /// A cursor of the format `r1`, which names no shards. [`FeedCursor::resolve`] converts it.
    Old(MapCursor),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// `None` for the start of the feed of a shard that did not answer, and for an entry of an old format.
    incarnation: Option<Incarnation>,
    position: FeedPosition,
}

/// Error: a text is not a [`FeedCursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a cursor of the feed: use a cursor as the feed returned it")]
pub struct FeedCursorError;

/// Reason why a cursor is void. A caller must begin again, at the start or at the end of the feed: with any other
/// position, it could miss events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorVoid {
    /// The cursor was made for shards with other names.
    #[error("the cursor was made for other shards")]
    OtherShards,
    /// No entry applies to a shard.
    #[error("the cursor has no position in the shard {0:?}")]
    NoPosition(String),
    /// The database of a shard was restored or replaced after the cursor was made.
    #[error("the database of the shard {0:?} was restored or replaced after the cursor was made")]
    OtherIncarnation(String),
    /// A position is not in the feed of a shard: it lies beyond the end, or is a position of another kind of store.
    #[error("the position of the cursor in the shard {0:?} does not exist")]
    UnknownPosition(String),
}

impl Default for FeedCursor {
    fn default() -> Self {
        Self { content: Content::Named(BTreeMap::new()) }
    }
}

impl FeedCursor {
    /// Maximum number of entries: those of a map, and as many of former shards.
    pub const MAX_ENTRIES: usize = 2 * MAX_SHARDS;

    /// Parses a cursor of the present format, or of an older one: `r1…` of a map, `740-17` and `17` of a single
    /// database. Accepts only the exact texts that Dabba writes.
    pub fn parse(text: &str) -> Result<Self, FeedCursorError> {
        let content = if let Some(entries) = text.strip_prefix(FORMAT) {
            Content::Named(parse_entries(entries).ok_or(FeedCursorError)?)
        } else if let Some(cursor) = MapCursor::parse(text) {
            Content::Old(cursor)
        } else {
            let position = super::old_cursor::parse_position(text).ok_or(FeedCursorError)?;
            let entry = Entry { incarnation: None, position };
            return Ok(Self { content: Content::Named(BTreeMap::from([(SOLE_SHARD.to_owned(), entry)])) });
        };
        let cursor = Self { content };
        // Refuses leading zeros, a sign, and entries that are repeated or not in order.
        if cursor.to_string() == text { Ok(cursor) } else { Err(FeedCursorError) }
    }

    /// Returns the cursor before the first event of each shard. Needs no answer of a shard.
    pub fn at_start(sources: &[FeedSource]) -> Self {
        let entry = Entry { incarnation: None, position: FeedPosition::START };
        let entries = sources.iter().map(|source| (source.name.clone(), entry)).collect();
        Self { content: Content::Named(entries) }
    }

    /// Returns the cursor after the last event of each shard; `None` if a shard does not answer (its end is `None`): a
    /// cursor without a position in this shard would later skip its events.
    pub fn at_end(sources: &[FeedSource], ends: &[Option<FeedEnd>]) -> Option<Self> {
        let mut cursor = Self::default();
        for (index, source) in sources.iter().enumerate() {
            let end = ends.get(index).copied().flatten()?;
            cursor.set(&source.name, end.incarnation, end.position);
        }
        Some(cursor)
    }

    /// Sets the position in the feed of a shard. Resolve a parsed cursor before.
    pub fn set(&mut self, name: &str, incarnation: Incarnation, position: FeedPosition) {
        let entry = Entry { incarnation: Some(incarnation), position };
        match &mut self.content {
            Content::Named(entries) => {
                entries.insert(name.to_owned(), entry);
            }
            Content::Old(_) => self.content = Content::Named(BTreeMap::from([(name.to_owned(), entry)])),
        }
    }

    /// Returns whether this cursor is before another one in a shard, and both were made for the same databases.
    pub fn is_behind(&self, other: &Self) -> bool {
        let (Content::Named(own), Content::Named(others)) = (&self.content, &other.content) else {
            return false;
        };
        let pairs = own.iter().filter_map(|(name, entry)| Some((entry, others.get(name)?)));
        let differs = |(entry, other): (&Entry, &Entry)| {
            let incarnations = entry.incarnation.zip(other.incarnation);
            incarnations.is_some_and(|(incarnation, other)| incarnation != other)
        };
        !pairs.clone().any(differs) && pairs.clone().any(|(entry, other)| entry.position < other.position)
    }

    /// Returns the position in each source, whose ends are given in the same order, or why the cursor is void. The end
    /// of a shard that does not answer is `None`, and so is its position.
    ///
    /// Gives each source an entry of its own, as the module describes. So change the resolved cursor with
    /// [`FeedCursor::set`], and leave the entries of shards that do not answer unchanged.
    pub fn resolve(
        &mut self,
        sources: &[FeedSource],
        ends: &[Option<FeedEnd>],
    ) -> Result<Vec<Option<FeedPosition>>, CursorVoid> {
        let entries = self.entries_of(sources)?;
        let positions = sources.iter().zip(&entries).enumerate().map(|(index, (source, entry))| {
            let end = ends.get(index).copied().flatten();
            end.map(|end| entry.position_before(end, &source.name)).transpose()
        });
        let positions = positions.collect::<Result<Vec<_>, _>>()?;
        // A position of an older format becomes one of this incarnation.
        let named = sources.iter().zip(entries).enumerate().map(|(index, (source, entry))| {
            let end = ends.get(index).copied().flatten().filter(|_| entry.position != FeedPosition::START);
            let incarnation = entry.incarnation.or(end.map(|end| end.incarnation));
            (source.name.clone(), Entry { incarnation, ..entry })
        });
        match &mut self.content {
            Content::Named(all) => {
                all.extend(named);
                if all.len() > Self::MAX_ENTRIES {
                    let present: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
                    all.retain(|name, _| present.contains(name.as_str()));
                }
            }
            Content::Old(_) => self.content = Content::Named(named.collect()),
        }
        Ok(positions)
    }

    /// Returns the entry that applies to each source.
    fn entries_of(&self, sources: &[FeedSource]) -> Result<Vec<Entry>, CursorVoid> {
        match &self.content {
            Content::Named(entries) => {
                let entry = |source: &FeedSource| {
                    inherited(entries, sources, source)
                        .or_else(|| of_single_database(entries, sources))
                        .ok_or_else(|| CursorVoid::NoPosition(source.name.clone()))
                };
                sources.iter().map(entry).collect()
            }
            Content::Old(cursor) => {
                let positions = cursor.positions_in(sources).ok_or(CursorVoid::OtherShards)?;
                let entry = |position: &FeedPosition| Entry { incarnation: None, position: *position };
                Ok(positions.iter().map(entry).collect())
            }
        }
    }
}

/// Returns the entry of a source, or of the nearest shard that it was split from.
fn inherited(
    entries: &BTreeMap<String, Entry>,
    sources: &[FeedSource],
    source: &FeedSource,
) -> Option<Entry> {
    let mut name = source.name.as_str();
    // A map has no cycles, and a caller's list could have one.
    for _ in 0..=sources.len() {
        if let Some(entry) = entries.get(name) {
            return Some(*entry);
        }
        // A shard that is no longer in the map states no parent.
        name = sources.iter().find(|other| other.name == name)?.split_from.as_deref()?;
    }
    None
}

/// Returns the entry of a cursor that a single database made. It applies to each shard that has its incarnation. An
/// entry without an incarnation applies to a single database only.
fn of_single_database(entries: &BTreeMap<String, Entry>, sources: &[FeedSource]) -> Option<Entry> {
    let entry = entries.get(SOLE_SHARD).filter(|_| entries.len() == 1)?;
    (entry.incarnation.is_some() || sources.len() == 1).then_some(*entry)
}

impl Entry {
    /// Returns the position, if it is one in the feed with this end.
    fn position_before(self, end: FeedEnd, name: &str) -> Result<FeedPosition, CursorVoid> {
        // The start precedes every event, whatever became of the database.
        if self.position == FeedPosition::START {
            return Ok(self.position);
        }
        if self.incarnation.is_some_and(|incarnation| incarnation != end.incarnation) {
            return Err(CursorVoid::OtherIncarnation(name.to_owned()));
        }
        let is_of_same_kind = (self.position.transaction == 0) == (end.position.transaction == 0);
        if is_of_same_kind && self.position <= end.position {
            return Ok(self.position);
        }
        Err(CursorVoid::UnknownPosition(name.to_owned()))
    }
}

fn parse_entries(text: &str) -> Option<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    let Some(text) = text.strip_prefix(ENTRY) else { return text.is_empty().then_some(entries) };
    for entry in text.split(ENTRY) {
        let mut parts = entry.split(PART);
        let (name, incarnation, position) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !ShardRange::is_name(name) || entries.len() == FeedCursor::MAX_ENTRIES {
            return None;
        }
        let incarnation = match incarnation {
            ANY_INCARNATION => None,
            incarnation => Some(incarnation.parse().ok()?),
        };
        let (transaction, sequence) = position.split_once('-')?;
        let position =
            FeedPosition { transaction: transaction.parse().ok()?, sequence: sequence.parse().ok()? };
        entries.insert(name.to_owned(), Entry { incarnation, position });
    }
    Some(entries)
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = match &self.content {
            Content::Named(entries) => entries,
            Content::Old(cursor) => return formatter.write_str(cursor.text()),
        };
        formatter.write_str(FORMAT)?;
        for (name, Entry { incarnation, position }) in entries {
            write!(formatter, "{ENTRY}{name}{PART}")?;
            match incarnation {
                Some(incarnation) => write!(formatter, "{incarnation}{PART}{position}")?,
                None => write!(formatter, "{ANY_INCARNATION}{PART}{position}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;

//! Matching of the entries of a menu document with the entries of the current menu, and the ids of new entries.
//!
//! An entry is an item, an option group or an option. Its scope is the menu, the item or the group. Within the scope,
//! the first of these rules that applies decides what an entry of a document is:
//!
//! 1. An entry with an `id` is the current entry with this id. If there is none, the entry is new and gets this id.
//! 2. An entry is the current entry with the same `external_code`.
//! 3. An entry is the current entry with the same name, [as names are compared](compared_name), unless both have
//!    external codes, which then differ.
//! 4. Otherwise the entry is new.
//!
//! No current entry is matched twice. If a name fits several entries, in the document or on the menu, the name is a
//! problem.
//!
//! A new entry without an id gets a generated id: the readable part of its name, and a hash of its [`Key`]. So a dish
//! that returns to the menu gets the same id again, and another dish gets another id.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use super::{
    MenuItem, MenuOption, OptionGroup,
    generated_id::{Key, MAX_ID_HASH_LENGTH},
    name::{compared_name, readable},
};
use crate::{
    Problems,
    limits::MIN_ID_HASH_LENGTH,
    text::{ExternalCode, Name, Slug},
};

/// What an entry of a document states about its identity.
pub(super) struct Stated<'a> {
    pub(super) pointer: String,
    pub(super) id: Option<&'a str>,
    pub(super) external_code: Option<&'a str>,
    pub(super) name: &'a str,
}

/// The identity of an entry: its valid parts.
#[derive(Default)]
pub(super) struct Identity {
    pub(super) id: Option<Slug>,
    pub(super) external_code: Option<ExternalCode>,
    pub(super) name: Option<Name>,
}

/// An entry of the current menu.
#[derive(Clone, Copy)]
pub(super) struct Current<'a> {
    pub(super) id: &'a Slug,
    pub(super) external_code: Option<&'a ExternalCode>,
    pub(super) name: &'a Name,
}

/// The scope within which ids are unique: the menu, an item or a group.
pub(super) struct Scope<'a> {
    /// Plural of the scope's entries, for messages.
    pub(super) entries: &'static str,
    /// Prefix of the scope's ids in the paths of retired ids: `""`, `"item/"` or `"item/group/"`.
    pub(super) path: String,
    /// Entries of the scope on the current menu.
    pub(super) current: Vec<Current<'a>>,
    /// Paths of the menu's retired ids.
    pub(super) retired: &'a HashSet<&'a str>,
}

impl<'a> From<&'a MenuItem> for Current<'a> {
    fn from(item: &'a MenuItem) -> Self {
        Self { id: &item.id, external_code: item.external_code.as_ref(), name: &item.name }
    }
}

impl<'a> From<&'a OptionGroup> for Current<'a> {
    fn from(group: &'a OptionGroup) -> Self {
        Self { id: &group.id, external_code: group.external_code.as_ref(), name: &group.name }
    }
}

impl<'a> From<&'a MenuOption> for Current<'a> {
    fn from(option: &'a MenuOption) -> Self {
        Self { id: &option.id, external_code: option.external_code.as_ref(), name: &option.name }
    }
}

impl Scope<'_> {
    /// Checks ids, external codes and names of a scope's entries, and gives each entry its id.
    pub(super) fn identify(&self, stated: &[Stated<'_>], problems: &mut Problems) -> Vec<Identity> {
        let before = problems.as_slice().len();
        let mut identities: Vec<Identity> = stated.iter().map(|entry| entry.read(problems)).collect();
        let compared: Vec<Option<String>> = identities
            .iter()
            .map(|identity| identity.name.as_ref().map(|name| compared_name(name.as_str())))
            .collect();
        self.check_unique(stated, &identities, &compared, problems);
        if problems.as_slice().len() == before {
            self.match_current(stated, &mut identities, &compared, problems);
        }
        if problems.as_slice().len() == before {
            self.generate(stated, &mut identities, problems);
        }
        identities
    }

    /// Adds a problem for each id and each external code that occurs twice, and for each name that occurs twice if one
    /// of its entries has neither.
    fn check_unique(
        &self,
        stated: &[Stated<'_>],
        identities: &[Identity],
        compared: &[Option<String>],
        problems: &mut Problems,
    ) {
        let Self { entries, .. } = self;
        let ids = identities.iter().map(|identity| identity.id.as_ref());
        for places in repeated(ids) {
            for (place, other) in with_other(&places) {
                let text =
                    format!("must be unique among the {entries}; {} has the same id", stated[other].pointer);
                problems.add(format!("{}/id", stated[place].pointer), text);
            }
        }
        let codes = identities.iter().map(|identity| identity.external_code.as_ref());
        for places in repeated(codes) {
            for (place, other) in with_other(&places) {
                let text = format!(
                    "must be unique among the {entries}; {} has the same external_code",
                    stated[other].pointer
                );
                problems.add(format!("{}/external_code", stated[place].pointer), text);
            }
        }
        let is_named_only =
            |place: &usize| stated[*place].id.is_none() && stated[*place].external_code.is_none();
        for places in repeated(compared.iter().map(Option::as_ref)) {
            let Some(bare) = places.iter().copied().find(is_named_only) else { continue };
            for (place, other) in with_other(&places) {
                let text = format!(
                    "must be unique among the {entries}, unless each entry with this name has an id or an external_code; {} \
                     has the same name, and {} has neither",
                    stated[other].pointer, stated[bare].pointer
                );
                problems.add(format!("{}/name", stated[place].pointer), text);
            }
        }
    }

    /// Gives each entry that matches a current entry the id of that entry.
    fn match_current(
        &self,
        stated: &[Stated<'_>],
        identities: &mut [Identity],
        compared: &[Option<String>],
        problems: &mut Problems,
    ) {
        let given: HashSet<&Slug> = identities.iter().filter_map(|identity| identity.id.as_ref()).collect();
        let mut free: Vec<Current<'_>> =
            self.current.iter().filter(|current| !given.contains(current.id)).copied().collect();

        let by_code: HashMap<&ExternalCode, Current<'_>> =
            free.iter().filter_map(|current| Some((current.external_code?, *current))).collect();
        let mut matched = HashSet::new();
        for identity in identities.iter_mut().filter(|identity| identity.id.is_none()) {
            let current = identity.external_code.as_ref().and_then(|code| by_code.get(code));
            if let Some(current) = current {
                identity.id = Some(current.id.clone());
                matched.insert(current.id);
            }
        }
        free.retain(|current| !matched.contains(current.id));

        let mut by_name: HashMap<String, Vec<Current<'_>>> = HashMap::new();
        for current in free {
            by_name.entry(compared_name(current.name.as_str())).or_default().push(current);
        }
        let open = |(place, identity): (usize, &Identity)| {
            identity.id.is_none().then(|| Some((compared[place].as_deref()?, place))).flatten()
        };
        let mut places_of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (name, place) in identities.iter().enumerate().filter_map(open) {
            places_of.entry(name).or_default().push(place);
        }
        let mut found = Vec::new();
        for (name, places) in &places_of {
            for place in places {
                let code = identities[*place].external_code.as_ref();
                let fits = |current: &&Current<'_>| code.is_none() || current.external_code.is_none();
                let fitting: Vec<&Current<'_>> =
                    by_name.get(*name).into_iter().flatten().filter(fits).collect();
                match (&fitting[..], places.len()) {
                    ([], _) => {}
                    ([current], 1) => found.push((*place, current.id.clone())),
                    _ => problems.add(format!("{}/name", stated[*place].pointer), self.ambiguous(&fitting)),
                }
            }
        }
        for (place, id) in found {
            identities[place].id = Some(id);
        }
    }

    /// Returns the problem of a name that fits several entries.
    fn ambiguous(&self, fitting: &[&Current<'_>]) -> String {
        let ids: Vec<&str> = fitting.iter().map(|current| current.id.as_str()).collect();
        format!(
            "is ambiguous: several {entries} have this name, in the body or on the current menu ({ids}). \
             State the id of the entry, or a new id",
            entries = self.entries,
            ids = ids.join(", ")
        )
    }

    /// Gives each new entry an id. If an id is taken, all entries that would have it get a longer hash, so that the
    /// order of the entries makes no difference.
    fn generate(&self, stated: &[Stated<'_>], identities: &mut [Identity], problems: &mut Problems) {
        let mut taken: HashSet<Slug> = self.current.iter().map(|current| current.id.clone()).collect();
        taken.extend(identities.iter().filter_map(|identity| identity.id.clone()));
        let mut open: Vec<(usize, String, String)> = identities
            .iter()
            .enumerate()
            .filter_map(|(place, identity)| {
                let name = identity.name.as_ref().filter(|_| identity.id.is_none())?;
                Some((place, readable(name), Key::new(identity.external_code.as_ref(), name).hash()))
            })
            .collect();
        for length in MIN_ID_HASH_LENGTH..=MAX_ID_HASH_LENGTH {
            let ids: Vec<Slug> =
                open.iter().map(|(_, readable, hash)| Slug::generated(readable, &hash[..length])).collect();
            let unfit: HashSet<Slug> = repeated(ids.iter().map(Some))
                .into_iter()
                .flatten()
                .map(|index| ids[index].clone())
                .chain(ids.iter().filter(|id| taken.contains(*id) || self.is_retired(id)).cloned())
                .collect();
            let mut ids = ids.into_iter();
            open.retain(|(place, ..)| {
                let id = ids.next().filter(|id| !unfit.contains(id));
                let is_open = id.is_none();
                if let Some(id) = id {
                    taken.insert(id.clone());
                    identities[*place].id = Some(id);
                }
                is_open
            });
        }
        for (place, ..) in open {
            problems.add(
                format!("{}/id", stated[place].pointer),
                "is required: every id that can be generated for this name is taken",
            );
        }
    }

    fn is_retired(&self, id: &Slug) -> bool {
        !self.retired.is_empty() && self.retired.contains(format!("{}{id}", self.path).as_str())
    }
}

impl Stated<'_> {
    fn read(&self, problems: &mut Problems) -> Identity {
        let Self { pointer, id, external_code, name } = self;
        Identity {
            id: id.and_then(|id| problems.check(format!("{pointer}/id"), Slug::new(id))),
            external_code: external_code
                .and_then(|code| problems.check(format!("{pointer}/external_code"), ExternalCode::new(code))),
            name: problems.check(format!("{pointer}/name"), Name::new(name)),
        }
    }
}

/// Returns the places of each value that occurs more than once, ordered by first place.
fn repeated<T: Eq + Hash>(values: impl Iterator<Item = Option<T>>) -> Vec<Vec<usize>> {
    let mut places_of: HashMap<T, Vec<usize>> = HashMap::new();
    for (place, value) in values.enumerate() {
        if let Some(value) = value {
            places_of.entry(value).or_default().push(place);
        }
    }
    let mut repeated: Vec<_> = places_of.into_values().filter(|places| places.len() > 1).collect();
    repeated.sort_unstable();
    repeated
}

/// Returns each of the places together with another one of them.
fn with_other(places: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    places.iter().enumerate().filter_map(|(index, place)| {
        let other = places.get(usize::from(index == 0))?;
        Some((*place, if index == 0 { *other } else { *places.first()? }))
    })
}

//! Which entry of a menu document is which entry of the present menu, and the ids of new entries.
//!
//! An entry is an item, an option group or an option. Within its scope (the menu, the item, the group), an entry of a
//! document is
//!
//! 1. the present entry with its `id`, or a new one under that id;
//! 2. else the present entry with its `external_code`;
//! 3. else the present entry with its name, [as compared](compared_name), unless both have external codes, which then
//!    differ;
//! 4. else new.
//!
//! No present entry is matched twice. A name that fits several entries, in the document or on the menu, decides nothing
//! and is a problem.
//!
//! A new entry without an id gets a generated one: what is readable of its name, and a hash of its [`Key`]. So the same
//! dish gets the same id when it comes back, and another dish gets another id.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use sha2::{Digest as _, Sha256};
use unicase::UniCase;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::{Menu, MenuItem, MenuOption, OptionGroup};
use crate::{
    Problems,
    limits::{MAX_RETIRED_IDS, MIN_ID_HASH_LENGTH},
    text::{ExternalCode, Name, Slug},
};

/// The digits of a hash: no letter that is easily taken for another one.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Maximum number of digits of a hash. SHA-256 has 51 digits of 5 bits; 50 leave room for a readable part.
const MAX_ID_HASH_LENGTH: usize = 50;

/// What an entry of a document says of its identity.
pub(super) struct Stated<'a> {
    pub(super) pointer: String,
    pub(super) id: Option<&'a str>,
    pub(super) external_code: Option<&'a str>,
    pub(super) name: &'a str,
}

/// The identity of an entry: the parts of it that are valid.
#[derive(Default)]
pub(super) struct Identity {
    pub(super) id: Option<Slug>,
    pub(super) external_code: Option<ExternalCode>,
    pub(super) name: Option<Name>,
}

/// An entry of the present menu.
#[derive(Clone, Copy)]
pub(super) struct Present<'a> {
    id: &'a Slug,
    external_code: Option<&'a ExternalCode>,
    name: &'a Name,
}

/// Where ids are unique: the menu, an item or a group.
pub(super) struct Scope<'a> {
    /// Its entries in the plural, for messages.
    pub(super) entries: &'static str,
    /// What stands before an id in a path of a retired id: `""`, `"item/"` or `"item/group/"`.
    pub(super) path: String,
    /// Its entries on the present menu.
    pub(super) present: Vec<Present<'a>>,
    /// The paths of the retired ids of the menu.
    pub(super) retired: &'a HashSet<&'a str>,
}

/// What identifies an entry that comes back after it left the menu.
#[derive(Clone, Copy)]
enum Key<'a> {
    Code(&'a ExternalCode),
    Name(&'a Name),
}

impl<'a> From<&'a MenuItem> for Present<'a> {
    fn from(item: &'a MenuItem) -> Self {
        Self { id: &item.id, external_code: item.external_code.as_ref(), name: &item.name }
    }
}

impl<'a> From<&'a OptionGroup> for Present<'a> {
    fn from(group: &'a OptionGroup) -> Self {
        Self { id: &group.id, external_code: group.external_code.as_ref(), name: &group.name }
    }
}

impl<'a> From<&'a MenuOption> for Present<'a> {
    fn from(option: &'a MenuOption) -> Self {
        Self { id: &option.id, external_code: option.external_code.as_ref(), name: &option.name }
    }
}

impl<'a> Key<'a> {
    const fn new(external_code: Option<&'a ExternalCode>, name: &'a Name) -> Self {
        match external_code {
            Some(code) => Self::Code(code),
            None => Self::Name(name),
        }
    }

    /// The hash that generated ids contain. Stored ids contain it: a change would give an entry that comes back another
    /// id.
    fn hash(self) -> String {
        let digest = match self {
            Self::Code(code) => Sha256::digest(format!("code\0{code}")),
            Self::Name(name) => Sha256::digest(format!("name\0{}", compared_name(name.as_str()))),
        };
        let digit = |number: usize| {
            let (byte, shift) = (number * 5 / 8, 11 - number * 5 % 8);
            let pair = u16::from_be_bytes([digest[byte], digest[byte + 1]]);
            char::from(DIGITS[usize::from((pair >> shift) & 31)])
        };
        (0..MAX_ID_HASH_LENGTH).map(digit).collect()
    }
}

/// Returns a name as names are compared: without regard to case (default case folding), width and other compatibility
/// forms (NFKC), and the amount of white space.
pub(super) fn compared_name(name: &str) -> String {
    let folded = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        // The order of Unicode's compatibility caseless match (Unicode 16, D146).
        let canonical: String = name.nfd().collect();
        let folded: String = UniCase::unicode(canonical).to_folded_case().nfkc().collect();
        UniCase::unicode(folded).to_folded_case().nfkc().collect()
    };
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What people can read of a name in an id: its ASCII letters and digits, without accents.
fn readable(name: &Name) -> String {
    compared_name(name.as_str()).nfkd().filter(|character| !is_combining_mark(*character)).collect()
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
            self.match_present(stated, &mut identities, &compared, problems);
        }
        if problems.as_slice().len() == before {
            self.generate(stated, &mut identities, problems);
        }
        identities
    }

    /// Notes every id and external code that stands in two places, and every name that does although one of its entries
    /// has neither.
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
                    "must be unique among the {entries}, unless each entry of the name has an id or an external_code; {} \
                     has the same name, and {} has neither",
                    stated[other].pointer, stated[bare].pointer
                );
                problems.add(format!("{}/name", stated[place].pointer), text);
            }
        }
    }

    /// Gives entries the ids of the present entries that they are.
    fn match_present(
        &self,
        stated: &[Stated<'_>],
        identities: &mut [Identity],
        compared: &[Option<String>],
        problems: &mut Problems,
    ) {
        let given: HashSet<&Slug> = identities.iter().filter_map(|identity| identity.id.as_ref()).collect();
        let mut free: Vec<Present<'_>> =
            self.present.iter().filter(|present| !given.contains(present.id)).copied().collect();

        let by_code: HashMap<&ExternalCode, Present<'_>> =
            free.iter().filter_map(|present| Some((present.external_code?, *present))).collect();
        let mut matched = HashSet::new();
        for identity in identities.iter_mut().filter(|identity| identity.id.is_none()) {
            let present = identity.external_code.as_ref().and_then(|code| by_code.get(code));
            if let Some(present) = present {
                identity.id = Some(present.id.clone());
                matched.insert(present.id);
            }
        }
        free.retain(|present| !matched.contains(present.id));

        let mut by_name: HashMap<String, Vec<Present<'_>>> = HashMap::new();
        for present in free {
            by_name.entry(compared_name(present.name.as_str())).or_default().push(present);
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
                let fits = |present: &&Present<'_>| code.is_none() || present.external_code.is_none();
                let fitting: Vec<&Present<'_>> =
                    by_name.get(*name).into_iter().flatten().filter(fits).collect();
                match (&fitting[..], places.len()) {
                    ([], _) => {}
                    ([present], 1) => found.push((*place, present.id.clone())),
                    _ => problems.add(format!("{}/name", stated[*place].pointer), self.ambiguous(&fitting)),
                }
            }
        }
        for (place, id) in found {
            identities[place].id = Some(id);
        }
    }

    /// Says that a name does not decide which of the present entries an entry is.
    fn ambiguous(&self, fitting: &[&Present<'_>]) -> String {
        let ids: Vec<&str> = fitting.iter().map(|present| present.id.as_str()).collect();
        format!(
            "does not decide which entry it is: several {entries} have it, in the body or on the present menu ({ids}). \
             State the id of the entry, or a new id",
            entries = self.entries,
            ids = ids.join(", ")
        )
    }

    /// Gives the entries that are new an id. If an id is taken, the hash is lengthened, for each entry that would have
    /// the id: the order of the entries decides nothing.
    fn generate(&self, stated: &[Stated<'_>], identities: &mut [Identity], problems: &mut Problems) {
        let mut taken: HashSet<Slug> = self.present.iter().map(|present| present.id.clone()).collect();
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
                "must be given: every id of this name is taken",
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

/// Returns the places of each value that has several, in the order of the first of them.
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

/// Returns each of several places with another one of them.
fn with_other(places: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    places.iter().enumerate().filter_map(|(index, place)| {
        let other = places.get(usize::from(index == 0))?;
        Some((*place, if index == 0 { *other } else { *places.first()? }))
    })
}

/// Whether the id may have been generated.
fn looks_generated(id: &Slug) -> bool {
    let hash = id.as_str().rsplit('-').next().unwrap_or_default();
    (MIN_ID_HASH_LENGTH..=MAX_ID_HASH_LENGTH).contains(&hash.len())
        && hash.bytes().all(|digit| DIGITS.contains(&digit))
}

impl Present<'_> {
    /// Whether the id could be generated for another entry than this one.
    fn may_be_of_another(self) -> bool {
        let hash = self.id.as_str().rsplit('-').next().unwrap_or_default();
        looks_generated(self.id) && !Key::new(self.external_code, self.name).hash().starts_with(hash)
    }
}

/// Returns the retired ids of a menu that follows another: each id without an entry that could be generated for another
/// entry than its last one. Renaming leads to such ids: the id stays, and contains the hash of the earlier name.
pub(super) fn retired_after(before: &Menu, after: &Menu) -> Vec<String> {
    let is_present = |path: &str| {
        let mut ids = path.split('/');
        let Some(item) = ids.next().and_then(|id| after.item(id)) else { return false };
        let Some(group) = ids.next() else { return true };
        let Some(group) = item.group(group) else { return false };
        ids.next().is_none_or(|option| group.option(option).is_some())
    };
    let mut retired: Vec<String> = before.retired.iter().filter(|path| !is_present(path)).cloned().collect();
    let known: HashSet<String> = retired.iter().cloned().collect();
    let mut retire = |prefix: &str, entry: Present<'_>| {
        if !entry.may_be_of_another() {
            return;
        }
        let path = format!("{prefix}{}", entry.id);
        if !is_present(&path) && !known.contains(&path) {
            retired.push(path);
        }
    };
    for item in before.items() {
        retire("", item.into());
        for group in &item.option_groups {
            retire(&group_path(&item.id), group.into());
            for option in &group.options {
                retire(&option_path(&item.id, &group.id), option.into());
            }
        }
    }
    let surplus = retired.len().saturating_sub(MAX_RETIRED_IDS);
    retired.drain(..surplus);
    retired
}

/// The [path](Scope::path) of an item's option groups.
pub(super) fn group_path(item: &Slug) -> String {
    format!("{item}/")
}

/// The [path](Scope::path) of a group's options.
pub(super) fn option_path(item: &Slug, group: &Slug) -> String {
    format!("{item}/{group}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_width_and_spacing() {
        for (one, other) in [
            ("Café", "CAFE\u{301}"),
            ("Ramen", "ＲＡＭＥＮ"),
            ("カレー", "ｶﾚｰ"),
            ("Straße", "STRASSE"),
            ("σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("น้ำ", "น้\u{e4d}\u{e32}"),
            ("كباب", "\u{fedb}\u{fe92}\u{fe8e}\u{fe8f}"),
            ("Pad Thai", " pad\u{3000}\u{a0}thai\n"),
            ("½ Huhn", "1⁄2 huhn"),
            ("🍜 Ramen", "🍜  ramen"),
        ] {
            assert_eq!(compared_name(one), compared_name(other), "{one} and {other}");
        }
        for (one, other) in [
            ("Café", "Cafe"),
            ("ラーメン", "つけ麺"),
            ("قهوة", "شاي"),
            ("ผัดไทย", "ผัดซีอิ๊ว"),
            ("🍜", "🍣"),
            ("👨\u{200d}🍳", "👩\u{200d}🍳"),
            ("Pad Thai", "PadThai"),
            ("Dish 1", "Dish 2"),
        ] {
            assert_ne!(compared_name(one), compared_name(other), "{one} and {other}");
        }
    }

    /// Stored ids contain these hashes: with others, an entry that comes back would get another id.
    #[test]
    fn the_hash_of_a_key_never_changes() {
        let (ramen, code) = (Name::new("ＲＡＭＥＮ").unwrap(), ExternalCode::new("PLU 17").unwrap());
        assert_eq!(Key::Name(&ramen).hash(), "8z6rc30azjnkqffgkxkdeb11bm1prxrw76k5yxkc9cv2bmevfd");
        assert_eq!(&Key::Code(&code).hash()[..10], "00k2aa10n3");
        assert_eq!(Key::new(Some(&code), &ramen).hash(), Key::Code(&code).hash());
    }

    #[test]
    fn an_id_that_may_be_of_another_entry_is_known_by_its_hash() {
        let name = Name::new("Ramen").unwrap();
        let own = format!("noodles-{}", &Key::Name(&name).hash()[..12]);
        for (id, may_be) in [
            (own.as_str(), false),
            ("ramen-0123456789", true),
            ("0123456789", true),
            ("ramen", false),
            ("x-2", false),
            ("ramen-012345678", false),
            ("ramen-012345678i", false),
        ] {
            let id = Slug::new(id).unwrap();
            let entry = Present { id: &id, external_code: None, name: &name };
            assert_eq!(entry.may_be_of_another(), may_be, "{id}");
        }
    }
}

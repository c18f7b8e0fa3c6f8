//! Generated ids: their hash, and the ids that must not be generated again.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::{Menu, identity::Current, name::compared_name};
use crate::{
    limits::{MAX_RETIRED_IDS, MIN_ID_HASH_LENGTH},
    text::{ExternalCode, Name, Slug},
};

/// Digits of a hash. Letters that are easily confused with a digit or another letter are omitted.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Maximum number of digits of a hash. SHA-256 has 51 digits of 5 bits; 50 leave room for a readable part.
pub(super) const MAX_ID_HASH_LENGTH: usize = 50;

/// The part of an entry that identifies it when it returns to the menu.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Code(&'a ExternalCode),
    Name(&'a Name),
}

impl<'a> Key<'a> {
    /// Returns the key of an entry: its external code, otherwise its name.
    pub(super) const fn new(external_code: Option<&'a ExternalCode>, name: &'a Name) -> Self {
        match external_code {
            Some(code) => Self::Code(code),
            None => Self::Name(name),
        }
    }

    /// Returns the hash that generated ids contain. Ids in stores contain it, so it must never change: otherwise an
    /// entry that returns to the menu would get another id.
    pub(super) fn hash(self) -> String {
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

/// Returns whether the id may be a generated one.
fn looks_generated(id: &Slug) -> bool {
    let hash = id.as_str().rsplit('-').next().unwrap_or_default();
    (MIN_ID_HASH_LENGTH..=MAX_ID_HASH_LENGTH).contains(&hash.len())
        && hash.bytes().all(|digit| DIGITS.contains(&digit))
}

impl Current<'_> {
    /// Returns whether Dabba could generate this id for another entry.
    fn may_be_of_another(self) -> bool {
        let hash = self.id.as_str().rsplit('-').next().unwrap_or_default();
        looks_generated(self.id) && !Key::new(self.external_code, self.name).hash().starts_with(hash)
    }
}

/// Returns the retired ids of a menu that follows another: each id that has no entry any more and that could be
/// generated for an entry other than its last one. Renaming leads to such ids: the entry keeps its id, which contains
/// the hash of the earlier name.
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
    let mut retire = |prefix: &str, entry: Current<'_>| {
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

/// Returns the [path](super::identity::Scope::path) of an item's option groups.
pub(super) fn group_path(item: &Slug) -> String {
    format!("{item}/")
}

/// Returns the [path](super::identity::Scope::path) of a group's options.
pub(super) fn option_path(item: &Slug, group: &Slug) -> String {
    format!("{item}/{group}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids in stores contain these hashes. If the hash changed, an entry that returns to the menu would get another id.
    #[test]
    fn the_hash_of_a_key_never_changes() {
        let (ramen, code) = (Name::new("ＲＡＭＥＮ").unwrap(), ExternalCode::new("PLU 17").unwrap());
        assert_eq!(Key::Name(&ramen).hash(), "8z6rc30azjnkqffgkxkdeb11bm1prxrw76k5yxkc9cv2bmevfd");
        assert_eq!(&Key::Code(&code).hash()[..10], "00k2aa10n3");
        assert_eq!(Key::new(Some(&code), &ramen).hash(), Key::Code(&code).hash());
    }

    #[test]
    fn an_id_that_could_be_of_another_entry_is_recognized_by_its_hash() {
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
            let entry = Current { id: &id, external_code: None, name: &name };
            assert_eq!(entry.may_be_of_another(), may_be, "{id}");
        }
    }
}

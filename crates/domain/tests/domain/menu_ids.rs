//! Ids of menu entries: an id never passes to another item, option group or option.

use std::collections::{HashMap, HashSet};

use dabba_domain::{
    Problems,
    menu::{Menu, MenuDocument},
};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

/// Kind of menu entries that a test is about.
#[derive(Clone, Copy, Debug)]
enum Level {
    Items,
    Groups,
    Options,
}

const LEVELS: [Level; 3] = [Level::Items, Level::Groups, Level::Options];

impl Level {
    /// Returns a menu document with these entries.
    fn document(self, mut entries: Vec<Value>) -> Value {
        for entry in &mut entries {
            match self {
                Self::Items | Self::Options => entry["price_minor"] = json!(100),
                Self::Groups => {
                    entry["options"] = json!([{"id": "yes", "name": "Yes", "price_minor": 0}]);
                    entry["min"] = json!(0);
                    entry["max"] = json!(1);
                }
            }
        }
        let item = |groups: Value| json!([{"id": "bowl", "name": "Bowl", "price_minor": 1, "option_groups": groups}]);
        let items = match self {
            Self::Items => json!(entries),
            Self::Groups => item(json!(entries)),
            Self::Options => {
                item(json!([{"id": "choice", "name": "Choice", "min": 0, "max": 1, "options": entries}]))
            }
        };
        json!({"categories": [{"name": "All", "items": items}]})
    }

    /// Returns the pointer of the list of entries in a document.
    const fn pointer(self) -> &'static str {
        match self {
            Self::Items => "/categories/0/items",
            Self::Groups => "/categories/0/items/0/option_groups",
            Self::Options => "/categories/0/items/0/option_groups/0/options",
        }
    }

    fn replace(self, current: &Menu, entries: Vec<Value>) -> Result<Menu, Problems> {
        let document: MenuDocument = serde_json::from_value(self.document(entries)).unwrap();
        document.validate_against(current)
    }

    /// Returns the ids of the entries, in order.
    fn ids(self, menu: &Menu) -> Vec<String> {
        let stored = serde_json::to_value(menu).unwrap();
        let entries = stored.pointer(self.pointer()).unwrap().as_array().unwrap();
        entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the pointers of problems, relative to the list of entries.
    fn pointers(self, problems: &Problems) -> Vec<&str> {
        let pointers = problems.as_slice().iter().map(|problem| problem.pointer.as_str());
        pointers.map(|pointer| pointer.strip_prefix(self.pointer()).unwrap()).collect()
    }
}

fn named(name: &str) -> Value {
    json!({"name": name})
}

fn coded(code: &str, name: &str) -> Value {
    json!({"external_code": code, "name": name})
}

fn with_id(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name})
}

/// Proves that a generated id is readable if the name is, and that names without ASCII get different ids.
#[test]
fn a_generated_id_has_a_readable_part_and_a_hash() {
    for level in LEVELS {
        let names =
            ["Café Crème (large)", "CAFÉ", "醤油ラーメン", "味噌ラーメン", "ผัดไทย", "قهوة", "🍜", "🍣"];
        let menu = level.replace(&Menu::default(), names.map(named).to_vec()).unwrap();
        let ids = level.ids(&menu);
        let hash = |id: &str| {
            let hash = id.rsplit('-').next().unwrap();
            hash.len() == 10 && hash.chars().all(|digit| digit.is_ascii_alphanumeric())
        };
        assert!(ids.iter().all(|id| hash(id)), "{ids:?}");
        assert!(ids[0].starts_with("cafe-creme-large-") && ids[1].starts_with("cafe-"), "{ids:?}");
        assert!(ids[2..].iter().all(|id| !id.contains('-')), "{ids:?}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), names.len(), "{ids:?}");
        // The same document leads to the same ids elsewhere, in any order.
        let mut reversed = names.map(named).to_vec();
        reversed.reverse();
        let other = level.replace(&Menu::default(), reversed).unwrap();
        assert_eq!(level.ids(&other).into_iter().rev().collect::<Vec<_>>(), ids);
    }
}

/// Proves that ids of earlier versions, which consisted of the name's ASCII and a number, stay with their names.
#[test]
fn current_entries_are_found_by_name() {
    for level in LEVELS {
        let before = [("x", "ラーメン"), ("x-2", "つけ麺"), ("cafe", "Café")];
        let before = before.map(|(id, name)| with_id(id, name)).to_vec();
        let before = level.replace(&Menu::default(), before).unwrap();
        let names = ["餃子", "つけ麺", "ＣＡＦＥ\u{301}", "ﾗｰﾒﾝ"];
        let after = level.replace(&before, names.map(named).to_vec()).unwrap();
        let ids = level.ids(&after);
        assert_eq!(ids[1..], ["x-2", "cafe", "x"]);
        assert_eq!(ids[0].len(), 10);
    }
}

#[test]
fn an_id_decides_before_a_code_and_a_code_before_a_name() {
    for level in LEVELS {
        let before = json!([
            {"id": "a", "external_code": "1", "name": "Ramen"}, {"id": "b", "external_code": "2", "name": "Udon"},
            {"id": "c", "name": "Soba"}, {"id": "d", "name": "Curry"},
        ]);
        let before: Vec<Value> = serde_json::from_value(before).unwrap();
        let before = level.replace(&Menu::default(), before).unwrap();
        let after = json!([
            {"external_code": "2", "name": "Ramen"}, {"external_code": "1", "name": "Udon"},
            {"external_code": "3", "name": "soba"}, {"id": "e", "name": "Curry"},
        ]);
        let after: Vec<Value> = serde_json::from_value(after).unwrap();
        let after = level.replace(&before, after).unwrap();
        assert_eq!(level.ids(&after), ["b", "a", "c", "e"]);
        // A stated id belongs only to its entry, and the name does not overrule a different code.
        let last = vec![with_id("c", "Gyoza"), named("Soba"), coded("9", "Udon")];
        let ids = level.ids(&level.replace(&after, last).unwrap());
        assert_eq!(ids[0], "c");
        assert!(ids[1].starts_with("soba-") && ids[2].starts_with("udon-"), "{ids:?}");
    }
}

#[test]
fn equal_names_need_ids_or_codes() {
    for level in LEVELS {
        let none = Menu::default();
        let refused = |entries: Vec<Value>| level.replace(&none, entries).unwrap_err();
        let problems = refused(vec![named("Ramen"), named("Udon"), named("ＲＡＭＥＮ")]);
        assert_eq!(level.pointers(&problems), ["/0/name", "/2/name"]);
        let detail = &problems.as_slice()[0].detail;
        assert!(detail.contains(&format!("{}/2 has the same name", level.pointer())), "{detail}");
        let problems = refused(vec![with_id("a", "Ramen"), named("ramen")]);
        assert_eq!(level.pointers(&problems), ["/0/name", "/1/name"]);
        let bare = format!("and {}/1 has neither", level.pointer());
        assert!(problems.as_slice().iter().all(|problem| problem.detail.ends_with(&bare)), "{problems}");
        let problems = refused(vec![coded("1", "Ramen"), coded("2", "Udon"), coded("1", "Soba")]);
        assert_eq!(level.pointers(&problems), ["/0/external_code", "/2/external_code"]);

        let menu = vec![coded("1", "Ramen"), with_id("a", "Ramen"), coded("2", "ramen")];
        let menu = level.replace(&none, menu).unwrap();
        let ids = level.ids(&menu);
        let turned = vec![coded("2", "Ramen"), coded("1", "Ramen"), with_id("a", "Ramen")];
        let turned = level.ids(&level.replace(&menu, turned).unwrap());
        assert_eq!(turned, [ids[2].as_str(), &ids[0], &ids[1]]);
    }
}

#[test]
fn a_name_that_fits_several_entries_is_a_problem() {
    for level in LEVELS {
        let two =
            level.replace(&Menu::default(), vec![with_id("x", "Ramen"), with_id("x-2", "Ramen")]).unwrap();
        let problems = level.replace(&two, vec![named("Ramen")]).unwrap_err();
        assert_eq!(level.pointers(&problems), ["/0/name"]);
        assert!(problems.to_string().contains("(x, x-2)"), "{problems}");
        let one = level.replace(&Menu::default(), vec![with_id("x", "Ramen")]).unwrap();
        let problems = level.replace(&one, vec![coded("1", "Ramen"), coded("2", "ramen")]).unwrap_err();
        assert_eq!(level.pointers(&problems), ["/0/name", "/1/name"]);
        // An id for one of the entries leaves only one match for the other.
        let stated = json!({"id": "x-2", "external_code": "2", "name": "Ramen"});
        let after = level.replace(&two, vec![coded("1", "Ramen"), stated]).unwrap();
        assert_eq!(level.ids(&after), ["x", "x-2"]);
    }
}

/// Proves that a returning entry gets its id again, unless another entry had the id in the meantime.
#[test]
fn a_returning_entry_gets_its_id_again() {
    for level in LEVELS {
        let replace = |current: &Menu, entries: Vec<Value>| level.replace(current, entries).unwrap();
        let first = replace(&Menu::default(), vec![named("Ramen"), coded("7", "Udon")]);
        let ids = level.ids(&first);
        let [ramen, udon] = ids.as_slice() else { panic!("{ids:?}") };
        let none = replace(&first, vec![named("Tea")]);
        let back = replace(&none, vec![coded("7", "UDON"), named("ramen")]);
        assert_eq!(level.ids(&back), [udon.as_str(), ramen]);

        // Ramen becomes Shoyu Ramen, and another ramen is added: at the same time, and after Shoyu Ramen has been
        // removed.
        let renamed = || with_id(ramen, "Shoyu Ramen");
        let both = replace(&first, vec![named("Ramen"), renamed()]);
        let other = level.ids(&both)[0].clone();
        assert_eq!(other.len(), ramen.len() + 1, "{other}");
        assert_eq!(level.ids(&both)[1], *ramen);
        let gone = replace(&both, vec![named("Tea")]);
        assert_eq!(level.ids(&replace(&gone, vec![named("Ramen")])), [other]);
        let read: Menu = serde_json::from_str(&serde_json::to_string(&gone).unwrap()).unwrap();
        assert_eq!(level.replace(&read, vec![named("Ramen")]), level.replace(&gone, vec![named("Ramen")]));
        // A stated id is used again, and is then free again for its first name.
        let given = replace(&gone, vec![with_id(ramen, "Ramen")]);
        let gone = replace(&given, vec![named("Tea")]);
        assert_eq!(level.ids(&replace(&gone, vec![named("Ramen")]))[0], *ramen);
    }
}

/// Proves that the ids of the options of a removed item do not pass to other options when the item returns.
#[test]
fn a_returning_item_does_not_mix_up_its_options() {
    let options = |first: Value| Level::Options.document(vec![first]);
    let replace = |current: &Menu, document: Value| {
        serde_json::from_value::<MenuDocument>(document).unwrap().validate_against(current).unwrap()
    };
    let before = replace(&Menu::default(), options(named("Egg")));
    let egg = Level::Options.ids(&before).remove(0);
    let renamed = replace(&before, options(with_id(&egg, "Pork")));
    let empty = replace(&renamed, json!({"categories": []}));
    let back = replace(&empty, options(named("Egg")));
    assert_ne!(Level::Options.ids(&back), [egg]);
}

/// Proves that a document with all ids of a menu, as reading the menu returns it, changes nothing.
#[test]
fn a_document_as_read_changes_nothing() {
    for level in LEVELS {
        let entries =
            vec![named("Ramen"), coded("1", "ラーメン"), with_id("a", "Ramen bowl"), coded("2", "ラーメン")];
        let before = level.replace(&Menu::default(), entries).unwrap();
        let renamed = vec![with_id(&level.ids(&before)[0], "Udon")];
        for menu in [before.clone(), level.replace(&before, renamed).unwrap()] {
            let mut read = serde_json::to_value(&menu).unwrap();
            read.as_object_mut().unwrap().retain(|member, _| member == "categories");
            let read: MenuDocument = serde_json::from_value(read).unwrap();
            let again = read.validate_against(&menu).unwrap();
            assert_eq!(again, menu);
            assert!(again.is_stored_as(&menu));
        }
    }
}

/// Names, each in several spellings that are compared as equal.
const NAMES: [&[&str]; 12] = [
    &["Ramen", "RAMEN", "ｒａｍｅｎ", " Ramen  "],
    &["ラーメン", "ﾗｰﾒﾝ"],
    &["つけ麺"],
    &["ผัดไทย"],
    &["น้ำ", "น้\u{e4d}\u{e32}"],
    &["قهوة"],
    &["شاي"],
    &["Café", "CAFÉ", "Cafe\u{301}"],
    &["Cafe", "cafe"],
    &["🍜"],
    &["🍣"],
    &["Straße", "STRASSE"],
];

/// The part of a dish that identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Code(usize),
    Name(usize),
}

#[derive(Clone, Debug)]
struct Dish {
    number: usize,
    name: usize,
    code: Option<usize>,
}

impl Dish {
    fn key(&self) -> Key {
        self.code.map_or(Key::Name(self.name), Key::Code)
    }
}

/// One change of a menu. Numbers refer to names.
#[derive(Clone, Debug)]
enum Change {
    Add { name: usize, with_code: bool },
    AddAgain(Index),
    Remove(Index),
    Rename { dish: Index, name: usize },
    RenameAndAdd { dish: Index, name: usize },
    Swap(Index, Index),
    GiveCode(Index),
    TakeCode(Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let (dish, name) = (any::<Index>, 0..NAMES.len());
    prop_oneof![
        3 => (name.clone(), any::<bool>()).prop_map(|(name, with_code)| Change::Add { name, with_code }),
        2 => dish().prop_map(Change::AddAgain),
        2 => dish().prop_map(Change::Remove),
        2 => (dish(), name.clone()).prop_map(|(dish, name)| Change::Rename { dish, name }),
        2 => (dish(), name).prop_map(|(dish, name)| Change::RenameAndAdd { dish, name }),
        1 => (dish(), dish()).prop_map(|(one, other)| Change::Swap(one, other)),
        1 => dish().prop_map(Change::GiveCode),
        1 => dish().prop_map(Change::TakeCode),
    ]
}

/// A restaurant whose menu is replaced repeatedly.
#[derive(Default)]
struct History {
    menu: Menu,
    dishes: Vec<Dish>,
    removed: Vec<Dish>,
    /// Id of each dish, by its number.
    ids: HashMap<usize, String>,
    /// Key of the last dish that had the id.
    last_keys: HashMap<String, Key>,
    numbers: usize,
}

impl History {
    fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// Returns the dishes after a change, and the numbers of the dishes whose ids the document must state.
    fn changed(&mut self, change: &Change) -> Option<(Vec<Dish>, Vec<usize>)> {
        let mut dishes = self.dishes.clone();
        let mut stated = Vec::new();
        let place = |index: &Index| (!self.dishes.is_empty()).then(|| index.index(self.dishes.len()));
        match change {
            Change::Add { name, with_code } => {
                let number = self.number();
                dishes.push(Dish { number, name: *name, code: with_code.then_some(number) });
            }
            Change::AddAgain(index) => {
                let again = self.removed.get(index.index(self.removed.len().max(1)))?.clone();
                dishes.push(Dish { number: self.number(), ..again });
            }
            Change::Remove(index) => drop(dishes.remove(place(index)?)),
            Change::Rename { dish, name } => {
                let dish = &mut dishes[place(dish)?];
                dish.name = *name;
                stated.extend(dish.code.is_none().then_some(dish.number));
            }
            Change::RenameAndAdd { dish, name } => {
                let dish = &mut dishes[place(dish)?];
                let added = Dish { number: self.numbers + 1, name: dish.name, code: None };
                dish.name = *name;
                stated.extend(dish.code.is_none().then_some(dish.number));
                self.numbers += 1;
                dishes.push(added);
            }
            Change::Swap(one, other) => {
                let (one, other) = (place(one)?, place(other)?);
                let (name, other_name) = (dishes[one].name, dishes[other].name);
                (dishes[one].name, dishes[other].name) = (other_name, name);
                stated.extend([dishes[one].number, dishes[other].number]);
            }
            Change::GiveCode(index) => {
                let place = place(index)?;
                dishes[place].code = dishes[place].code.or(Some(self.number()));
            }
            Change::TakeCode(index) => dishes[place(index)?].code = None,
        }
        Some((dishes, stated))
    }

    /// Replaces the menu. Returns whether the document was valid.
    fn replace(&mut self, level: Level, dishes: Vec<Dish>, stated: &[usize], spelling: usize) -> bool {
        let entry = |dish: &Dish| {
            let spellings = NAMES[dish.name];
            let mut entry = json!({"name": spellings[(spelling + dish.number) % spellings.len()]});
            if let Some(code) = dish.code {
                entry["external_code"] = json!(format!("PLU {code}"));
            }
            if stated.contains(&dish.number) {
                entry["id"] = json!(self.ids[&dish.number]);
            }
            entry
        };
        let Ok(menu) = level.replace(&self.menu, dishes.iter().map(entry).collect()) else { return false };
        for (dish, id) in dishes.iter().zip(level.ids(&menu)) {
            if let Some(current) = self.ids.get(&dish.number) {
                assert_eq!(*current, id, "{dish:?} keeps its id");
            } else if let Some(key) = self.last_keys.get(&id) {
                assert_eq!(*key, dish.key(), "{id} was another dish's, now {dish:?}");
            }
            self.last_keys.insert(id.clone(), dish.key());
            self.ids.insert(dish.number, id);
        }
        let is_gone = |dish: &&Dish| !dishes.iter().any(|current| current.number == dish.number);
        self.removed.extend(self.dishes.iter().filter(is_gone).cloned());
        (self.menu, self.dishes) = (menu, dishes);
        true
    }
}

proptest! {
    /// Proves over whole histories of menus, in several scripts and any order, that a dish on the menu keeps its id,
    /// and that a new dish gets an unused id or the id that it had last. A dish is identified by its external code, or
    /// by its name if it has none.
    #[test]
    fn an_id_never_passes_to_another_entry(
        changes in proptest::collection::vec((any_change(), any::<u64>(), 0_usize..4), 1..25),
        level in prop::sample::select(LEVELS.to_vec()),
    ) {
        let mut history = History::default();
        for (change, order, spelling) in changes {
            let Some((mut dishes, stated)) = history.changed(&change) else { continue };
            dishes.sort_by_key(|dish| (dish.number as u64).wrapping_mul(order | 1));
            history.replace(level, dishes, &stated, spelling);
        }
    }
}

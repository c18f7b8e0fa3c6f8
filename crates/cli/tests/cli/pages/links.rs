//! The index, the links between pages, and the pages that code and scripts name.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use dabba_testkit::{files_below, sources_below};

use super::{pages, root};

/// Proves that the index lists every page.
#[test]
fn the_index_names_every_page() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in pages() {
        let link = page.strip_prefix("docs/").map_or_else(|| format!("../{page}"), str::to_owned);
        let is_listed = index.contains(&format!("]({link})"));
        assert!(is_listed || ["../README.md", "README.md"].contains(&link.as_str()), "{page}");
    }
}

/// Returns the anchors of a page's headings, as GitHub forms them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut is_code = false;
    let headings = text.lines().filter(|line| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code && line.starts_with('#')
    });
    let anchor = |heading: &str| -> String {
        let kept = |letter: char| letter.is_alphanumeric() || "-_ ".contains(letter);
        heading.to_lowercase().chars().filter(|letter| kept(*letter)).collect::<String>().replace(' ', "-")
    };
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// Proves that every link from a page to a file or to a heading has a target.
#[test]
fn links_lead_to_pages_and_headings() {
    let mut failures = String::new();
    for page in pages().into_iter().chain(["CHANGELOG.md".to_owned()]) {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let directory = root().join(&page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            let link = link.trim();
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, heading) =
                link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let path = if file.is_empty() { root().join(&page) } else { directory.join(file) };
            let is_there = path.exists() && heading.is_none_or(|heading| anchors(&path).contains(heading));
            if !is_there {
                writeln!(failures, "{page}: {link}").unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "these links have no target:\n{failures}");
}

/// Places of the repository whose texts name pages.
const NAMING: [&str; 10] = [
    ".ci",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "README.md",
    "clients",
    "clippy.toml",
    "crates",
    "docs",
    "scripts",
];

/// Proves that every page exists that code, a comment, a message, a script or a page names by its path.
#[test]
fn named_pages_exist() {
    let may_be_in_a_path = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let (mut named, mut failures) = (BTreeSet::new(), String::new());
    for path in NAMING.iter().flat_map(|place| files_below(&root().join(place))) {
        // Fixtures are databases, which name no pages.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (start, _) in text.match_indices("docs/") {
            let rest = &text[start..];
            let page = &rest[..rest.find(|letter| !may_be_in_a_path(letter)).unwrap_or(rest.len())];
            let page = page.trim_end_matches('.');
            let is_page = Path::new(page).extension().is_some_and(|end| end == "md" || end == "json");
            if !is_page {
                continue;
            }
            if !root().join(page).exists() {
                writeln!(failures, "{}: {page}", path.display()).unwrap();
            }
            named.insert(page.to_owned());
        }
    }
    assert!(named.len() >= 20, "{named:?}");
    assert!(failures.is_empty(), "these pages do not exist:\n{failures}");
}

/// Messages of `SQLite` and PostgreSQL that pages quote.
const FOREIGN_MESSAGES: [&str; 2] =
    ["database disk image is malformed", "recovery ended before configured recovery target was reached"];

/// Minimum number of words in a quotation that is a message. Names and values have fewer.
const MIN_WORDS: usize = 4;

/// Returns the text with each run of white space as one space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns whether a quotation is a message: several plain words.
fn is_message(quotation: &str) -> bool {
    let is_word = |word: &str| {
        let letters = word.trim_end_matches([',', ';']);
        !letters.is_empty() && letters.chars().all(|letter| letter.is_ascii_lowercase())
    };
    quotation.split(' ').count() >= MIN_WORDS && quotation.split(' ').all(is_word)
}

/// Proves that the code contains every message that a page quotes: operators search their logs for it.
#[test]
fn quoted_messages_exist() {
    let (crates, mut sources) = (root().join("crates"), String::new());
    for (path, source) in sources_below(&crates) {
        if path.strip_prefix(&crates).unwrap().iter().any(|directory| directory == "tests") {
            continue;
        }
        // A backslash continues a literal on the next line.
        sources += &squeezed(&source.replace("\\\n", "\n"));
        sources.push('\n');
    }
    let (mut quoted, mut failures) = (0, String::new());
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let mut is_block = false;
        let lines: Vec<_> = text
            .lines()
            .filter(|line| {
                let is_fence = line.trim_start().starts_with("```");
                is_block ^= is_fence;
                !is_block && !is_fence
            })
            .collect();
        let prose = lines.join("\n");
        let quotations = prose.split('`').skip(1).step_by(2).map(squeezed);
        for message in quotations.filter(|quotation| is_message(quotation)) {
            quoted += 1;
            let is_ours = sources.contains(&format!("\"{message}"));
            if !is_ours && !FOREIGN_MESSAGES.contains(&message.as_str()) {
                writeln!(failures, "{page}: {message}").unwrap();
            }
        }
    }
    assert!(quoted > FOREIGN_MESSAGES.len(), "{quoted}");
    assert!(failures.is_empty(), "no code contains these messages:\n{failures}");
}

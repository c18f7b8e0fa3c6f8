//! Standard output. Only this module writes to it.
//!
//! Standard output carries only what a command was asked for. Logs and failures go to standard error.

use std::{borrow::Cow, io::Write as _, path::Path};

use serde::Serialize;

use crate::failure::Failure;

/// Maximum width of a table.
pub(crate) const WIDTH: usize = 80;

/// Writes a line in one piece and flushes it, so that the reader gets all of it at once. If the reader has closed standard output
/// (`dabba … | head`), the command ends silently.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let text = format!("{text}\n");
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::of_output(&error))
}

/// Writes a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).map_err(Failure::during("writing JSON"))?)
}

/// Writes a value as JSON if `json_wanted` is true, otherwise the text.
pub(crate) fn either(
    json_wanted: bool,
    value: &impl Serialize,
    text: impl std::fmt::Display,
) -> Result<(), Failure> {
    if json_wanted { json(value) } else { line(text) }
}

/// Writes a note for the operator to standard error. Notes are neither log lines nor part of the output.
pub(crate) fn note(text: impl std::fmt::Display) {
    // A failed write of a note is not a failure of the command.
    let _ = writeln!(std::io::stderr(), "dabba: {text}");
}

/// Returns a number with its noun, whose plural ends in `s`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns a text in lines of at most [`WIDTH`] characters. The first line begins with `first`, the others with as many blanks.
/// Words, such as ids and URLs, stay whole.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let blanks = " ".repeat(first.chars().count());
    let options =
        textwrap::Options::new(WIDTH).initial_indent(first).subsequent_indent(&blanks).break_words(false);
    textwrap::fill(text, options)
}

/// Returns the text as one word of a shell in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the path as one word of a shell, in quotes only if it needs them.
pub(crate) fn shell_word(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text } else { quoted(&text).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_shell_has_quotes_if_it_needs_them() {
        assert_eq!(quoted("it's $5"), r"'it'\''s $5'");
        for (path, word) in
            [("/a/b-c", "/a/b-c"), ("my data", "'my data'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    #[test]
    fn a_long_text_is_wrapped_between_words() {
        let id = "x".repeat(60);
        let wrapped = wrapped(
            "  reason  ",
            &format!("{id} is an id that stays in one piece, and more words follow it"),
        );
        let lines: Vec<&str> = wrapped.lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{wrapped}");
        assert!(
            lines[0].starts_with(&format!("  reason  {id}")) && lines[1].starts_with("          "),
            "{wrapped}"
        );
    }
}

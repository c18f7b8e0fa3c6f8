//! What a panic says, for those who catch one so that it costs one task or one request.

use std::any::Any;

/// The text of a panic that was caught; `None` when it has none.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&'static str>().copied())
}

//! Integers with a maximum that the API description states. The maximum is checked while the body is read, so a request with a
//! wrong value is refused before the server reads the state that the request depends on.

use dabba_domain::whole_number;
use serde::{Deserialize, Deserializer, de::Error};

/// Reads an integer of at most `MAX`.
pub(crate) fn at_most<'de, const MAX: u32, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    check::<MAX, _>(u32::deserialize(deserializer)?)
}

/// Reads an integer of at most `MAX`, or `null`. The member is required.
pub(crate) fn null_or_at_most<'de, const MAX: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    Option::deserialize(deserializer)?.map(check::<MAX, _>).transpose()
}

fn check<const MAX: u32, E: Error>(number: u32) -> Result<u32, E> {
    if number <= MAX {
        Ok(number)
    } else {
        Err(E::custom(format_args!("must be {}, not {number}", whole_number(0, MAX))))
    }
}

//! Random texts of digits and letters, for secrets that people copy and that are part of an address.

use crate::Random;

/// Digits in base 62.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Returns the digit for the remainder of a number.
pub(crate) fn digit(number: u64) -> char {
    char::from(DIGITS[usize::try_from(number % 62).unwrap_or(0)])
}

/// Returns random digits. Each has almost 6 bits: the remainder of 64 random bits prefers no digit by more than one in
/// 2^58.
pub(crate) fn random_digits(random: &dyn Random, count: usize) -> impl Iterator<Item = char> {
    (0..count).map(|_| digit(random.next_u64()))
}

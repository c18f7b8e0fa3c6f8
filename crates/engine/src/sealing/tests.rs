use proptest::prelude::*;

use super::*;
use crate::SeededRandom;

const PLACE: SecretPlace<'static> = SecretPlace { purpose: "webhook endpoint", row: "0190" };

fn line(byte: u8) -> String {
    hex::encode([byte; MIN_KEY_BYTES])
}

fn keys(bytes: &[u8]) -> SecretKeys {
    let lines: Vec<String> = bytes.iter().map(|byte| line(*byte)).collect();
    SecretKeys::parse(&lines.join("\n")).unwrap()
}

fn sealed(keys: &SecretKeys, secret: &[u8]) -> Vec<u8> {
    keys.seal(PLACE, secret, &SeededRandom::new(7)).unwrap()
}

/// Proves that stored secrets open: derivation, format and associated data must never change. Another implementation
/// (Python's `cryptography`) sealed this secret by the description of the module.
#[test]
fn a_secret_of_another_implementation_opens() {
    let header_and_nonce = "0139cc94d98bb8ec6e000102030405060708090a0b";
    let encrypted = "55eb8f2c7753b1741c77776e8c1d1d67a03e41eff772";
    let stored = hex::decode([header_and_nonce, encrypted].concat()).unwrap();
    assert_eq!(keys(&[1]).open(PLACE, &stored).unwrap().as_bytes(), b"secret");
}

/// Proves that the first key seals, that all keys open, and which secrets a removal of the old key would lose.
#[test]
fn a_new_key_seals_and_an_old_key_still_opens() {
    let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
    let before = sealed(&old, b"secret");
    assert_eq!(both.open(PLACE, &before).unwrap().as_bytes(), b"secret");
    assert!(!both.is_sealed_with_newest(&before) && old.is_sealed_with_newest(&before));
    let after = sealed(&both, b"secret");
    assert!(both.is_sealed_with_newest(&after) && new.is_sealed_with_newest(&after));
    assert_eq!(new.open(PLACE, &after).unwrap().as_bytes(), b"secret");
    let error = new.open(PLACE, &before).unwrap_err();
    let SealingError::UnknownKey { key_id, .. } = &error else { panic!("{error}") };
    assert_eq!(format!("{old:?}"), format!("[\"{key_id}\"]"));
    assert!(error.to_string().contains("webhook endpoint 0190"), "{error}");
    assert!(matches!(old.open(PLACE, &after), Err(SealingError::UnknownKey { .. })));
}

/// Proves that a sealed secret opens neither in another row nor for another purpose, also if the concatenated names are
/// equal.
#[test]
fn a_moved_secret_does_not_open() {
    let keys = keys(&[1]);
    let sealed = sealed(&keys, b"secret");
    for (purpose, row) in [
        ("webhook endpoint", "0191"),
        ("partner", "0190"),
        ("webhook endpoint0", "190"),
        ("", "webhook endpoint0190"),
    ] {
        let place = SecretPlace { purpose, row };
        let error = keys.open(place, &sealed).unwrap_err();
        assert_eq!(error, SealingError::Damaged { place: format!("{purpose} {row}") });
        assert!(error.to_string().contains(&format!("{purpose} {row}")), "{error}");
    }
}

/// Proves that every changed bit, every cut and every addition is detected.
#[test]
fn a_damaged_secret_does_not_open() {
    let keys = keys(&[1, 2]);
    let sealed = sealed(&keys, b"secret");
    for bit in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = keys.open(PLACE, &damaged).unwrap_err();
        let is_expected = match (bit / 8, &error) {
            (0, SealingError::UnknownFormat { .. }) => true,
            (1..HEADER_BYTES, SealingError::UnknownKey { .. }) => true,
            (at, SealingError::Damaged { .. }) => at >= HEADER_BYTES,
            _ => false,
        };
        assert!(is_expected, "bit {bit}: {error}");
    }
    for length in 0..sealed.len() {
        assert!(matches!(keys.open(PLACE, &sealed[..length]), Err(SealingError::Damaged { .. })), "{length}");
    }
    for added in [1, MAX_SECRET_BYTES * 2] {
        let longer = [sealed.clone(), vec![0; added]].concat();
        assert!(matches!(keys.open(PLACE, &longer), Err(SealingError::Damaged { .. })));
    }
}

/// Proves that two seals of one secret have nothing but the header in common, so equal secrets are not recognizable.
#[test]
fn each_seal_has_its_own_nonce() {
    let keys = keys(&[1]);
    let random = SeededRandom::new(1);
    let seal = || keys.seal(PLACE, &[0; 64], &random).unwrap();
    let (one, two) = (seal(), seal());
    assert_ne!(one[HEADER_BYTES..][..NONCE_LEN], two[HEADER_BYTES..][..NONCE_LEN]);
    assert_ne!(one[HEADER_BYTES + NONCE_LEN..], two[HEADER_BYTES + NONCE_LEN..]);
}

/// Proves the limit of a secret's length, and that no output contains a secret or a key.
#[test]
fn nothing_shows_a_secret_or_a_key() {
    let keys = keys(&[0xab]);
    let error = keys.seal(PLACE, &vec![b'x'; MAX_SECRET_BYTES + 1], &SeededRandom::new(1)).unwrap_err();
    assert!(!error.to_string().contains("xx") && !format!("{error:?}").contains("120"), "{error:?}");
    let opened = keys.open(PLACE, &sealed(&keys, &vec![b'x'; MAX_SECRET_BYTES])).unwrap();
    assert_eq!(opened.as_bytes().len(), MAX_SECRET_BYTES);
    assert_eq!(format!("{opened:?}"), "OpenedSecret(…)");
    assert!(!format!("{keys:?}").contains("abab"), "{keys:?}");
}

/// Proves the accepted forms of a key file, and that an error names the line without its content.
#[test]
fn a_key_file_contains_one_key_per_line() {
    let text = format!("# newest\n{}\r\n\n  {}\t\n", line(1).to_uppercase(), line(2));
    assert_eq!(format!("{:?}", SecretKeys::parse(&text).unwrap()), format!("{:?}", keys(&[1, 2])));
    let many: Vec<String> = (0..=16).map(line).collect();
    for (text, error) in [
        (String::new(), SecretKeysError::Empty),
        ("# only a comment".to_owned(), SecretKeysError::Empty),
        ("ab".repeat(31), SecretKeysError::Line(1)),
        (format!("{}\n{}zz", line(1), line(2)), SecretKeysError::Line(2)),
        ("ab".repeat(MAX_KEY_BYTES + 1), SecretKeysError::Line(1)),
        (format!("{}\n\n{}", line(1), line(1)), SecretKeysError::Repeated(3)),
        (many.join("\n"), SecretKeysError::TooMany),
    ] {
        let found = SecretKeys::parse(&text).unwrap_err();
        assert!(!found.to_string().contains("abab"), "{found}");
        assert_eq!(found, error);
    }
    assert!(SecretKeys::parse(&many[..16].join("\n")).is_ok());
}

proptest! {
    /// Proves that any secret opens in the place in which any of the keys sealed it, and in no other place.
    #[test]
    fn a_sealed_secret_opens_in_its_place_only(
        secret in proptest::collection::vec(any::<u8>(), 0..200),
        (purpose, row) in (".{0,9}", ".{0,9}"),
        (other_purpose, other_row) in (".{0,9}", ".{0,9}"),
        seed in any::<u64>(),
    ) {
        let keys = keys(&[3]);
        let place = SecretPlace { purpose: &purpose, row: &row };
        let sealed = keys.seal(place, &secret, &SeededRandom::new(seed)).unwrap();
        let opened = keys.open(place, &sealed).unwrap();
        prop_assert_eq!(opened.as_bytes(), &secret[..]);
        let other = SecretPlace { purpose: &other_purpose, row: &other_row };
        prop_assert_eq!(keys.open(other, &sealed).is_ok(), other == place);
    }

    /// Proves that no bytes make `open` panic.
    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(keys(&[1]).open(PLACE, &bytes).is_err());
    }
}

//! Types of settings with their own rules. Every source is checked with the same rules.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use dabba_store_postgres::PostgresStore;
use dabba_web::{CorsOrigins, Network};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    named_file,
    redaction::{place_of, shown, without_secrets},
};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    fn new(number: u64) -> Result<Self, String> {
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(Self::wrong(number)) }
    }

    fn wrong(found: impl fmt::Display) -> String {
        format!("{}, not {found}", Self::allowed())
    }

    fn allowed() -> String {
        format!("must be a whole number from {MIN} to {MAX}")
    }

    /// Returns the number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// Returns the number as a size. `MAX` is far below the maximum of `usize`.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Returns the number with 32 bits.
    pub(crate) fn small(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// Returns the number as milliseconds.
    pub(crate) const fn milliseconds(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Returns the number as seconds.
    pub(crate) const fn seconds(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Bounded<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.trim().parse().map_err(|_| Self::wrong(shown(text)))?)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The signed type accepts negative numbers, so that the message shows them; an unsigned type would fail with the
        // library's message.
        let number = i64::deserialize(deserializer).map_err(|_| de::Error::custom(Self::allowed()))?;
        u64::try_from(number).map_err(|_| Self::wrong(number)).and_then(Self::new).map_err(de::Error::custom)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Bounded<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// Number of connections.
pub(crate) type PoolSize = Bounded<1, 1_000>;
/// Time limit for work in a database.
pub(crate) type Milliseconds = Bounded<1, 600_000>;
/// Time for which a connection is kept.
pub(crate) type PoolSeconds = Bounded<1, 604_800>;

/// Location of a PostgreSQL database: a URL, or `file:` and the path of a file that contains the URL. The URL may contain a
/// password, so it is not shown whole.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl {
    url: String,
    file: Option<PathBuf>,
}

impl DatabaseUrl {
    /// Returns the whole URL, for connecting.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Returns the file that contains the URL; `None` if the URL was given directly.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns the text as it was given, for another process or file.
    pub(crate) fn as_given(&self) -> Cow<'_, str> {
        match &self.file {
            Some(file) => format!("{FILE_PREFIX}{}", file.display()).into(),
            None => self.url.as_str().into(),
        }
    }
}

/// Reason why a message does not show a wrong URL: the position of a password in a malformed URL is unknown.
pub(crate) const NOT_REPEATED: &str = "the given value is not shown, since it may contain a password";

/// Prefix of a text that names a file with a URL.
const FILE_PREFIX: &str = "file:";

/// Returns whether a text is the URL of a PostgreSQL database.
pub(crate) fn is_database_url(text: &str) -> bool {
    text.starts_with("postgresql://") || text.starts_with("postgres://")
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(FILE_PREFIX) else {
            if !is_database_url(text) {
                return Err(format!(
                    "must be a URL that begins with postgresql://, or file:PATH; {NOT_REPEATED}"
                ));
            }
            PostgresStore::check_url(text)?;
            return Ok(Self { url: text.to_owned(), file: None });
        };
        let file = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        let text = named_file::read(&file)?;
        let url = text.trim();
        let place = without_secrets(&file.to_string_lossy());
        if !is_database_url(url) || url.lines().count() != 1 {
            return Err(format!("the file {place} must contain one URL that begins with postgresql://"));
        }
        PostgresStore::check_url(url)
            .map_err(|why| format!("the URL in the file {place} cannot be used: {why}"))?;
        Ok(Self { url: url.to_owned(), file: Some(file) })
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_given())
    }
}

/// Shows host and database, without user, password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&place_of(&self.url))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A name that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// Returns the name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(Self(text.to_owned())) }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Filter for logged events, in the syntax of `tracing_subscriber`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

impl LogFilter {
    /// Returns the text of the filter, which is known to be valid.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `tracing_subscriber` would interpret a word such as `warning` as a module, and log nothing.
        let is_level = |word: &str| {
            !word.trim().is_empty() && word.trim().parse::<tracing::level_filters::LevelFilter>().is_ok()
        };
        let mut words = text.split(',').filter(|directive| !directive.contains('='));
        if words.all(is_level) && tracing_subscriber::EnvFilter::try_new(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "must be a level (off, error, warn, info, debug, trace), or levels of modules as in info,dabba_engine=debug, not \
             {:?}",
            shown(text)
        ))
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("must be text or json, not {:?}", shown(text))),
        }
    }
}

impl<'de> Deserialize<'de> for LogFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Payment provider for cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaymentGatewayName {
    /// Stripe.
    Stripe,
    /// A simulation that moves no money.
    Simulated,
}

impl FromStr for PaymentGatewayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stripe" => Ok(Self::Stripe),
            "simulated" => Ok(Self::Simulated),
            _ => Err(format!("must be stripe or simulated, not {:?}", shown(text))),
        }
    }
}

impl<'de> Deserialize<'de> for PaymentGatewayName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// URL of an HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl(String);

impl WebUrl {
    /// Returns the URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!("must be a URL that begins with https:// or http://; {NOT_REPEATED}")),
        }
    }
}

impl<'de> Deserialize<'de> for WebUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Networks, separated by commas. An empty text means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

impl Networks {
    /// Returns the networks.
    pub(crate) fn to_vec(&self) -> Vec<Network> {
        self.0.clone()
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |part: &str| {
            part.parse().map_err(|_| {
                let part = shown(part);
                format!(
                    "{part:?} is not a network: give an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or fd00::/8"
                )
            })
        };
        parts(text).map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Origins of pages, separated by commas; `*` for any. An empty text means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origins(CorsOrigins);

impl Origins {
    /// Returns the origins.
    pub(crate) fn to_rule(&self) -> CorsOrigins {
        self.0.clone()
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = parts(text).collect();
        if names == ["*"] {
            return Ok(Self(CorsOrigins::Any));
        }
        let origins: Vec<_> = names.into_iter().map(origin).collect::<Result<_, _>>()?;
        Ok(Self(if origins.is_empty() { CorsOrigins::None } else { CorsOrigins::List(origins) }))
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Returns an origin as a browser sends it: in lower case, without a path.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "{:?} is not an origin: give a scheme and a host, and a port if it is not the scheme's, such as \
             https://shop.example.org or http://localhost:5173; or * alone for any origin",
            shown(text)
        )
    };
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin().ascii_serialization();
    if !matches!(url.scheme(), "http" | "https") || !origin.eq_ignore_ascii_case(text) {
        return Err(wrong());
    }
    Ok(origin)
}

/// Hosts, separated by commas. An empty text means none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Returns the hosts.
    pub(crate) fn to_vec(&self) -> Vec<String> {
        self.0.clone()
    }
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = |name: &str| {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            if is_address || name.bytes().all(is_name) {
                return Ok(name.to_ascii_lowercase());
            }
            Err(format!(
                "{:?} is not a host: give names or addresses without scheme, port and path, such as \
                 api.example.org, 192.0.2.7 or [2001:db8::7]",
                shown(name)
            ))
        };
        parts(text).map(host).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Returns the parts of a list that is separated by commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn networks_are_checked_when_read() {
        let networks: Networks = "10.0.0.0/8, fd00::/8,192.0.2.7".parse().unwrap();
        assert_eq!(networks.to_vec().len(), 3);
        assert_eq!("".parse::<Networks>().unwrap().to_vec(), []);
        for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0.0/-1", "fd00::/129"] {
            assert!(wrong.parse::<Networks>().unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn origins_are_checked_when_read() {
        let rule = |text: &str| text.parse::<Origins>().unwrap().to_rule();
        assert_eq!((rule(""), rule(" * ")), (CorsOrigins::None, CorsOrigins::Any));
        let two = ["https://shop.example.org", "http://localhost:5173"];
        assert_eq!(rule(&two.join(", ").to_uppercase()), CorsOrigins::List(two.map(str::to_owned).to_vec()));
        for wrong in
            ["shop.example.org", "https://shop.example.org/", "ftp://x", "https://a:443", "*,https://a"]
        {
            assert!(wrong.parse::<Origins>().unwrap_err().contains("is not an origin"), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_checked_when_read() {
        let hosts: Hosts = "API.example.org, 192.0.2.7,[2001:db8::7]".parse().unwrap();
        assert_eq!(hosts.to_vec(), ["api.example.org", "192.0.2.7", "[2001:db8::7]"]);
        for wrong in ["https://a", "a:80", "a/b", "[a]", "2001:db8::7"] {
            assert!(wrong.parse::<Hosts>().unwrap_err().contains("is not a host"), "{wrong}");
        }
    }

    #[test]
    fn a_bounded_number_is_refused_with_its_bounds() {
        assert_eq!("5".parse::<Bounded<1, 9>>().unwrap().get(), 5);
        assert_eq!("0".parse::<Bounded<1, 9>>().unwrap_err(), "must be a whole number from 1 to 9, not 0");
        assert_eq!("x".parse::<Bounded<1, 9>>().unwrap_err(), "must be a whole number from 1 to 9, not x");
    }

    #[test]
    fn a_database_is_shown_without_its_password() {
        let text = "postgresql://user:p@ss@host:5432/db?password=secret";
        let url: DatabaseUrl = text.parse().unwrap();
        let shown = "postgresql://host:5432/db".to_owned();
        assert_eq!((url.to_string(), format!("{url:?}")), (shown.clone(), shown));
        assert_eq!((url.as_str(), &*url.as_given()), (text, text));
        let error = "mysql://user:secret@host/db".parse::<DatabaseUrl>().unwrap_err();
        assert!(error.contains("postgresql://") && !error.contains("secret"), "{error}");
    }

    /// Proves that a URL is read from a file and passed on as that file, and that the message about a wrong file names the file
    /// without its text.
    #[test]
    fn a_url_is_read_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("database");
        fs::write(&path, "postgresql://u:secret@host/db\n").unwrap();
        for prefix in ["file:", "file://"] {
            let url: DatabaseUrl = format!("{prefix}{}", path.display()).parse().unwrap();
            assert_eq!(url.as_str(), "postgresql://u:secret@host/db");
            assert_eq!(url.as_given(), format!("file:{}", path.display()));
            assert_eq!(url.file(), Some(path.as_path()));
        }
        for wrong in ["", "secret", "postgresql://u:secret@host/db\npostgresql://u:secret@host/db"] {
            fs::write(&path, wrong).unwrap();
            let error = format!("file:{}", path.display()).parse::<DatabaseUrl>().unwrap_err();
            assert!(error.contains("one URL") && !error.contains("secret"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        let error = format!("file:{}", path.display()).parse::<DatabaseUrl>().unwrap_err();
        assert!(error.contains("cannot be read") && error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn log_settings_are_checked_when_read() {
        assert!("info,dabba_engine=debug".parse::<LogFilter>().is_ok());
        for wrong in ["dabba=loud", "warning", "inof", "", "info,dabba_engine"] {
            assert!(wrong.parse::<LogFilter>().unwrap_err().starts_with("must be a level"), "{wrong}");
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }
}

//! The file that lists the shards.
//!
//! ```toml
//! directory = "north"            # keeps accounts and memberships; default: the first shard
//!
//! [[shard]]
//! name = "north"
//! buckets = "0-2047"
//! url = "postgresql://dabba@north.example/dabba?sslmode=verify-full"
//! replica_url = "postgresql://dabba@north-replica.example/dabba"
//! pool = { size = 24 }           # omitted entries: as in the settings
//!
//! [[shard]]
//! name = "south"
//! buckets = "2048-4095"
//! split_from = "north"           # south's database began as a copy of north's; or the former name of south
//! url = "postgresql://dabba@south.example/dabba"
//! ```

use std::{fmt, fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use dabba_store::{BucketRange, ShardMap, ShardRange};
use dabba_store_postgres::Ownership;
use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    named_file,
    settings::{DatabaseUrl, Milliseconds, Names, PoolSeconds, PoolSize, describe_refusal, parse_file},
};

/// Only the owner may read and write the file: its URLs may contain passwords.
const OWNER_ONLY: u32 = 0o600;

/// Names that the file may contain.
const NAMES: Names<'_> = Names { known: &["directory"], tables: &[("shard", SHARD_NAMES)] };
const SHARD_NAMES: Names<'_> = Names {
    known: &["name", "buckets", "split_from", "url", "replica_url"],
    tables: &[("pool", POOL_NAMES)],
};
const POOL_NAMES: Names<'_> = Names {
    known: &[
        "size",
        "wait_milliseconds",
        "idle_seconds",
        "lifetime_seconds",
        "connect_timeout_milliseconds",
        "statement_timeout_milliseconds",
    ],
    tables: &[],
};

/// Returns why a URL of the file is refused; `None` for values that are not URLs of databases.
fn wrong_url(name: &str, value: &toml::Value) -> Option<String> {
    let is_url = matches!(name, "url" | "replica_url");
    let refusal = value.as_str().filter(|_| is_url)?.parse::<DatabaseUrl>().err()?;
    Some(describe_refusal(name, &refusal))
}

/// The shards. Each bucket is in exactly one of them.
#[derive(Clone, Debug)]
pub(crate) struct ShardsFile {
    document: Document,
    map: ShardMap,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    #[serde(rename = "shard")]
    shards: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    buckets: BucketRange,
    /// See [`ShardRange::split_from`].
    #[serde(skip_serializing_if = "Option::is_none")]
    split_from: Option<String>,
    url: DatabaseUrl,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica_url: Option<DatabaseUrl>,
    #[serde(default, skip_serializing_if = "Pool::is_empty")]
    pool: Pool,
}

/// Connection settings of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<PoolSize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait_milliseconds: Option<Milliseconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_seconds: Option<PoolSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime_seconds: Option<PoolSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout_milliseconds: Option<Milliseconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement_timeout_milliseconds: Option<Milliseconds>,
}

impl Pool {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One shard of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard<'a> {
    pub(crate) name: &'a str,
    pub(crate) buckets: BucketRange,
    pub(crate) url: &'a DatabaseUrl,
    pub(crate) replica_url: Option<&'a DatabaseUrl>,
    pub(crate) is_directory: bool,
    pool: &'a Pool,
}

impl Shard<'_> {
    /// Returns what the shard's database must state about itself.
    pub(crate) fn ownership(&self) -> Ownership {
        Ownership { name: self.name.to_owned(), buckets: self.buckets, is_directory: self.is_directory }
    }

    /// Returns the settings of the shard's connections.
    pub(crate) const fn pool(&self) -> &Pool {
        self.pool
    }
}

impl fmt::Display for Shard<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shard {} at {}", self.name, self.url)
    }
}

impl ShardsFile {
    /// Returns a map of a single database that holds everything.
    pub(crate) fn sole(url: DatabaseUrl, replica_url: Option<DatabaseUrl>) -> Self {
        let Ownership { name, buckets, .. } = Ownership::sole();
        let entry = Entry { name, buckets, split_from: None, url, replica_url, pool: Pool::default() };
        let map = ShardMap::sole(&entry.name);
        Self { document: Document { directory: None, shards: vec![entry] }, map }
    }

    /// Reads and checks a shards file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let during = format!("the shards in {}", path.display());
        let text = named_file::read(path).map_err(Failure::during("the shards"))?;
        Self::parse(&text).map_err(Failure::during(&during))
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(parse_file(text, "entry", NAMES, wrong_url)?)
    }

    fn new(document: Document) -> Result<Self, String> {
        let range = |entry: &Entry| ShardRange {
            name: entry.name.clone(),
            buckets: entry.buckets,
            split_from: entry.split_from.clone(),
        };
        let map =
            ShardMap::new(document.shards.iter().map(range).collect()).map_err(|error| error.to_string())?;
        if let Some(directory) = &document.directory
            && !document.shards.iter().any(|entry| entry.name == *directory)
        {
            return Err(format!(
                "directory must be the name of a shard, and there is no shard {directory:?}"
            ));
        }
        Ok(Self { document, map })
    }

    /// Returns the map from shards to buckets.
    pub(crate) const fn map(&self) -> &ShardMap {
        &self.map
    }

    /// Returns the name of the shard that keeps accounts and memberships.
    pub(crate) fn directory(&self) -> &str {
        let first = self.map.shards().first().map_or("", |shard| shard.name.as_str());
        self.document.directory.as_deref().unwrap_or(first)
    }

    /// Returns the shards in the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Shard<'_>> {
        self.document.shards.iter().map(|Entry { name, buckets, url, replica_url, pool, .. }| Shard {
            name,
            buckets: *buckets,
            url,
            replica_url: replica_url.as_ref(),
            is_directory: name == self.directory(),
            pool,
        })
    }

    /// Returns the shard with this name.
    pub(crate) fn shard(&self, name: &str) -> Option<Shard<'_>> {
        self.iter().find(|shard| shard.name == name)
    }

    /// Returns the same shards with one of them split: the shard keeps the first range, and a new shard after it gets
    /// the second range and the same connection settings, and states from which shard it was split.
    pub(crate) fn split(
        &self,
        name: &str,
        (kept, given): (BucketRange, BucketRange),
        (new_name, url, replica_url): (&str, DatabaseUrl, Option<DatabaseUrl>),
    ) -> Result<Self, String> {
        let mut document = self.document.clone();
        // Without an explicit directory, the first shard is the directory. It remains the directory.
        document.directory = Some(self.directory().to_owned());
        let place = document.shards.iter().position(|entry| entry.name == name);
        let place = place.ok_or_else(|| format!("there is no shard {name:?}"))?;
        let entry = &mut document.shards[place];
        entry.buckets = kept;
        let pool = entry.pool;
        let new = Entry {
            name: new_name.to_owned(),
            buckets: given,
            split_from: Some(name.to_owned()),
            url,
            replica_url,
            pool,
        };
        document.shards.insert(place + 1, new);
        Self::new(document)
    }

    /// Returns the text of the file.
    pub(crate) fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(&self.document).map_err(Failure::during("writing the shards"))
    }

    /// Writes a new file, readable by its owner only. Does not replace a file with other contents.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = self.to_toml()?;
        if fs::read_to_string(path).is_ok_and(|found| found == text) {
            return Ok(());
        }
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path);
        let written =
            file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(Failure::during(format!("writing {}", path.display())))
    }

    /// Returns why [`Self::write`] could not write to this path. Changes nothing.
    pub(crate) fn problem_of_writing(&self, path: &Path) -> Result<Option<String>, Failure> {
        if path.exists() {
            let text = self.to_toml()?;
            let is_written = fs::read_to_string(path).is_ok_and(|found| found == text);
            return Ok((!is_written).then(|| {
                format!(
                    "{} exists with other contents than the new map: choose another file name",
                    path.display()
                )
            }));
        }
        let made = fs::OpenOptions::new().write(true).create_new(true).open(path);
        Ok(made
            .and_then(|_| fs::remove_file(path))
            .err()
            .map(|error| format!("the new map cannot be written to {}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        [[shard]]
        name = "north"
        buckets = "0-2047"
        url = "postgresql://dabba:secret@north.example/dabba"
        pool = { size = 24 }

        [[shard]]
        name = "south"
        buckets = "2048-4095"
        url = "postgresql://south.example/dabba"
        replica_url = "postgresql://replica.example/dabba"
    "#;

    #[test]
    fn a_file_states_every_property_of_each_shard() {
        let file = ShardsFile::parse(TWO).unwrap();
        let shards: Vec<_> = file.iter().collect();
        assert_eq!((shards[0].name, shards[1].name), ("north", "south"));
        assert_eq!(shards[0].pool().size.unwrap().small(), 24);
        assert!(shards[0].is_directory && !shards[1].is_directory);
        assert_eq!(shards[1].replica_url.unwrap().as_str(), "postgresql://replica.example/dabba");
        assert!(!format!("{file:?} {}", shards[0]).contains("secret"), "a password is never shown");
        let file = ShardsFile::parse(&format!("directory = \"south\"\n{TWO}")).unwrap();
        assert!(file.shard("south").unwrap().is_directory && !file.shard("north").unwrap().is_directory);
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_reason() {
        for (from, to, part) in [
            ("2048-4095", "2048-4094", "4095-4095 are in no shard"),
            ("2048-4095", "2047-4095", "2047-2047 are in both north and south"),
            ("size = 24", "size = 0", "from 1 to 1000, not 0"),
            ("size = 24", "sise = 24", "line 6: there is no entry \"sise\"; did you mean size?"),
            (
                "replica_url",
                "replica_uri",
                "line 12: there is no entry \"replica_uri\"; did you mean replica_url?",
            ),
            ("buckets = \"0-2047\"", "buckets = ", "line 4: buckets: "),
            ("postgresql://south", "mysql://south", "postgresql://"),
            (
                "name = \"north\"",
                "name = \"north\"\nsplit_from = \"north\"",
                "\"north\" is split from itself",
            ),
            (
                "[[shard]]\n        name = \"north\"",
                "directory = \"east\"\n[[shard]]\nname = \"north\"",
                "\"east\"",
            ),
        ] {
            let error = ShardsFile::parse(&TWO.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(part), "{to}: {error}");
        }
        for (from, to) in
            [("/dabba\"", "/dabba"), ("url = \"postgresql", "url = \"mysql"), ("url = ", "url: ")]
        {
            let error = ShardsFile::parse(&TWO.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains("line 5") && !error.contains("secret"), "{to}: {error}");
        }
    }

    #[test]
    fn splitting_a_shard_leaves_the_others_unchanged() {
        let file = ShardsFile::parse(TWO).unwrap();
        let ranges = ("0-9".parse().unwrap(), "10-2047".parse().unwrap());
        let new = ("east", "postgresql://east.example/dabba".parse::<DatabaseUrl>().unwrap(), None);
        let split = file.split("north", ranges, new.clone()).unwrap();
        let again = ShardsFile::parse(&split.to_toml().unwrap()).unwrap();
        for file in [&split, &again] {
            let ranges: Vec<_> = file.iter().map(|shard| (shard.name, shard.buckets.to_string())).collect();
            let expected = [("north", "0-9"), ("east", "10-2047"), ("south", "2048-4095")];
            assert_eq!(ranges, expected.map(|(name, range)| (name, range.to_owned())));
            assert_eq!(file.directory(), "north");
            let parents: Vec<_> =
                file.map().shards().iter().map(|shard| shard.split_from.as_deref()).collect();
            assert_eq!(parents, [None, Some("north"), None]);
            assert_eq!(file.shard("east").unwrap().pool().size.unwrap().small(), 24);
            assert_eq!(
                file.shard("north").unwrap().url.as_str(),
                "postgresql://dabba:secret@north.example/dabba"
            );
        }
        let taken = file.split("north", ranges, ("south", new.1, None)).unwrap_err();
        assert!(taken.contains("two shards have the name \"south\""), "{taken}");
    }
}

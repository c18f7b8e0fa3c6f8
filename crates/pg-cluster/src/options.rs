//! Options of a cluster.

/// Whether committed data survives a crash of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Does not survive: `fsync` is off, and the files are in memory if there is space. This makes tests that are not
    /// about crashes faster. A crash of the server alone still loses nothing.
    #[default]
    Fast,
    /// Survives, as in production.
    Durable,
}

/// Options of a new cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Whether a commit waits for the disk.
    pub durability: Durability,
    /// Whether the server listens on a TCP port of the loopback address in addition to its Unix socket.
    pub tcp: bool,
    /// Whether every finished WAL segment is copied to [`crate::Cluster::archive`].
    pub archive: bool,
    /// Names and values for `postgresql.auto.conf`, written after all others.
    pub settings: Vec<(String, String)>,
    /// Names and contents of files to write to the data directory, such as certificates. Only the server's user
    /// can read them.
    pub files: Vec<(String, Vec<u8>)>,
}

impl ClusterOptions {
    /// Makes commits wait for the disk.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durability = Durability::Durable;
        self
    }

    /// Makes the server listen on a TCP port too.
    #[must_use]
    pub fn with_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Makes the server archive its WAL.
    #[must_use]
    pub fn with_archive(mut self) -> Self {
        self.archive = true;
        self
    }

    /// Adds a PostgreSQL setting.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a file to the data directory.
    #[must_use]
    pub fn with_file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }
}

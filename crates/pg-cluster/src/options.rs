//! What can be chosen about a cluster.

/// Whether what was committed survives a crash of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// No: `fsync` is off, so that tests that are not about crashes are quick. A crash of the server
    /// alone still loses nothing.
    #[default]
    Fast,
    /// Yes, as in production.
    Durable,
}

/// How to make a cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// Whether it waits for the disk.
    pub durability: Durability,
    /// Whether it listens on a port of the loopback address besides its socket.
    pub tcp: bool,
    /// Whether every finished segment of the log is copied to [`crate::Cluster::archive`].
    pub archive: bool,
    /// Lines for `postgresql.conf`, after all others.
    pub settings: Vec<(String, String)>,
    /// Files to put into the data directory, readable by the server's user alone: a name and its
    /// content. For certificates.
    pub files: Vec<(String, Vec<u8>)>,
}

impl ClusterOptions {
    /// The same, waiting for the disk.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durability = Durability::Durable;
        self
    }

    /// The same, listening on a port too.
    #[must_use]
    pub fn with_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// The same, archiving its log.
    #[must_use]
    pub fn with_archive(mut self) -> Self {
        self.archive = true;
        self
    }

    /// The same, with a setting.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, with a file in the data directory.
    #[must_use]
    pub fn with_file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }
}

//! One cluster, from its making to its end.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{ClusterError, ClusterOptions, Durability, install::Installation};

/// The superuser of every cluster. Connections are trusted.
pub(crate) const USER: &str = "dabba";

/// The port where a cluster listens on no address: it only names the socket.
const SOCKET_PORT: u16 = 5_432;

/// How often to look for a free port before giving up: another program may take it in between.
const MAX_PORT_ATTEMPTS: u32 = 5;

/// What the watching script does. It ends when its input does; see the crate's description.
const WATCH: &str = r#"
cat > /dev/null
"$1/pg_ctl" stop --mode immediate --silent --pgdata "$2/data"
rm -rf "$2"
"#;

/// Settings by name, in the order in which they are written: the last one counts.
pub(crate) type Settings = Vec<(String, String)>;

/// A running cluster, which is stopped and removed when this is dropped or the process ends.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    directory: PathBuf,
    port: u16,
    has_tcp: bool,
    watcher: Child,
    /// Templates that have been prepared.
    templates: Mutex<HashSet<String>>,
    next_database: AtomicU32,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Connections are ended, and all is written out.
    Fast,
    /// As by a crash: the next start recovers from the log.
    Immediate,
}

impl Cluster {
    /// The cluster of this process: not durable, made when first asked for, and gone when the process
    /// is.
    pub fn shared() -> Result<&'static Self, ClusterError> {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        // `OnceLock` alone cannot hold back the others while one tries and may fail.
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = SHARED.get() {
            return Ok(cluster);
        }
        let cluster = Self::start(&ClusterOptions::default())?;
        Ok(SHARED.get_or_init(|| cluster))
    }

    /// Makes a cluster and starts its server.
    pub fn start(options: &ClusterOptions) -> Result<Self, ClusterError> {
        Self::make(options, |cluster| {
            cluster.initialise()?;
            Ok(Settings::new())
        })
    }

    /// Makes a cluster whose data directory is filled by `fill`, and starts its server. What `fill`
    /// answers are settings that come with the data.
    pub(crate) fn make(
        options: &ClusterOptions,
        fill: impl FnOnce(&Self) -> Result<Settings, ClusterError>,
    ) -> Result<Self, ClusterError> {
        let installation = Installation::find()?;
        // Not below TMPDIR: a socket's path must be short.
        let directory = tempfile::Builder::new()
            .prefix("dabba-pg-")
            .tempdir_in("/tmp")
            .map_err(ClusterError::system("making a directory"))?
            .keep();
        installation.give(&directory)?;
        let watcher = watch(&installation, &directory)?;
        let mut cluster = Self {
            installation,
            directory,
            port: SOCKET_PORT,
            has_tcp: options.tcp,
            watcher,
            templates: Mutex::default(),
            next_database: AtomicU32::new(1),
        };
        // From here on, whatever fails drops the cluster, and so removes it.
        let settings = fill(&cluster)?;
        cluster.add_files(options)?;
        cluster.start_on_free_port(options, &settings)?;
        Ok(cluster)
    }

    /// Where a database of this cluster is.
    pub fn url(&self, database: &str) -> String {
        if self.has_tcp {
            return format!("postgresql://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port);
        }
        let socket = self.directory.to_string_lossy().replace('/', "%2F");
        format!("postgresql://{USER}@{socket}:{}/{database}?sslmode=disable", self.port)
    }

    /// Where a database is that several clusters have, all of which listen on TCP: the URL leads to the one
    /// that can be written to.
    pub fn url_of_primary(clusters: &[&Self], database: &str) -> String {
        let addresses: Vec<_> =
            clusters.iter().map(|cluster| format!("127.0.0.1:{}", cluster.port)).collect();
        let addresses = addresses.join(",");
        format!("postgresql://{USER}@{addresses}/{database}?target_session_attrs=read-write&sslmode=disable")
    }

    /// The socket on which the server listens, for a proxy between it and a client.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }

    /// The superuser's name. Connections are trusted.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// The port on the loopback address, of a cluster that has one.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database. Answers its name.
    pub fn create_database(&self) -> Result<String, ClusterError> {
        self.copy_database("template0")
    }

    /// Makes a database as a copy of a template, which `prepare` fills when it does not exist yet; it
    /// is given the template's URL. Answers the copy's URL.
    pub fn database_from(&self, template: &str, prepare: impl FnOnce(&str)) -> Result<String, ClusterError> {
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        if !templates.contains(template) {
            self.execute("postgres", &format!("CREATE DATABASE \"{template}\" TEMPLATE template0"))?;
            prepare(&self.url(template));
            templates.insert(template.to_owned());
        }
        drop(templates);
        Ok(self.url(&self.copy_database(template)?))
    }

    /// Runs SQL as the superuser. Answers the rows as text, columns separated by `|`.
    pub fn execute(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let port = self.port.to_string();
        let arguments = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            USER,
            "-p",
            &port,
            "-d",
            database,
            "-c",
            sql,
        ]
        .map(OsStr::new);
        let host = [OsStr::new("-h"), self.directory.as_os_str()];
        self.installation.run("psql", &[&host[..], &arguments[..]].concat(), &self.directory)
    }

    /// Runs a script of any length in a database, such as a dump.
    pub fn execute_script(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let file = self.directory.join(format!("{database}.sql"));
        fs::write(&file, sql).map_err(ClusterError::system(format!("writing {}", file.display())))?;
        let (directory, port) = (self.directory.as_os_str(), self.port.to_string());
        let fixed =
            ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-p", &port].map(OsStr::new);
        let named = [OsStr::new("-h"), directory, OsStr::new("-f"), file.as_os_str()];
        self.installation.run("psql", &[&fixed[..], &named].concat(), &self.directory)
    }

    /// Stops the server.
    pub fn stop(&self, mode: StopMode) -> Result<(), ClusterError> {
        let mode = match mode {
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        };
        self.pg_ctl(&["stop", "--wait", "--mode", mode])
    }

    /// Starts the server after [`Cluster::stop`], with the same data, on the same port.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        let log = self.directory.join("log");
        self.pg_ctl(&["start", "--wait", "--log", &log.to_string_lossy()])
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What is the cluster's own, beside its data: the directory that goes when it goes.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) const fn installation(&self) -> &Installation {
        &self.installation
    }

    pub(crate) fn pg_ctl(&self, arguments: &[&str]) -> Result<(), ClusterError> {
        let data = self.data_directory();
        let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        all.extend([OsStr::new("--silent"), OsStr::new("--pgdata"), data.as_os_str()]);
        // The server would keep a captured output open for as long as it runs.
        let status = self
            .installation
            .command(self.installation.bin().join("pg_ctl"))
            .args(all)
            .current_dir(&self.directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(ClusterError::system("running pg_ctl"))?;
        if status.success() {
            Ok(())
        } else {
            Err(ClusterError::Program { program: "pg_ctl".to_owned(), output: self.log() })
        }
    }

    fn copy_database(&self, template: &str) -> Result<String, ClusterError> {
        let name = format!("test_{}", self.next_database.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\""))?;
        Ok(name)
    }

    fn initialise(&self) -> Result<(), ClusterError> {
        let data = self.data_directory();
        let arguments = [
            OsStr::new("--pgdata"),
            data.as_os_str(),
            OsStr::new("--username"),
            OsStr::new(USER),
            OsStr::new("--auth=trust"),
            OsStr::new("--encoding=UTF8"),
            OsStr::new("--locale=C"),
            OsStr::new("--no-sync"),
            // Small segments make a small directory, which is quick to make and to remove.
            OsStr::new("--wal-segsize=1"),
        ];
        match self.installation.cache()? {
            Some(cache) if cache.exists() => self.copy(&cache, &data)?,
            cache => {
                self.installation.run("initdb", &arguments, &self.directory)?;
                if let Some(cache) = cache {
                    self.keep_for_others(&data, &cache)?;
                }
            }
        }
        Ok(())
    }

    fn add_files(&self, options: &ClusterOptions) -> Result<(), ClusterError> {
        options.files.iter().try_for_each(|(name, content)| self.write_data_file(name, content))
    }

    /// Puts a file into the data directory, readable by the server's user alone.
    pub(crate) fn write_data_file(&self, name: &str, content: &[u8]) -> Result<(), ClusterError> {
        let path = self.data_directory().join(name);
        let doing = || ClusterError::system(format!("writing {}", path.display()));
        fs::write(&path, content).map_err(doing())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(doing())?;
        self.installation.give(&path)
    }

    /// Copies a directory as its owner.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> Result<(), ClusterError> {
        self.installation.run_program(
            "cp",
            &[OsStr::new("-a"), OsStr::new("--reflink=auto"), from.as_os_str(), to.as_os_str()],
            &self.directory,
        )?;
        Ok(())
    }

    /// Puts a copy of the new data directory where the next cluster finds it.
    fn keep_for_others(&self, data: &Path, cache: &Path) -> Result<(), ClusterError> {
        let copy = self.directory.join("copy");
        self.copy(data, &copy)?;
        // All at once or not at all. When another was quicker, its copy is as good.
        if fs::rename(&copy, cache).is_err() {
            fs::remove_dir_all(&copy).map_err(ClusterError::system("removing a copy"))?;
        }
        Ok(())
    }

    fn start_on_free_port(
        &mut self,
        options: &ClusterOptions,
        settings: &Settings,
    ) -> Result<(), ClusterError> {
        let mut attempt = 1;
        loop {
            if options.tcp {
                self.port = free_port()?;
            }
            self.configure(options, settings)?;
            match self.start_again() {
                Err(_) if options.tcp && attempt < MAX_PORT_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn configure(&self, options: &ClusterOptions, own: &Settings) -> Result<(), ClusterError> {
        let path = self.data_directory().join("postgresql.auto.conf");
        let socket = self.directory.to_string_lossy();
        let port = self.port.to_string();
        let durable = if options.durability == Durability::Durable { "on" } else { "off" };
        let settings = [
            ("listen_addresses", if options.tcp { "127.0.0.1" } else { "" }),
            ("port", &port),
            ("unix_socket_directories", &socket),
            ("fsync", durable),
            ("full_page_writes", durable),
            // Every test opens a pool or two; a connection that is not used costs almost nothing.
            ("max_connections", "300"),
            ("shared_buffers", "32MB"),
            ("max_wal_size", "256MB"),
            ("log_line_prefix", "%m [%p] %d %a "),
            // Its transactions come whenever they like, and a test about transactions must not notice.
            ("autovacuum", "off"),
        ];
        let mut lines = String::new();
        let archiving = if options.archive { self.archiving()? } else { Settings::new() };
        let given = archiving.iter().chain(own).chain(&options.settings);
        let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in settings.into_iter().chain(given) {
            // Writing to a text cannot fail.
            let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        }
        fs::write(&path, lines).map_err(ClusterError::system(format!("writing {}", path.display())))?;
        self.installation.give(&path)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closes the pipe, on which the script stops the server and removes the directory. When
        // waiting fails, the script still does.
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

fn watch(installation: &Installation, directory: &Path) -> Result<Child, ClusterError> {
    installation
        .command("sh")
        .arg("-c")
        .arg(WATCH)
        .arg("watch")
        .arg(installation.bin())
        .arg(directory)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(ClusterError::system("starting the watching script"))
}

fn free_port() -> Result<u16, ClusterError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ClusterError::system("looking for a free port"))
}

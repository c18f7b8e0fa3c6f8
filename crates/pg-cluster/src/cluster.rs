//! One cluster, from its creation to its removal.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
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

/// The superuser of every cluster. Connections need no password.
pub(crate) const USER: &str = "dabba";

/// Port of a cluster without TCP: it is only part of the socket's name.
const SOCKET_PORT: u16 = 5_432;

/// Maximum number of attempts to start a server on a free port: another program may take the port in between.
const MAX_PORT_ATTEMPTS: u32 = 5;

/// The watching script. It acts when its standard input closes; see the crate's documentation.
const WATCH: &str = r#"
cat > /dev/null
"$1/pg_ctl" stop --mode immediate --silent --pgdata "$2/data"
rm -rf "$2"
"#;

/// Settings by name, in the order in which they are written. If a name repeats, the last value applies.
pub(crate) type Settings = Vec<(String, String)>;

/// A running cluster. It is stopped and removed when this value is dropped or the process ends.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    directory: PathBuf,
    port: u16,
    has_tcp: bool,
    watcher: Child,
    /// Names of the templates that are ready.
    templates: Mutex<HashSet<String>>,
    next_database: AtomicU32,
}

/// How to stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Closes connections and writes everything to disk.
    Fast,
    /// Stops like a crash: the next start recovers from the WAL.
    Immediate,
}

impl Cluster {
    /// Returns the cluster of this process: not durable, created on the first call, and removed when the process
    /// ends.
    pub fn shared() -> Result<&'static Self, ClusterError> {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        // `OnceLock` alone cannot make other threads wait for an initialization that may fail.
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = SHARED.get() {
            return Ok(cluster);
        }
        let cluster = Self::start(&ClusterOptions::default())?;
        Ok(SHARED.get_or_init(|| cluster))
    }

    /// Creates a cluster and starts its server.
    pub fn start(options: &ClusterOptions) -> Result<Self, ClusterError> {
        Self::make(options, |cluster| {
            cluster.initialise()?;
            Ok(Settings::new())
        })
    }

    /// Creates a cluster whose data directory is filled by `fill`, and starts its server. `fill` returns settings
    /// that belong to the data.
    pub(crate) fn make(
        options: &ClusterOptions,
        fill: impl FnOnce(&Self) -> Result<Settings, ClusterError>,
    ) -> Result<Self, ClusterError> {
        let installation = Installation::find()?;
        let parent = parent_directory(std::env::var_os(DIRECTORY_VARIABLE), options.durability)?;
        let directory = tempfile::Builder::new()
            .prefix("dabba-pg-")
            .tempdir_in(&parent)
            .map_err(ClusterError::system(format!("creating a directory in {}", parent.display())))?
            .keep();
        installation.chown(&directory)?;
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
        // From here on, an error drops the cluster, which removes it.
        let settings = fill(&cluster)?;
        cluster.add_files(options)?;
        cluster.start_on_free_port(options, &settings)?;
        Ok(cluster)
    }

    /// Returns the URL of a database of this cluster.
    pub fn url(&self, database: &str) -> String {
        if self.has_tcp {
            return format!("postgresql://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port);
        }
        let socket = self.directory.to_string_lossy().replace('/', "%2F");
        format!("postgresql://{USER}@{socket}:{}/{database}?sslmode=disable", self.port)
    }

    /// Returns the URL of a database that several clusters have, all of which listen on TCP. The URL leads to the
    /// cluster that accepts writes.
    pub fn url_of_primary(clusters: &[&Self], database: &str) -> String {
        let addresses: Vec<_> =
            clusters.iter().map(|cluster| format!("127.0.0.1:{}", cluster.port)).collect();
        let addresses = addresses.join(",");
        format!("postgresql://{USER}@{addresses}/{database}?target_session_attrs=read-write&sslmode=disable")
    }

    /// Path of the socket on which the server listens. A proxy between server and client needs it.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Name of the superuser. Connections need no password.
    pub const fn user(&self) -> &'static str {
        USER
    }

    /// Port on the loopback address if the cluster listens on TCP; otherwise the port in the socket's name.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Creates an empty database, and returns its name.
    pub fn create_database(&self) -> Result<String, ClusterError> {
        self.copy_database("template0")
    }

    /// Creates a database as a copy of a template, and returns the copy's URL. If the template does not exist yet,
    /// it is created, and `prepare` fills it; `prepare` receives the template's URL.
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

    /// Runs SQL as the superuser. Returns the rows as text, columns separated by `|`.
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

    /// Runs an SQL script of any length in a database, such as a dump.
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

    /// Starts the server again after [`Cluster::stop`] or [`Cluster::kill`], with the same data on the same port.
    pub fn restart(&self) -> Result<(), ClusterError> {
        let log = self.directory.join("log");
        self.pg_ctl(&["start", "--wait", "--log", &log.to_string_lossy()])
    }

    /// Returns the server's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The cluster's own directory, which also holds its data directory. It is removed with the cluster.
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
        // The server inherits the outputs, so a captured output would stay open for as long as the server runs.
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
        let Some(cache) = self.installation.cache()? else { return self.init_database(&data) };
        if !cache.exists() {
            self.fill_cache(&cache)?;
        }
        // The process that fills the cache copies it too: all clusters are copies of one cluster, and have its system
        // identifier.
        self.copy(&cache, &data)
    }

    /// Initializes a data directory.
    fn init_database(&self, data: &Path) -> Result<(), ClusterError> {
        let arguments = [
            OsStr::new("--pgdata"),
            data.as_os_str(),
            OsStr::new("--username"),
            OsStr::new(USER),
            OsStr::new("--auth=trust"),
            OsStr::new("--encoding=UTF8"),
            OsStr::new("--locale=C"),
            OsStr::new("--no-sync"),
            // Small WAL segments keep the directory small, so that it is fast to create and to remove.
            OsStr::new("--wal-segsize=1"),
        ];
        self.installation.run("initdb", &arguments, &self.directory).map(drop)
    }

    /// Initializes the data directory from which clusters are copied, unless another process is faster.
    fn fill_cache(&self, cache: &Path) -> Result<(), ClusterError> {
        // Beside the cache, because a rename does not cross file systems. The cluster's directory has a unique name.
        let mut new = cache.as_os_str().to_owned();
        new.push(".");
        new.push(self.directory.file_name().unwrap_or_default());
        let new = PathBuf::from(new);
        self.init_database(&new)?;
        // A rename is atomic, and fails if the cache exists.
        match fs::rename(&new, cache) {
            Ok(()) => Ok(()),
            Err(_) if cache.exists() => {
                fs::remove_dir_all(&new).map_err(ClusterError::system("removing a data directory"))
            }
            Err(error) => Err(ClusterError::system(format!("creating {}", cache.display()))(error)),
        }
    }

    fn add_files(&self, options: &ClusterOptions) -> Result<(), ClusterError> {
        options.files.iter().try_for_each(|(name, content)| self.write_data_file(name, content))
    }

    /// Writes a file to the data directory. Only the server's user can read it.
    pub(crate) fn write_data_file(&self, name: &str, content: &[u8]) -> Result<(), ClusterError> {
        let path = self.data_directory().join(name);
        let doing = || ClusterError::system(format!("writing {}", path.display()));
        fs::write(&path, content).map_err(doing())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(doing())?;
        self.installation.chown(&path)
    }

    /// Copies a directory and keeps its owner.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> Result<(), ClusterError> {
        self.installation.run_program(
            "cp",
            &[OsStr::new("-a"), OsStr::new("--reflink=auto"), from.as_os_str(), to.as_os_str()],
            &self.directory,
        )?;
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
            match self.restart() {
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
            // Every test opens one or two pools; an idle connection costs almost nothing.
            ("max_connections", "300"),
            ("shared_buffers", "32MB"),
            ("max_wal_size", "256MB"),
            ("log_line_prefix", "%m [%p] %d %a "),
            // Autovacuum's transactions run at unpredictable times, and would disturb tests about transactions.
            ("autovacuum", "off"),
        ];
        let mut lines = String::new();
        let archiving = if options.archive { self.archiving()? } else { Settings::new() };
        let given = archiving.iter().chain(own).chain(&options.settings);
        let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in settings.into_iter().chain(given) {
            // Writing to a `String` cannot fail.
            let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        }
        fs::write(&path, lines).map_err(ClusterError::system(format!("writing {}", path.display())))?;
        self.installation.chown(&path)
    }
}

/// A file system in memory, which Linux systems usually have.
const MEMORY: &str = "/dev/shm";

/// Environment variable with the parent directory of all clusters.
const DIRECTORY_VARIABLE: &str = "DABBA_PG_DIRECTORY";

/// Minimum free space for a cluster in memory, in bytes: a database takes 8 MB, and some test programs create hundreds.
const MIN_FREE_MEMORY: u64 = 8 << 30;

/// Returns the directory in which a cluster is created. Each test creates a database of some hundred files: on a disk,
/// their creation took most of the processor time of the tests of the PostgreSQL store (ext4, measured). `named` is the
/// value of [`DIRECTORY_VARIABLE`].
fn parent_directory(named: Option<OsString>, durability: Durability) -> Result<PathBuf, ClusterError> {
    match named.map(PathBuf::from) {
        Some(directory) if directory.is_absolute() => Ok(directory),
        // Each test program runs in the directory of its crate, so a relative path would name several directories.
        Some(directory) => Err(ClusterError::Directory(directory)),
        None if durability == Durability::Fast && has_free_memory() => Ok(MEMORY.into()),
        // `/tmp` instead of TMPDIR, because a socket's path must be short.
        None => Ok("/tmp".into()),
    }
}

/// Returns whether both the file system in memory and the memory itself have [`MIN_FREE_MEMORY`].
fn has_free_memory() -> bool {
    let on_file_system =
        rustix::fs::statvfs(MEMORY).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    on_file_system >= MIN_FREE_MEMORY && available_memory().is_some_and(|free| free >= MIN_FREE_MEMORY)
}

/// Returns the memory that programs can use without swapping, in bytes (`MemAvailable` of proc(5)).
fn available_memory() -> Option<u64> {
    let information = fs::read_to_string("/proc/meminfo").ok()?;
    let line = information.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closes the pipe, after which the script stops the server and removes the directory. The script does so
        // even if the wait fails.
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
        .map_err(ClusterError::system("finding a free port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that an empty and a relative directory of clusters are refused with the name of the variable, and that an
    /// absolute one is used.
    #[test]
    fn the_directory_of_clusters_is_absolute() {
        for named in ["", "clusters"] {
            let refused = parent_directory(Some(named.into()), Durability::Fast).unwrap_err().to_string();
            assert!(
                refused.contains(DIRECTORY_VARIABLE) && refused.contains(&format!("'{named}'")),
                "{refused}"
            );
        }
        let used = parent_directory(Some("/somewhere".into()), Durability::Fast).unwrap();
        assert_eq!(used, Path::new("/somewhere"));
    }
}

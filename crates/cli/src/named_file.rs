//! Reading of files that settings and options name. This is the only place where the binary reads such files: it refuses
//! what would never end, limits the size, and explains why a file cannot be read.
//!
//! A pipe is allowed, such as `/dev/stdin` or that of `<(command)`, because a secret need not be in a file. A named pipe
//! without a writer would block the command for ever, so a pipe has deadlines. Devices are refused.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileType},
    io::{self, Read},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use crate::redaction::without_secrets;

/// What a message about an unsuitable file recommends.
const REMEDY: &str = "give a regular file, or a pipe such as <(command)";

/// Maximum size of a file with settings, a key, a token or a password: 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum size of a file with menus: 256 MiB. It may contain the menus of many restaurants.
const MAX_MENU_BYTES: u64 = 256 << 20;

/// Time in which a program must open a named pipe to write into it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which an open pipe must deliver its whole content. The program that writes into it may ask a person for a
/// password.
const PIPE_TIMEOUT: Duration = Duration::from_mins(2);

/// Contents of files that can be read only once, such as the FIFO that a shell passes for `<(command)`, or why they
/// could not be read: settings are read several times, and only the first time waits.
static STREAMS: Mutex<BTreeMap<PathBuf, Stream>> = Mutex::new(BTreeMap::new());

/// The text of a file, or the kind and the text of the error.
type Stream = Result<String, (io::ErrorKind, String)>;

/// Limits of a read.
#[derive(Clone, Copy)]
struct Limits {
    bytes: u64,
    open_timeout: Duration,
    pipe_timeout: Duration,
}

const LIMITS: Limits = Limits { bytes: MAX_BYTES, open_timeout: OPEN_TIMEOUT, pipe_timeout: PIPE_TIMEOUT };

/// Returns the text of a file, or a sentence with the reason why the file cannot be read and with the remedy. Reads a
/// regular file every time, and a pipe only the first time.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    read_within(path, LIMITS).map_err(unreadable(path))
}

/// Returns the text of a file, as [`read`] does; `None` if the file does not exist.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, String> {
    match read_within(path, LIMITS) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path)(error)),
    }
}

/// Returns the text of a file with menus, as [`read`] does.
pub(crate) fn read_menus(path: &Path) -> Result<String, String> {
    read_within(path, Limits { bytes: MAX_MENU_BYTES, ..LIMITS }).map_err(unreadable(path))
}

/// Returns the text on standard input, up to the maximum size of a file.
pub(crate) fn read_standard_input() -> io::Result<String> {
    read_text(io::stdin().lock(), MAX_BYTES)
}

/// Returns whether a file exists, or a sentence with the reason why this cannot be determined, such as a directory without
/// permission to enter.
pub(crate) fn is_there(path: &Path) -> Result<bool, String> {
    path.try_exists().map_err(|error| {
        format!("the file {} cannot be found: {}", without_secrets(&path.to_string_lossy()), reason(&error))
    })
}

/// Checks a file that a library reads several times, and without a deadline: it must be regular. A missing file is
/// allowed, because it may be created later.
pub(crate) fn check_regular(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    let refused = if metadata.is_dir() {
        io::Error::from(io::ErrorKind::IsADirectory)
    } else if !metadata.is_file() {
        io::Error::other("it is not a regular file, and it is read more than once; give a regular file")
    } else if is_of_kernel(path) {
        io::Error::other("it shows data of the kernel and is not stored; give a regular file")
    } else {
        return Ok(());
    };
    Err(unreadable(path)(refused))
}

/// Checks a file that a library reads several times, without a deadline and without a limit: it must be regular, and not
/// too large. A missing file is allowed, because it may be created later.
pub(crate) fn check_regular_and_small(path: &Path) -> Result<(), String> {
    check_regular(path)?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES => Err(unreadable(path)(too_large(MAX_BYTES))),
        _ => Ok(()),
    }
}

fn read_within(path: &Path, limits: Limits) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() && is_of_kernel(path) {
        return Err(io::Error::other(format!("it shows data of the kernel and is not stored; {REMEDY}")));
    }
    // Opening a directory or reading a stored file always ends.
    if metadata.is_file() || metadata.is_dir() {
        return read_text(File::open(path)?, limits.bytes);
    }
    let is_null = || fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == metadata.rdev());
    if is_device(metadata.file_type()) && !is_null() {
        return Err(io::Error::other(format!("it is a device or a terminal; {REMEDY}")));
    }
    if metadata.file_type().is_socket() {
        return Err(io::Error::other(format!("it is a socket; {REMEDY}")));
    }
    let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let read = streams
        .entry(path.to_owned())
        .or_insert_with(|| read_pipe(path, limits).map_err(|error| (error.kind(), error.to_string())));
    read.clone().map_err(|(kind, text)| io::Error::new(kind, text))
}

/// Returns whether a file that claims to be regular shows data of the kernel, such as `/proc/self/mem`. Reading such a
/// file fails or blocks in its own way, and its size is unknown.
#[cfg(target_os = "linux")]
fn is_of_kernel(path: &Path) -> bool {
    /// Type of the file system below `/sys`.
    const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
    let found = rustix::fs::statfs(path);
    found.is_ok_and(|found| [rustix::fs::PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&found.f_type))
}

#[cfg(not(target_os = "linux"))]
fn is_of_kernel(_: &Path) -> bool {
    false
}

fn is_device(kind: FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}

/// Reads a pipe in a thread of its own. Nothing ends a thread that waits for a writer, so it waits until the process
/// ends, which is soon: the command fails.
fn read_pipe(path: &Path, limits: Limits) -> io::Result<String> {
    let (opened, is_open) = mpsc::channel();
    let (sender, receiver) = mpsc::channel();
    let owned = path.to_owned();
    thread::Builder::new().name("read-pipe".to_owned()).spawn(move || {
        let file = File::open(owned);
        // After a deadline, nobody receives the messages.
        let _ = opened.send(());
        let _ = sender.send(file.and_then(|file| read_text(file, limits.bytes)));
    })?;
    let late = |what: &str, timeout: Duration| {
        io::Error::other(format!(
            "it is a pipe, and no program {what} within {} s; start the program that writes into it, or give a file",
            timeout.as_secs()
        ))
    };
    is_open
        .recv_timeout(limits.open_timeout)
        .map_err(|_| late("opened it for writing", limits.open_timeout))?;
    let read = receiver.recv_timeout(limits.pipe_timeout);
    read.unwrap_or_else(|_| Err(late("wrote its whole content", limits.pipe_timeout)))
}

fn read_text(file: impl Read, max_bytes: u64) -> io::Result<String> {
    // The limit may be within a character, so the bytes are counted before they are decoded.
    let mut bytes = Vec::new();
    let count = file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if u64::try_from(count).unwrap_or(u64::MAX) > max_bytes {
        return Err(too_large(max_bytes));
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn too_large(max_bytes: u64) -> io::Error {
    let size = size(max_bytes);
    io::Error::other(format!("it has more than {size}, which is the maximum; give another file"))
}

/// Returns a size in the largest unit in which it is whole.
fn size(bytes: u64) -> String {
    match bytes {
        MAX_BYTES.. => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> String {
    move |error| {
        let place = without_secrets(&path.to_string_lossy());
        format!("the file {place} cannot be read: {}", reason(&error))
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist; create it, or give another file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; let the user who runs this command, or its group, read the file and enter its directories"
                .to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory; give a file in it".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8; give another file".to_owned(),
        // An error of this module, which contains the remedy.
        io::ErrorKind::Other => error.to_string(),
        _ => format!("{error}; {REMEDY}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fifo_in(directory: &Path) -> PathBuf {
        let fifo = directory.join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        fifo
    }

    /// Proves that each read of a FIFO returns the same content, and each read of a regular file its current content.
    #[test]
    fn a_fifo_is_read_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let (fifo, file) = (fifo_in(directory.path()), directory.path().join("file"));
        let writer = thread::spawn({
            let fifo = fifo.clone();
            move || fs::write(fifo, "content")
        });
        assert_eq!(read(&fifo).unwrap(), "content");
        writer.join().unwrap().unwrap();
        assert_eq!(read(&fifo).unwrap(), "content");
        for text in ["first", "second"] {
            fs::write(&file, text).unwrap();
            assert_eq!(read(&file).unwrap(), text);
        }
    }

    /// Proves that a FIFO without a writer, and one whose writer does not end, are refused after their deadlines; that
    /// a second read does not wait again; and that a device is refused at once.
    #[test]
    fn what_may_never_end_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = fifo_in(directory.path());
        let limits = Limits { open_timeout: Duration::from_millis(1), ..LIMITS };
        for limits in [limits, LIMITS] {
            let text = read_within(&fifo, limits).unwrap_err().to_string();
            assert!(text.starts_with("it is a pipe, and no program opened it for writing within "), "{text}");
        }
        let other = tempfile::tempdir().unwrap();
        let fifo = fifo_in(other.path());
        // Open for reading and writing, a FIFO opens at once, and has a writer as long as the file is open.
        let _writer = File::options().read(true).write(true).open(&fifo).unwrap();
        let limits = Limits { pipe_timeout: Duration::from_millis(1), ..LIMITS };
        let text = read_within(&fifo, limits).unwrap_err().to_string();
        assert!(text.starts_with("it is a pipe, and no program wrote its whole content within "), "{text}");
        for device in ["/dev/zero", "/dev/urandom"] {
            let text = read(Path::new(device)).unwrap_err();
            assert!(
                text.contains(&format!("the file {device} cannot be read: it is a device or a terminal; ")),
                "{text}"
            );
        }
        assert_eq!(read(Path::new("/dev/null")), Ok(String::new()));
    }

    /// Proves that a socket, and files of the kernel that look like regular files, are refused with what is wrong and what
    /// is allowed, also where a library reads the file; and that a stored file that the kernel's directory refers to is
    /// read.
    #[test]
    fn what_is_no_stored_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let text = read(&socket).unwrap_err();
        assert!(
            text.ends_with(
                "cannot be read: it is a socket; give a regular file, or a pipe such as <(command)"
            ),
            "{text}"
        );
        let text = check_regular(&socket).unwrap_err();
        assert!(text.contains("it is not a regular file"), "{text}");
        for path in ["/proc/self/mem", "/proc/version", "/sys/kernel/uevent_seqnum"].map(Path::new) {
            let text = read(path).unwrap_err();
            assert!(text.contains("data of the kernel") && text.ends_with(REMEDY), "{text}");
            let text = check_regular(path).unwrap_err();
            assert!(text.contains("data of the kernel") && text.ends_with("; give a regular file"), "{text}");
        }
        let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        let text = read(Path::new(&format!("/proc/self/fd/{descriptor}"))).unwrap();
        assert!(text.starts_with("[package]"), "{text}");
    }

    /// Proves that every error of the system is followed by the remedy.
    #[test]
    fn an_unknown_error_is_followed_by_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let looped = directory.path().join("loop");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        let text = read(&looped).unwrap_err();
        assert!(text.contains("cannot be read: ") && text.ends_with(REMEDY), "{text}");
    }

    /// Proves that the size of files and of pipes is limited, exactly, also if the limit is within a character.
    #[test]
    fn the_size_is_limited() {
        let directory = tempfile::tempdir().unwrap();
        let (file, fifo) = (directory.path().join("file"), fifo_in(directory.path()));
        let limits = Limits { bytes: 5, ..LIMITS };
        let large = "it has more than 5 bytes, which is the maximum; give another file";
        for (text, expected) in [("12345", Ok("12345")), ("123456", Err(large)), ("1234é", Err(large))] {
            fs::write(&file, text).unwrap();
            let found = read_within(&file, limits).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
        let writer = thread::spawn({
            let fifo = fifo.clone();
            // The reader may close the pipe early.
            move || drop(fs::write(fifo, "123456"))
        });
        assert_eq!(read_within(&fifo, limits).unwrap_err().to_string(), large);
        writer.join().unwrap();
        assert_eq!((size(MAX_BYTES), size(MAX_MENU_BYTES)), ("1 MiB".to_owned(), "256 MiB".to_owned()));
    }

    /// Proves that a file that is read several times must be regular and not too large, and may be missing.
    #[test]
    fn a_file_that_is_read_again_must_be_regular() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        assert_eq!(check_regular(&file), Ok(()));
        fs::write(&file, "").unwrap();
        assert_eq!(check_regular(&file), Ok(()));
        assert!(check_regular(directory.path()).unwrap_err().contains("it is a directory"));
        let text = check_regular(&fifo_in(directory.path())).unwrap_err();
        assert!(text.contains("it is not a regular file"), "{text}");
        File::create(&file).unwrap().set_len(MAX_BYTES).unwrap();
        assert_eq!(check_regular_and_small(&file), Ok(()));
        File::create(&file).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(check_regular_and_small(&file).unwrap_err().contains("it has more than 1 MiB"));
        assert_eq!(check_regular(&file), Ok(()), "a backup may have any size");
    }

    #[test]
    fn the_message_about_an_unreadable_file_states_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).unwrap_err().contains("it is a directory"));
        assert!(read(&directory.path().join("absent")).unwrap_err().contains("it does not exist"));
        fs::write(directory.path().join("binary"), [0xff]).unwrap();
        assert!(read(&directory.path().join("binary")).unwrap_err().contains("not text in UTF-8"));
        assert_eq!(is_there(&directory.path().join("absent")), Ok(false));
        let below_a_file = is_there(&directory.path().join("binary/dabba.db")).unwrap_err();
        assert!(below_a_file.contains("cannot be found: "), "{below_a_file}");
        let error = read(Path::new("mysql://u:hush")).unwrap_err();
        assert!(!error.contains("hush"), "{error}");
    }
}

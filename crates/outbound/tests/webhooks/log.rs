//! The log of a test.

use std::{cell::RefCell, io, rc::Rc, sync::Once};

/// Text of a log.
type Text = Rc<RefCell<Vec<u8>>>;

thread_local! {
    /// What this thread logs, while a test records it.
    static RECORDED: RefCell<Option<Text>> = const { RefCell::new(None) };
}

/// The errors that this thread logs, as long as this value lives. The runtime of a test has one thread.
pub(crate) struct Log(Text);

impl Log {
    /// Begins to record.
    ///
    /// One subscriber serves all tests of the program. A subscriber per thread would miss errors: `tracing` decides once
    /// per place in the code whether anything listens there, and a test that logs nothing may reach that place first.
    pub(crate) fn record() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing::Level::ERROR)
                .with_writer(|| Writer)
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            // A place that was reached before has to ask the subscriber.
            tracing::callsite::rebuild_interest_cache();
        });
        let text = Text::default();
        RECORDED.set(Some(Rc::clone(&text)));
        Self(text)
    }

    /// Returns the number of recorded lines that contain a text.
    pub(crate) fn lines_with(&self, text: &str) -> usize {
        let log = String::from_utf8(self.0.borrow().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        RECORDED.set(None);
    }
}

/// Writes to the log that the current thread records.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        RECORDED.with_borrow(|recorded| {
            if let Some(recorded) = recorded {
                recorded.borrow_mut().extend_from_slice(text);
            }
        });
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

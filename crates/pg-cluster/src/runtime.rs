//! Blocking on a future from synchronous code.

use crate::ClusterError;

/// Runs a future to completion and returns its output, from any thread, inside or outside a Tokio runtime.
/// Callers of [`crate::Cluster::database_from`] need both.
///
/// Fails if no runtime can be created. Resumes a panic of the future on the calling thread.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, ClusterError> {
    // A separate thread, because a runtime cannot block inside another runtime.
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future))
        });
        waiting.join()
    });
    match outcome {
        Ok(outcome) => outcome.map_err(ClusterError::system("creating a Tokio runtime")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `block_on` works outside and inside a runtime, and the runtime's timers run.
    #[test]
    fn block_on_works_outside_and_inside_a_runtime() {
        let work = || async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            7
        };
        assert_eq!(block_on(work()).unwrap(), 7);
        assert_eq!(block_on(async { block_on(work()).unwrap() + 1 }).unwrap(), 8);
    }
}

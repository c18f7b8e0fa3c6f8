//! Waiting for a future where nothing can be awaited.

use crate::ClusterError;

/// Carries a future out and waits for it, from any thread, whether it has a Tokio runtime or not. For
/// [`crate::Cluster::database_from`], which is called from both.
///
/// Fails when no runtime can be made. A panic of the future goes on here.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, ClusterError> {
    // Not on this thread: a runtime cannot wait inside another one.
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future))
        });
        waiting.join()
    });
    match outcome {
        Ok(outcome) => outcome.map_err(ClusterError::system("making a runtime")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It works outside of a runtime and inside of one, with the runtime's timers.
    #[test]
    fn a_future_is_carried_out_anywhere() {
        let work = || async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            7
        };
        assert_eq!(block_on(work()).unwrap(), 7);
        assert_eq!(block_on(async { block_on(work()).unwrap() + 1 }).unwrap(), 8);
    }
}

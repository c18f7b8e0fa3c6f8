//! State of a repeated operation (working or failing), so that only changes of the state are logged.

/// Whether the operation failed the last time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    is_failing: bool,
}

/// A change of the state, to log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Transition<E> {
    /// The operation has begun to fail, with this error.
    Failed(E),
    /// The operation has stopped failing.
    Recovered,
}

impl Condition {
    /// Records an outcome. Returns the change, or `None` if the state is unchanged.
    pub(crate) fn record<E>(&mut self, outcome: Result<(), E>) -> Option<Transition<E>> {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match outcome {
            Err(error) => (!was_failing).then_some(Transition::Failed(error)),
            Ok(()) => was_failing.then_some(Transition::Recovered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a failure is reported once at its beginning and once at its end, however long it lasts.
    #[test]
    fn each_change_of_the_state_is_reported_once() {
        let error = "injected by the test";
        let mut condition = Condition::default();
        assert_eq!(condition.record::<&str>(Ok(())), None);
        assert_eq!(condition.record(Err(error)), Some(Transition::Failed(error)));
        assert_eq!(condition.record(Err(error)), None);
        assert_eq!(condition.record::<&str>(Ok(())), Some(Transition::Recovered));
        assert_eq!(condition.record::<&str>(Ok(())), None);
        assert_eq!(condition.record(Err(error)), Some(Transition::Failed(error)));
    }
}

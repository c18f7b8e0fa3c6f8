//! Whether something that is done over and over works, so that the log says when that changes and not
//! each time.

/// Whether it works by now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    is_failing: bool,
}

/// What the log is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News<E> {
    /// It has begun to fail, with this.
    Fails(E),
    /// It has stopped failing.
    WorksAgain,
}

impl Condition {
    /// Notes how it went, and answers what is new about that.
    pub(crate) fn news<E>(&mut self, outcome: Result<(), E>) -> Option<News<E>> {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match outcome {
            Err(error) => (!was_failing).then_some(News::Fails(error)),
            Ok(()) => was_failing.then_some(News::WorksAgain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However long a fault lasts, it is told once, and its end too.
    #[test]
    fn a_change_for_better_or_worse_is_told_once() {
        let error = "as the test says";
        let mut condition = Condition::default();
        assert_eq!(condition.news::<&str>(Ok(())), None);
        assert_eq!(condition.news(Err(error)), Some(News::Fails(error)));
        assert_eq!(condition.news(Err(error)), None);
        assert_eq!(condition.news::<&str>(Ok(())), Some(News::WorksAgain));
        assert_eq!(condition.news::<&str>(Ok(())), None);
        assert_eq!(condition.news(Err(error)), Some(News::Fails(error)));
    }
}

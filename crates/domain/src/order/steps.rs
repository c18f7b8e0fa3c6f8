//! The times of an order's steps, which its history states.

use super::{Event, HistoryError, Order, RecordedEvent, evolve};
use crate::Timestamp;

/// Times at which an order reached its steps. A step that the order has not reached has no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderSteps {
    /// The payment became certain.
    pub confirmed_at: Option<Timestamp>,
    /// The restaurant accepted the order.
    pub accepted_at: Option<Timestamp>,
    /// The food was ready.
    pub ready_at: Option<Timestamp>,
    /// The courier picked up the food.
    pub picked_up_at: Option<Timestamp>,
    /// The customer received the food.
    pub delivered_at: Option<Timestamp>,
    /// The order ended: by its delivery, or early.
    pub ended_at: Option<Timestamp>,
}

/// An order with the times of its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderWithSteps {
    /// The order.
    pub order: Order,
    /// The times of its steps.
    pub steps: OrderSteps,
}

impl OrderWithSteps {
    /// Returns the order after its whole history; `None` without events.
    pub fn of(history: &[RecordedEvent]) -> Result<Option<Self>, HistoryError> {
        let Some((first, rest)) = history.split_first() else { return Ok(None) };
        let mut followed = Self { order: evolve(None, first)?, steps: OrderSteps::default() };
        for recorded in rest {
            followed.apply(recorded)?;
        }
        Ok(Some(followed))
    }

    /// Applies the next event.
    pub fn apply(&mut self, recorded: &RecordedEvent) -> Result<(), HistoryError> {
        self.order = evolve(Some(self.order.clone()), recorded)?;
        let steps = &mut self.steps;
        let step = match &recorded.event {
            Event::Confirmed { .. } => Some(&mut steps.confirmed_at),
            Event::Accepted { .. } => Some(&mut steps.accepted_at),
            Event::MarkedReady => Some(&mut steps.ready_at),
            Event::PickedUp => Some(&mut steps.picked_up_at),
            Event::Delivered { .. } => Some(&mut steps.delivered_at),
            _ => None,
        };
        if let Some(step) = step {
            step.get_or_insert(recorded.at);
        }
        if self.order.status.is_terminal() {
            steps.ended_at.get_or_insert(recorded.at);
        }
        Ok(())
    }
}

//! Webhooks: delivery of events to servers of others.

pub mod signature;

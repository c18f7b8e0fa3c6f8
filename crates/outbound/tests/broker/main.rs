//! The publisher to a broker: against a broker in memory that fails as the test says, and against a NATS server.

mod losing;
mod publishing;
mod world;

//! The client of NATS JetStream against Debian's nats-server.

mod access;
mod consumer;
mod feed;
mod loss;
mod publishing;
mod streams;

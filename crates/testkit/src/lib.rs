//! A server to test against, and builders: for tests only.

//! Use cases on the domain and a store: quote, place, act, list, with group commit.

//! Bodies of requests and responses: their members, and how values of the lower crates become bodies. They read nothing:
//! a route reads, and passes the values.

pub(crate) mod limited;
pub(crate) mod quotes;

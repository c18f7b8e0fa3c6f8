//! The parts of a request, read and checked: who calls, ids in the path, parameters, headers, the
//! body, and the cursors of lists.

mod body;
mod conditions;
mod cursor;
mod document;
mod idempotency;
mod limited;
mod parameters;
mod path;
mod principal;
mod strict;

pub(crate) use body::{JsonBody, MaybeJsonBody, take};
pub(crate) use conditions::{EntityTag, IfMatch, IfNoneMatch, etag};
pub(crate) use cursor::Cursor;
pub(crate) use idempotency::{MaybeKey, RequiredKey};
pub(crate) use limited::{at_most, null_or_at_most};
pub(crate) use parameters::{FromParameters, Parameters, QueryOf};
pub(crate) use path::InPath;
pub(crate) use principal::{Caller, MaybeCaller};

//! The web pages, embedded in the binary.
//!
//! The sources are in `ui/`. The build script (`build.rs`) builds and compresses them, and this crate serves the result.
//! A page is the same for every caller: it reads the session and the ids in its path by itself, and asks the API. So no
//! route decides on a cookie or on an id, and links from mail work before the caller has signed in.
//!
//! The modules, the lowest first:
//!
//! | module | what it does |
//! |---|---|
//! | `content` | the files of the build, or the reason why they are missing |
//! | `policy` | the headers with which browsers protect the pages |
//! | `missing` | the page that takes the place of missing pages |
//! | `serving` | the response with a file: its form, its tag, and how long browsers keep it |
//! | `face` | the routes, and their state |
//!
//! To add a page: add its entry in `ui/pages`, its file in `REQUIRED` (`build/embed.rs`), and its routes in `face`. To add a
//! kind of file: add it in `KINDS` (`build/embed.rs`).

mod content;
mod face;
mod missing;
mod policy;
mod serving;

pub use self::{
    content::{Content, File},
    face::router,
    policy::CONTENT_SECURITY_POLICY,
};

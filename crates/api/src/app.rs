//! The state of the API's routes.

use std::{borrow::Cow, sync::Arc};

use axum::http::Method;
use dabba_engine::Engine;
use dabba_outbound::live::Live;
use dabba_web::{Face, JsonFace, MAX_BODY_BYTES, Schemas, Web};

use crate::{ApiConfig, MAX_MENU_BYTES, openapi};

/// State that every handler can use.
pub(crate) struct App {
    pub(crate) web: Arc<Web>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) live: Live,
    pub(crate) config: ApiConfig,
}

impl App {
    pub(crate) fn new(web: Arc<Web>, config: ApiConfig) -> Arc<Self> {
        let engine = Arc::clone(web.engine());
        let live = Live::new(&engine, config.live.clone());
        Arc::new(Self { web, engine, live, config })
    }
}

impl Face for App {
    fn web(&self) -> &Web {
        &self.web
    }

    fn token_operation(&self) -> &'static str {
        "POST /v1/tokens"
    }

    fn has_query(&self, method: &Method, route: &str) -> bool {
        openapi::has_query(method, route)
    }

    fn body_limits(&self) -> Cow<'static, str> {
        format!(
            "The body must have at most {MAX_BODY_BYTES} bytes, the body of a menu at most {MAX_MENU_BYTES}."
        )
        .into()
    }
}

impl JsonFace for App {
    fn schemas(&self) -> &Schemas {
        &openapi::SCHEMAS
    }
}

//! The routes, and their state.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get},
};
use dabba_web::{
    Face, Hosts, Problem, ProblemBody, Web, code,
    extract::{IfNoneMatch, InPath},
    layered,
};

use crate::{Content, File, missing, policy, serving};

/// The routes of the pages, each with its file. The request log and the measurements show the route, and the log masks a
/// parameter named `token`. The path of a page with a slash at its end leads to the path without it.
const PAGES: [(&str, &str); 7] = [
    ("/", "start.html"),
    ("/login", "login.html"),
    ("/kitchen/{restaurant_id}", "kitchen.html"),
    ("/order/{restaurant_id}", "order.html"),
    ("/t/{token}", "tracking.html"),
    ("/console", "console.html"),
    // The console's own places: the page reads the rest of the path.
    ("/console/{*place}", "console.html"),
];
/// End of a route that matches every longer path.
const WHOLE_REST: &str = "{*place}";
/// Route of the files with a hash in their names.
const ASSETS: &str = "/assets/{*name}";

/// State of the routes.
struct Pages {
    web: Arc<Web>,
    /// The files with a hash in their names, by their names.
    assets: HashMap<&'static str, &'static File>,
}

impl Face for Pages {
    fn web(&self) -> &Web {
        &self.web
    }

    fn token_operation(&self) -> &'static str {
        "POST /v1/tokens"
    }

    fn problem_body(&self, problem: &Problem, request_id: &str) -> ProblemBody {
        // A file needs no database and does not wait: only missing pages are unavailable.
        if problem.code() == code::UNAVAILABLE {
            missing::page(problem, request_id)
        } else {
            problem.to_json(request_id)
        }
    }
}

/// Returns the router of the pages. Serve it as the fallback service of the API's router, so that requests to the API do not
/// pass it.
pub fn router(web: Arc<Web>, content: Content) -> Router {
    let hosts = Hosts { allowed: web.config().allowed_hosts.clone().into(), probes: &[] };
    let mut routes = Router::new();
    for (route, name) in PAGES {
        routes = routes.route(route, page(name, content));
        if route != "/" && !route.ends_with(WHOLE_REST) {
            routes = routes.route(&format!("{route}/"), get(without_slash));
        }
    }
    let mut assets = HashMap::new();
    for file in content.files() {
        if let Some(name) = file.path.strip_prefix(serving::HASHED) {
            assets.insert(name, file);
        } else if !PAGES.iter().any(|(_, page)| *page == file.path) {
            routes = routes.route(&format!("/{}", file.path), whole(file));
        }
    }
    let face = Arc::new(Pages { web, assets });
    layered(routes.route(ASSETS, get(asset)), &face, hosts)
}

/// Returns the route of a page: with the file of this name, or with the reason why it is missing.
fn page(name: &str, content: Content) -> MethodRouter<Arc<Pages>> {
    let reason = match content {
        Content::Missing(reason) => reason,
        Content::Built(files) => match files.iter().find(|file| file.path == name) {
            Some(file) => return whole(file),
            None => "this page is not part of the build",
        },
    };
    get(async move || {
        let mut response = missing::problem(reason).into_response();
        policy::protect(response.headers_mut());
        response
    })
}

/// Redirects a request to its path without the slash at the end. Pages read ids from their path, so each page has one path.
async fn without_slash(uri: Uri) -> dabba_web::Result<Response> {
    let path = uri.path().trim_end_matches('/');
    let to = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let to = HeaderValue::try_from(to).map_err(|error| Problem::internal(error.to_string()))?;
    Ok((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, to)]).into_response())
}

/// Returns the route of a file.
fn whole(file: &'static File) -> MethodRouter<Arc<Pages>> {
    get(async move |has: IfNoneMatch, request: HeaderMap| serving::respond(file, &request, &has))
}

async fn asset(
    State(pages): State<Arc<Pages>>,
    InPath(name): InPath<String>,
    has: IfNoneMatch,
    request: HeaderMap,
) -> dabba_web::Result<Response> {
    let file = pages.assets.get(name.as_str()).ok_or_else(Problem::not_found)?;
    Ok(serving::respond(file, &request, &has))
}

//! The page that takes the place of missing pages.

use axum::http::HeaderValue;
use dabba_web::{Problem, ProblemBody, code};

/// Media type of the page.
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Returns the problem of a page that the build did not make, for this reason.
pub(crate) fn problem(reason: &str) -> Problem {
    Problem::new(
        code::UNAVAILABLE,
        format!(
            "This server was built without its web pages: {reason}. Everything else works, such as the API."
        ),
    )
}

/// Returns the page with a problem. It has no style, because the policy of the pages allows none inside a page.
pub(crate) fn page(problem: &Problem, request_id: &str) -> ProblemBody {
    let [detail, request_id] = [problem.detail(), request_id].map(escaped);
    let page = format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <head>\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Dabba: the pages are missing</title>\n\
         </head>\n\
         <body>\n\
         <h1>The pages are missing</h1>\n\
         <p>{detail}</p>\n\
         <p>If you run this server: install Node 20.19 or newer with npm, build Dabba again with \
         <code>DABBA_PAGES_BUILD=required cargo build --release</code>, and start the new binary.</p>\n\
         <p>Otherwise, send this page to the operator of the server. Request: {request_id}</p>\n\
         </body>\n\
         </html>\n"
    );
    ProblemBody { content_type: HTML, bytes: page.into_bytes() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the page shows the reason and the caller's own request id as text.
    #[test]
    fn texts_are_escaped() {
        let ProblemBody { bytes, .. } = page(&problem("<b> & more"), "<script>");
        let page = String::from_utf8(bytes).unwrap();
        assert!(page.contains("&lt;b&gt; &amp; more. Everything"), "{page}");
        assert!(page.contains("Request: &lt;script&gt;") && !page.contains("<script>"), "{page}");
    }
}

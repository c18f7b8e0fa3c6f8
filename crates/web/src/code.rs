//! Codes of problems.
//!
//! This module has the codes that every face shares. A face adds codes for the refusals of its own operations.

use axum::http::StatusCode;

/// A kind of problem. Clients identify a problem by its code's name; the names never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    name: &'static str,
    status: StatusCode,
    title: &'static str,
}

impl Code {
    /// Returns a code with this name, the status of its responses, and a general description for people.
    pub const fn new(name: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self { name, status, title }
    }

    /// Returns the code's name, as in `code` and at the end of `type`.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Returns the status of responses with this code.
    pub const fn status(self) -> StatusCode {
        self.status
    }

    /// Returns the general description of the problem, for people.
    pub const fn title(self) -> &'static str {
        self.title
    }
}

/// Defines codes, and the list `ALL` of them.
#[macro_export]
macro_rules! codes {
    ($(#[$list_doc:meta])* $visibility:vis $all:ident; $($(#[$doc:meta])* $code:ident, $name:literal, $status:ident, $title:literal;)*) => {
        $($(#[$doc])*
        $visibility const $code: $crate::code::Code =
            $crate::code::Code::new($name, axum::http::StatusCode::$status, $title);)*

        $(#[$list_doc])*
        $visibility const $all: &[$crate::code::Code] = &[$($code),*];
    };
}

codes! {
    /// The codes that every face shares, in the order of the documentation.
    pub SHARED;

    /// A header, a parameter or the request as a whole is not valid.
    BAD_REQUEST, "bad_request", BAD_REQUEST, "The request is not valid";
    /// The body is not JSON.
    MALFORMED_JSON, "malformed_json", BAD_REQUEST, "The body is not JSON";
    /// The operation requires an idempotency key.
    IDEMPOTENCY_KEY_MISSING, "idempotency_key_missing", BAD_REQUEST, "An idempotency key is required";
    /// The idempotency key is malformed.
    IDEMPOTENCY_KEY_INVALID, "idempotency_key_invalid", BAD_REQUEST, "The idempotency key is not valid";
    /// The request has no valid token and no valid API key.
    UNAUTHENTICATED, "unauthenticated", UNAUTHORIZED, "A valid token is required";
    /// The token or API key was revoked, or its account was disabled or deleted or has another role.
    TOKEN_REVOKED, "token_revoked", UNAUTHORIZED, "The token is revoked";
    /// No account has this e-mail address with this password.
    WRONG_CREDENTIALS, "wrong_credentials", UNAUTHORIZED, "The credentials are wrong";
    /// The caller may not do this.
    FORBIDDEN, "forbidden", FORBIDDEN, "The caller may not do this";
    /// Login with a session is refused over plain HTTP.
    INSECURE_LOGIN, "insecure_login", FORBIDDEN, "Login over an unencrypted connection is refused";
    /// Another site may have caused a request with a session cookie.
    CROSS_SITE_REQUEST, "cross_site_request", FORBIDDEN, "The request does not come from this server's own pages";
    /// The path names nothing, or something that the caller may not see.
    NOT_FOUND, "not_found", NOT_FOUND, "Not found";
    /// The path does not support this method.
    METHOD_NOT_ALLOWED, "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed for this path";
    /// The resource is not at the version in `If-Match`.
    PRECONDITION_FAILED, "precondition_failed", PRECONDITION_FAILED, "The resource has changed";
    /// This server does not serve the host.
    MISDIRECTED_REQUEST, "misdirected_request", MISDIRECTED_REQUEST, "The server does not serve this host";
    /// The body is too large.
    PAYLOAD_TOO_LARGE, "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body's media type is not supported.
    UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's media type is not supported";
    /// The body is JSON, but not valid for the operation.
    INVALID, "invalid", UNPROCESSABLE_ENTITY, "The body is not valid";
    /// The idempotency key was used for another request.
    IDEMPOTENCY_KEY_REUSED, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// The operation requires `If-Match`.
    PRECONDITION_REQUIRED, "precondition_required", PRECONDITION_REQUIRED, "If-Match is required";
    /// Too many requests.
    TOO_MANY_REQUESTS, "too_many_requests", TOO_MANY_REQUESTS, "Too many requests";
    /// A defect of the server.
    INTERNAL, "internal", INTERNAL_SERVER_ERROR, "Internal error";
    /// The queue of waiting requests is full.
    OVERLOADED, "overloaded", SERVICE_UNAVAILABLE, "The server is overloaded";
    /// The store is unavailable.
    UNAVAILABLE, "unavailable", SERVICE_UNAVAILABLE, "The service is unavailable";
    /// The write may have happened, or not.
    OUTCOME_UNKNOWN, "outcome_unknown", SERVICE_UNAVAILABLE, "The outcome is unknown";
}

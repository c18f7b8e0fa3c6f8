//! The HTTP API: routes, authentication, problem details and the OpenAPI description.

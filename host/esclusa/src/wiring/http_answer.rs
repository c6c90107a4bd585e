//! The answer to a request, as a route gives it.

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// MIME type.
    pub content_type: String,
    /// Further headers, in order.
    pub headers: Vec<(String, String)>,
    /// Content.
    pub body: Vec<u8>,
}

//! Clients of HTTP over TLS: the cryptography of the process is chosen here, once.

use reqwest::ClientBuilder;
use rustls::crypto::ring::default_provider;

/// What makes an HTTP client.
pub fn http_client() -> ClientBuilder {
    // The first call of the process chooses; the others find the same choice made.
    drop(default_provider().install_default());
    reqwest::Client::builder()
}

//! Certificates of listeners, read from their files.

use crate::runtime::listening::NotListening;
use esclusa_config::named_file;
use esclusa_config::plan::TlsFiles;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// The protocols that are offered, the better one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The settings of TLS for a listener with these files.
///
/// # Errors
/// [`NotListening::Tls`]: a file cannot be read, or the key is not that of the certificate.
pub(super) fn settings(listener: &str, files: &TlsFiles) -> Result<Arc<ServerConfig>, NotListening> {
    read(files).map_err(|why| NotListening::Tls { name: listener.to_owned(), why })
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let unreadable = |path: &Path, why: &dyn std::fmt::Display| format!("{} cannot be used: {why}", path.display());
    let of = &files.certificate;
    let contents = |path: &Path| named_file::read(path).map_err(|why| unreadable(path, &why));
    let certificates = contents(of)?;
    let certificates = CertificateDer::pem_slice_iter(&certificates).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|why| unreadable(of, &why))?;
    if certificates.is_empty() {
        return Err(unreadable(of, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&contents(&files.key)?).map_err(|why| unreadable(&files.key, &why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|why| format!("{} and {} do not go together: {why}", of.display(), files.key.display()))?;
    settings.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(settings))
}

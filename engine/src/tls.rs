//! The certificate that is served, and whose clients' certificates are believed.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::{Arc, Mutex};

/// The configuration for connections that come from now on; `None` = clear text.
#[derive(Clone, Default)]
pub struct Served(Arc<Mutex<Option<Arc<ServerConfig>>>>);

impl Served {
    pub fn get(&self) -> Option<Arc<ServerConfig>> {
        self.0.lock().expect("nothing panics while it is locked").clone()
    }

    pub fn set(&self, config: ServerConfig) {
        *self.0.lock().expect("nothing panics while it is locked") = Some(Arc::new(config));
    }
}

/// Make a configuration of PEM files: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// What is wrong with them, without anything of the key.
pub fn configuration(
    chain: &[u8],
    key: &[u8],
    client_roots: Option<&[u8]>,
    required: bool,
) -> Result<ServerConfig, String> {
    let chain = certificates(chain, "the certificate chain")?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the key file holds no PEM private key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_roots {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(pem, "the client CA file")? {
                roots.add(root).map_err(|error| format!("the client CA file: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{what} holds no PEM certificate")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

//! TLS towards registries: the system's authorities, those that `certs.d` adds for one registry, client certificates, and
//! registries that need not prove who they are.
//!
//! A registry may send us elsewhere for a blob. What is insecure is the registry that the administrator named, never the
//! place it sends us to: so the exemption is by name, not by connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::{RegistryConfig, host_of};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};

/// The TLS settings for one endpoint. Reads files.
pub(crate) fn config(settings: &RegistryConfig, endpoint: &Endpoint) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let files = CertFiles::find(&settings.certs_dirs, &endpoint.domain)?;
    let verifier = Verifier {
        exempt: (!endpoint.verify).then(|| host_of(&endpoint.domain).trim_matches(['[', ']']).to_owned()),
        authorities: files.authorities,
        provider: Arc::clone(&provider),
        checked: OnceLock::new(),
    };
    let unusable = |e: rustls::Error| Error::Certificates(e.to_string());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match files.identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(unusable),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// What a registry's directory in `certs.d` holds.
#[derive(Default)]
struct CertFiles {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl CertFiles {
    fn find(dirs: &[PathBuf], domain: &str) -> Result<Self> {
        let mut files = Self::default();
        for dir in dirs {
            files.read(&dir.join(domain))?;
        }
        Ok(files)
    }

    fn read(&mut self, dir: &Path) -> Result<()> {
        // Most registries have none.
        let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in &paths {
            match path.extension().and_then(|e| e.to_str()) {
                Some("crt") => self.authorities.extend(certificates(path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !key.exists() {
                        return Err(Error::Certificates(format!(
                            "missing key {} for client certificate {}. CA certificates must use the extension .crt",
                            key.display(),
                            path.display()
                        )));
                    }
                    let bad = |e| Error::Certificates(format!("unable to load the key {}: {e}", key.display()));
                    self.identity = Some((certificates(path)?, PrivateKeyDer::from_pem_file(&key).map_err(bad)?));
                }
                Some("key") if !path.with_extension("cert").exists() => {
                    let cert = path.with_extension("cert");
                    return Err(Error::Certificates(format!(
                        "missing client certificate {} for key {}",
                        cert.display(),
                        path.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bad = |e| Error::Certificates(format!("unable to load the certificate {}: {e}", path.display()));
    CertificateDer::pem_file_iter(path).map_err(bad)?.collect::<Result<_, _>>().map_err(bad)
}

/// Checks certificates, except that of the exempt host.
#[derive(Debug)]
struct Verifier {
    exempt: Option<String>,
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    /// Made on first use: the system's authorities are a large file, and plain HTTP needs none of them.
    checked: OnceLock<Result<Arc<WebPkiServerVerifier>, rustls::Error>>,
}

impl Verifier {
    fn checked(&self) -> Result<&WebPkiServerVerifier, rustls::Error> {
        let made = self.checked.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // What of the system's store cannot be read is an authority that is not trusted.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots.add_parsable_certificates(self.authorities.iter().cloned());
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
            builder.build().map_err(|e| rustls::Error::General(e.to_string()))
        });
        made.as_deref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.exempt.as_deref().is_some_and(|host| server_name.to_str() == host) {
            return Ok(ServerCertVerified::assertion());
        }
        self.checked()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

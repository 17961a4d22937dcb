//! The certificate: read from two PEM files, and again when they change. A pair that does not match is not used; the old one stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, SignatureScheme, WantsVerifier, WantsVersions};
use thiserror::Error;

use crate::config;

/// Why certificate or key cannot be used. The operator is at fault in every case.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read, or has no key.
    #[error("cannot read {0}: {1}")]
    File(PathBuf, rustls::pki_types::pem::Error),
    /// The file has no certificate.
    #[error("no certificate in {0}")]
    Empty(PathBuf),
    /// Key and certificate do not match, or the kind of key is not supported.
    #[error("`tls.certificate` and `tls.key` do not work together: {0}")]
    Pair(rustls::Error),
}

/// The current certificate, shared by all handshakes.
#[derive(Debug)]
pub struct Certificate {
    files: config::Tls,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the two files.
    pub fn load(files: &config::Tls) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        Ok(Arc::new(Self { files: files.clone(), provider, current }))
    }

    /// Reads the two files again. Existing connections are not affected.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(read(&self.files, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Returns a value that changes whenever one of the files does.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp([stamp(&self.files.certificate), stamp(&self.files.key)])
    }

    /// Returns the configuration of HTTPS: TLS 1.2 and 1.3, HTTP/1.1 only (a WebSocket needs no more).
    ///
    /// # Panics
    ///
    /// Never: the provider has suites for both versions.
    #[must_use]
    pub fn server(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut server = versions(ServerConfig::builder_with_provider(Arc::clone(&self.provider)))
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(server)
    }

    /// Returns the configuration of SIP over TLS: clients with a certificate may authenticate by it.
    ///
    /// # Errors
    /// Where there is no certificate authority.
    pub fn sip_server(self: &Arc<Self>, authorities: &Arc<RootCertStore>) -> Result<Arc<ServerConfig>, VerifierBuilderError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), Arc::clone(&self.provider));
        let server = versions(ServerConfig::builder_with_provider(Arc::clone(&self.provider)))
            .with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Ok(Arc::new(server))
    }
}

/// Returns the configuration of a client: the certificates of servers are verified by `authorities`; `own` is sent to servers that
/// request one.
#[must_use]
pub fn client(authorities: &Arc<RootCertStore>, own: Option<&Arc<Certificate>>) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = versions(ClientConfig::builder_with_provider(provider)).with_root_certificates(Arc::clone(authorities));
    Arc::new(match own {
        Some(own) => client.with_client_cert_resolver(Arc::clone(own) as Arc<dyn ResolvesClientCert>),
        None => client.with_no_client_auth(),
    })
}

/// Returns the certificate authorities: those in the PEM file, or those of the system where no file is named.
///
/// # Errors
/// Where the file cannot be read, or has no certificate.
pub fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let certificates = if file.as_os_str().is_empty() {
        rustls_native_certs::load_native_certs().certs
    } else {
        let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        all.map_err(|error| TlsError::File(file.to_owned(), error))?
    };
    let mut store = RootCertStore::empty();
    let (taken, _) = store.add_parsable_certificates(certificates);
    if taken == 0 && !file.as_os_str().is_empty() { Err(TlsError::Empty(file.to_owned())) } else { Ok(store) }
}

/// Returns the host names in the verified certificate of the peer.
#[must_use]
pub fn names(chain: Option<&[CertificateDer<'_>]>) -> Vec<String> {
    let Some(certificate) = chain.and_then(<[_]>::first) else { return Vec::new() };
    let names = |certificate: webpki::EndEntityCert<'_>| certificate.valid_dns_names().map(str::to_owned).collect();
    webpki::EndEntityCert::try_from(certificate).map(names).unwrap_or_default()
}

fn versions<S: rustls::ConfigSide>(builder: ConfigBuilder<S, WantsVersions>) -> ConfigBuilder<S, WantsVerifier> {
    builder.with_safe_default_protocol_versions().expect("the provider has suites for TLS 1.2 and 1.3")
}

impl ResolvesClientCert for Certificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Returns size, modification time and inode number of the two files; `None` where one is missing.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp([Option<(u64, i64, i64, u64)>; 2]);

fn stamp(path: &Path) -> Option<(u64, i64, i64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.size(), file.mtime(), file.mtime_nsec(), file.ino()))
}

fn read(files: &config::Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let blame = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File(path, error)
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect).map_err(blame(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(blame(&files.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Pair)
}

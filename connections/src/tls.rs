//! libpq's meaning of `sslmode` in terms of rustls.

use std::path::Path;
use std::sync::Arc;

use pipeline::endpoint::{DatabaseUrl, TlsMode};
use pipeline::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::trust;

/// The client's side of TLS for a URL: whom it trusts, and who it is itself. Errors are usage errors, or name the file that is wrong.
pub fn config(url: &DatabaseUrl) -> Result<ClientConfig> {
    // As libpq has it: with a named authority, `require` checks it.
    let mode = match url.tls_mode() {
        TlsMode::Require if url.tls.root_cert.is_some() => TlsMode::VerifyCa,
        mode => mode,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match trust::roots(&url.tls, mode)?.filter(|_| mode >= TlsMode::VerifyCa) {
        None => Verifier { chain: None, name: false, provider: Arc::clone(&provider) },
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(&path)?);
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| {
                    Error::source(format!("{} holds no authority to trust", path.display())).caused_by(error)
                })?;
            Verifier {
                chain: Some(chain),
                name: mode == TlsMode::VerifyFull,
                provider: Arc::clone(&provider),
            }
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::bug("TLS cannot be set up").caused_by(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let (Some(cert), Some(key)) = (&url.tls.client_cert, &url.tls.client_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
    builder
        .with_client_auth_cert(certificates(cert)?, private)
        .map_err(|error| Error::source("the client certificate and its key do not fit").caused_by(error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: rustls::pki_types::pem::Error) -> Error {
    Error::source(format!("{} cannot be read as a PEM file", path.display())).caused_by(error)
}

/// Checks as much as the mode asks for; the signature of the handshake always.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked after the chain, so this means that the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

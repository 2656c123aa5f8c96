//! Which authorities to trust when a URL asks for verification without naming any.

use std::path::PathBuf;

use pipeline::endpoint::{Tls, TlsMode};
use pipeline::{Error, Result};

/// Where distributions keep the authorities of the system: Debian and Alpine, Fedora and RHEL, SUSE.
const BUNDLES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// What a certificate in a PEM file begins with.
const PEM: &[u8] = b"-----BEGIN ";

/// The PEM file of authorities for a verifying mode; `None` when nothing is verified. The clients need a file, and what looks
/// beforehand must judge by the same one.
pub fn roots(tls: &Tls, mode: TlsMode) -> Result<Option<PathBuf>> {
    if let Some(path) = &tls.root_cert {
        let hint = "sslrootcert= (ssl-ca= for MySQL) names a PEM file with the authorities to trust";
        let Ok(text) = std::fs::read(path) else {
            return Err(
                Error::source(format!("the certificate file {} cannot be read", path.display())).hint(hint)
            );
        };
        if !text.windows(PEM.len()).any(|window| window == PEM) {
            return Err(Error::source(format!(
                "the file {} of sslrootcert/ssl-ca holds no certificate",
                path.display()
            ))
            .hint(hint));
        }
        return Ok(Some(path.clone()));
    }
    if mode < TlsMode::VerifyCa {
        return Ok(None);
    }
    let found = BUNDLES.iter().map(PathBuf::from).find(|path| path.exists());
    found.map(Some).ok_or_else(|| {
        Error::usage(format!(
            "sslmode={} needs authorities to trust, and this system has none",
            mode.as_str()
        ))
        .hint("name a PEM file with sslrootcert=, or install ca-certificates")
    })
}

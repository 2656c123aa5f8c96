//! Whom a stream is encrypted for, and who can read it.

use std::fmt;
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use age::secrecy::SecretString;
use age::{scrypt, ssh, x25519};
use pipeline::endpoint::Secret;
use pipeline::{Error, Result};

/// The cost of a passphrase, as a power of two: 32 MiB of memory and a tenth of a second. age's own default takes 256 MiB, more than a run has; a
/// passphrase for a machine should be random anyway, and then the cost does not matter.
const WORK: u8 = 15;

/// The cost that is accepted when reading: what the `age` program writes.
const WORK_MAX: u8 = 18;

/// The memory that [`WORK`] takes.
pub(super) const WORK_MEMORY: usize = 1024 << WORK;

type Recipient = Box<dyn age::Recipient + Send + Sync>;
type Identity = Box<dyn age::Identity + Send + Sync>;

/// Whom a stream is encrypted for: public keys, or a passphrase.
#[derive(Clone)]
pub struct Recipients {
    pub(super) keys: Arc<Vec<Recipient>>,
    names: Vec<String>,
    pub(super) passphrase: bool,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.names).finish()
    }
}

impl Recipients {
    /// Public keys (`age1…`, `ssh-ed25519 …`, `ssh-rsa …`), and files with one on each line.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut this = Self { keys: Arc::default(), names: Vec::new(), passphrase: false };
        let mut keys = Vec::new();
        for text in texts {
            if let Some(key) = this.key(text.trim())? {
                keys.push(key);
                continue;
            }
            let file = fs::read_to_string(text).map_err(|error| {
                Error::usage("a recipient is neither a public key nor a file that can be read")
                    .with("recipient", shown(text))
                    .hint("write age1…, ssh-ed25519 …, ssh-rsa …, or the name of a file with such lines")
                    .caused_by(error)
            })?;
            for line in file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                keys.push(this.key(line)?.ok_or_else(|| {
                    Error::usage("a line of the file of recipients is no public key").with("file", text)
                })?);
            }
        }
        if keys.is_empty() {
            return Err(Error::usage("there is nobody to encrypt for: the file of recipients is empty"));
        }
        this.keys = Arc::new(keys);
        Ok(this)
    }

    /// A passphrase instead of keys; the format does not allow both.
    pub fn passphrase(secret: &Secret) -> Result<Self> {
        if secret.expose().is_empty() {
            return Err(Error::usage("the passphrase is empty"));
        }
        let mut recipient = scrypt::Recipient::new(SecretString::from(secret.expose().to_owned()));
        recipient.set_work_factor(WORK);
        let keys: Vec<Recipient> = vec![Box::new(recipient)];
        Ok(Self { keys: Arc::new(keys), names: vec!["passphrase".to_owned()], passphrase: true })
    }

    fn key(&mut self, text: &str) -> Result<Option<Recipient>> {
        let (name, key): (String, Recipient) = if text.starts_with("AGE-SECRET-KEY-") {
            // Nothing of it may be repeated.
            return Err(Error::usage("a secret key was given where a public key belongs").hint(
                "`age-keygen -y FILE` prints the public key; treat the secret one as known to others now",
            ));
        } else if text.starts_with("age1") {
            let key = x25519::Recipient::from_str(text).map_err(|why| wrong(text).with("why", why))?;
            (key.to_string(), Box::new(key))
        } else if text.starts_with("ssh-") {
            let key = ssh::Recipient::from_str(text)
                .map_err(|_| wrong(text).hint("ssh-ed25519 and ssh-rsa keys are known"))?;
            (key.to_string(), Box::new(key))
        } else {
            return Ok(None);
        };
        self.names.push(name);
        Ok(Some(key))
    }

    /// The public keys, for the manifest.
    pub fn names(&self) -> String {
        self.names.join(", ")
    }
}

fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}

fn wrong(text: &str) -> Error {
    Error::usage("a recipient is no valid public key").with("recipient", format!("{}…", shown(text)))
}

/// Who can read: secret keys, and passphrases.
#[derive(Clone, Default)]
pub struct Identities(pub(super) Arc<Vec<Identity>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// The keys of these files (of age, or of OpenSSH without a passphrase), and this passphrase.
    pub fn load(files: &[impl AsRef<Path>], passphrase: Option<&Secret>) -> Result<Self> {
        let mut all: Vec<Identity> = Vec::new();
        for file in files {
            let path = file.as_ref();
            let text = fs::read_to_string(path).map_err(|error| {
                Error::usage("cannot read the file of the key").with("file", path.display()).caused_by(error)
            })?;
            let before = all.len();
            if text.starts_with("-----BEGIN") {
                let key = ssh::Identity::from_buffer(BufReader::new(text.as_bytes()), None);
                match key {
                    Ok(key @ ssh::Identity::Unencrypted(_)) => all.push(Box::new(key)),
                    Ok(ssh::Identity::Encrypted(_)) => {
                        return Err(Error::usage("the SSH key is protected by a passphrase")
                            .with("file", path.display())
                            .hint("a run has nobody to ask: `ssh-keygen -p` removes the passphrase of a copy, or use a key of age-keygen"));
                    }
                    _ => return Err(no_key(path)),
                }
            } else {
                for line in text.lines().map(str::trim).filter(|line| line.starts_with("AGE-SECRET-KEY-")) {
                    all.push(Box::new(x25519::Identity::from_str(line).map_err(|_| no_key(path))?));
                }
            }
            if all.len() == before {
                return Err(no_key(path));
            }
        }
        if let Some(passphrase) = passphrase {
            let mut identity = scrypt::Identity::new(SecretString::from(passphrase.expose().to_owned()));
            identity.set_max_work_factor(WORK_MAX);
            all.push(Box::new(identity));
        }
        Ok(Self(Arc::new(all)))
    }

    /// True when nothing could be read with it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn no_key(path: &Path) -> Error {
    Error::usage("the file holds no secret key")
        .with("file", path.display())
        .hint("it is a file of `age-keygen`, or an OpenSSH key of type ed25519 or rsa")
}

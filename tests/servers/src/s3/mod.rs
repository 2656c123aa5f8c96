//! An S3 server in the test's own process, with faults on demand.
//!
//! It checks what real stores check: signatures, checksums of parts and of whole objects, part sizes, conditions. [`Quirks`] makes it the kind of store that
//! does less; [`Fault`] breaks requests at a chosen moment. For what AWS itself does the Amazon S3 API Reference is followed.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "answers are put together from text; speed is no concern here"
)]

mod http;
mod request;
mod sign;
mod store;
mod sts;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use store::StoredObject;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::daemon::Scratch;
use crate::error::{Context, Error, Result};
use store::Store;

/// The key pair that the server knows.
pub const ACCESS_KEY: &str = "AKIATESTTESTTESTTEST";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "a-secret-that-must-never-be-printed";
/// The only bucket.
pub const BUCKET: &str = "archive";

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the protocol")]
pub enum Op {
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    ListObjects,
    ListMultipartUploads,
    Other,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status with this code, and nothing done.
    Status(u16, &'static str),
    /// The connection is closed before the body is read.
    Reset,
    /// The connection is closed in the middle of the body.
    ResetInside,
    /// Everything is done, and the connection is closed instead of an answer.
    LostAnswer,
    /// The answer is late.
    Stall(Duration),
    /// A byte of what is stored, or of what is read, is another one, and nobody is told.
    Corrupt,
    /// The answer names another checksum.
    WrongChecksum,
    /// The part is acknowledged and not kept.
    LosePart,
    /// Nothing is done; the answer is 200 with an error in its body.
    ErrorInside,
    /// The body of the answer is cut in its middle.
    CutAnswer,
}

/// What a store does with a header that it may or may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// As AWS does.
    Checked,
    /// As if it were not there.
    Ignored,
    /// 400.
    Refused,
}

/// How this store differs from AWS.
#[derive(Debug, Clone)]
pub struct Quirks {
    /// `If-None-Match` and `If-Match` on writes.
    pub conditions: Care,
    /// `x-amz-checksum-crc64nvme`.
    pub crc64: Care,
    /// `x-amz-checksum-crc32c`.
    pub crc32c: Care,
    /// `Content-MD5`.
    pub md5: Care,
    /// ETags of parts are no MD5 of them.
    pub opaque_etags: bool,
    /// All parts but the last have the same size.
    pub equal_parts: bool,
    /// Parts of one object.
    pub max_parts: usize,
    /// Parts are checked and counted and not kept.
    pub discard: bool,
    /// Bodies in chunks with a checksum behind them are taken, as the tools of AWS send them over TLS. The checksum is not looked at.
    pub trailers: bool,
    /// Seconds by which its clock is ahead.
    pub clock: i64,
    /// Operations that the account may not do.
    pub denied: Vec<Op>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            conditions: Care::Checked,
            crc64: Care::Checked,
            crc32c: Care::Checked,
            md5: Care::Checked,
            opaque_etags: false,
            equal_parts: false,
            max_parts: 10_000,
            discard: false,
            trailers: false,
            clock: 0,
            denied: Vec::new(),
        }
    }
}

/// A request as a fault sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// From 0, over all requests.
    pub number: u64,
    /// What it asks for.
    pub op: Op,
    /// Of which object.
    pub key: String,
}

/// A key pair that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    id: String,
    secret: String,
    /// Goes along with the keys of a session.
    token: Option<String>,
    /// Seconds since the epoch.
    until: Option<i64>,
}

/// A role that may be assumed.
#[derive(Debug)]
struct Role {
    arn: String,
    external_id: Option<String>,
    /// For how long each of its sessions is good.
    seconds: i64,
    assumed: u64,
}

type Chooser = Box<dyn FnMut(&Seen) -> Option<Fault> + Send>;

struct Shared {
    quirks: Quirks,
    store: Mutex<Store>,
    chooser: Mutex<Chooser>,
    requests: AtomicU64,
    /// Requests that were begun and are neither answered nor given up.
    open: AtomicU64,
    counts: Mutex<BTreeMap<String, u64>>,
    accounts: Mutex<Vec<Account>>,
    roles: Mutex<Vec<Role>>,
    stopped: AtomicBool,
}

/// A running server. It ends when it is dropped.
pub struct FakeS3 {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Where its certificate is.
    tls: Option<Scratch>,
}

impl std::fmt::Debug for FakeS3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeS3").field("address", &self.address).finish_non_exhaustive()
    }
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeS3 {
    /// Starts a server on a free port.
    pub fn start(quirks: Quirks) -> Result<Self> {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), quirks)
    }

    /// Starts a server on a free port of this address.
    pub fn start_at(host: IpAddr, quirks: Quirks) -> Result<Self> {
        Self::launch(host, quirks, None)
    }

    /// Starts a server that speaks TLS, with a certificate that no authority has signed.
    pub fn start_tls(quirks: Quirks) -> Result<Self> {
        let scratch = Scratch::new()?;
        crate::redis::certificate(scratch.path(), None)?;
        Self::launch(IpAddr::V4(Ipv4Addr::LOCALHOST), quirks, Some(scratch))
    }

    fn launch(host: IpAddr, quirks: Quirks, tls: Option<Scratch>) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).context("binding a port")?;
        let address = listener.local_addr()?;
        let config = tls.as_ref().map(|scratch| tls_config(scratch.path())).transpose()?;
        let keys =
            Account { id: ACCESS_KEY.to_owned(), secret: SECRET_KEY.to_owned(), token: None, until: None };
        let shared = Arc::new(Shared {
            quirks,
            store: Mutex::default(),
            chooser: Mutex::new(Box::new(|_| None)),
            requests: AtomicU64::new(0),
            open: AtomicU64::new(0),
            counts: Mutex::default(),
            accounts: Mutex::new(vec![keys]),
            roles: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if server.stopped.load(SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let (server, config) = (Arc::clone(&server), config.clone());
                // A client that goes away ends its own thread and nothing else.
                std::thread::spawn(move || accept(connection, &server, config).ok());
            }
        });
        Ok(Self { address, shared, tls })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate of a server that speaks TLS, as a PEM file.
    pub fn certificate(&self) -> Option<PathBuf> {
        Some(self.tls.as_ref()?.path().join("server.crt"))
    }

    /// Knows these keys as well.
    pub fn allow(&self, id: &str, secret: &str, token: Option<&str>) {
        let token = token.map(str::to_owned);
        let account = Account { id: id.to_owned(), secret: secret.to_owned(), token, until: None };
        locked(&self.shared.accounts).push(account);
    }

    /// From now on these keys have expired.
    pub fn expire(&self, id: &str) {
        for account in locked(&self.shared.accounts).iter_mut().filter(|account| account.id == id) {
            account.until = Some(0);
        }
    }

    /// Lets a role be assumed, with sessions of this length.
    pub fn role(&self, arn: &str, external_id: Option<&str>, seconds: i64) {
        let external_id = external_id.map(str::to_owned);
        locked(&self.shared.roles).push(Role { arn: arn.to_owned(), external_id, seconds, assumed: 0 });
    }

    /// How often roles were assumed.
    pub fn assumed(&self) -> u64 {
        locked(&self.shared.roles).iter().map(|role| role.assumed).sum()
    }

    /// The address of a key, without credentials.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{BUCKET}/{key}?endpoint={}&region=us-east-1", self.endpoint())
    }

    /// Chooses a fault for each request from now on.
    pub fn faults(&self, chooser: impl FnMut(&Seen) -> Option<Fault> + Send + 'static) {
        *locked(&self.shared.chooser) = Box::new(chooser);
    }

    /// No more faults.
    pub fn heal(&self) {
        self.faults(|_| None);
    }

    /// Objects by key. Without their bytes where the store discards.
    pub fn objects(&self) -> BTreeMap<String, StoredObject> {
        locked(&self.shared.store).objects.clone()
    }

    /// `key upload-id` of every incomplete upload.
    pub fn uploads(&self) -> Vec<String> {
        let store = locked(&self.shared.store);
        store.uploads.iter().map(|(id, upload)| format!("{} {id}", upload.key)).collect()
    }

    /// Makes everything that is there look this much older.
    pub fn age(&self, seconds: u64) {
        locked(&self.shared.store).age(seconds);
    }

    /// Puts an object behind everybody's back.
    pub fn plant(&self, key: &str, data: &[u8]) {
        locked(&self.shared.store).plant(key, data);
    }

    /// Takes an object away behind everybody's back.
    pub fn remove(&self, key: &str) {
        locked(&self.shared.store).objects.remove(key);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(SeqCst)
    }

    /// Requests that are being served.
    pub fn open_requests(&self) -> u64 {
        self.shared.open.load(SeqCst)
    }

    /// Requests so far, by operation.
    pub fn count(&self, op: Op) -> u64 {
        locked(&self.shared.counts).get(&format!("{op:?}")).copied().unwrap_or(0)
    }
}

fn tls_config(dir: &Path) -> Result<Arc<rustls::ServerConfig>> {
    let certificate = CertificateDer::from_pem_file(dir.join("server.crt"));
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key"));
    let (Ok(certificate), Ok(key)) = (certificate, key) else {
        return Err(Error::new("the certificate of the S3 server cannot be read"));
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map(Arc::new)
        .map_err(|error| Error::new(format!("the S3 server's certificate cannot be used: {error}")))
}

fn accept(
    connection: TcpStream,
    server: &Shared,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    match tls {
        None => http::serve(connection, server),
        Some(config) => {
            let session = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
            http::serve(rustls::StreamOwned::new(session, connection), server)
        }
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        // Wakes the accepting thread; refused means that it is gone already.
        TcpStream::connect(self.address).ok();
    }
}

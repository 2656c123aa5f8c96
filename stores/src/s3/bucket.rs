//! The requests that an archive needs, each with its own retries and none with a meaning of its own.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    EncodingType, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetentionMode,
    RequestPayer, ServerSideEncryption, StorageClass,
};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use pipeline::Result;

use super::checksum::{Kind, Sum};
use super::client::Clients;
use super::failure::{Class, Failure};
use super::retry::Patience;
use super::url::S3Url;

/// Waits before credentials are read anew. Whoever rotates them needs a moment between the old ones' end and the new ones' being there.
const RENEWALS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

type Answer<T> = std::result::Result<T, Failure>;

/// The metadata that says which run wrote an object: how an answer that was lost is found out.
const RUN: &str = "dbferry-run";

/// A bucket, as one address says how to use it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    clients: Arc<Clients>,
    url: Arc<S3Url>,
    patience: Patience,
}

/// An upload of parts that is not an object yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Of the object to be.
    pub key: String,
    /// The store's name for the upload.
    pub id: String,
}

/// A part that the store acknowledged.
#[derive(Debug, Clone)]
pub struct PartTag {
    /// From 1.
    pub number: i32,
    etag: String,
    sum: Sum,
}

/// How an object is put in one piece.
#[derive(Debug, Clone)]
pub struct Put<'a> {
    /// The key.
    pub key: &'a str,
    /// The run that writes it.
    pub run: &'a str,
    /// The checksum that goes along.
    pub kind: Kind,
    /// Refuse when something is there.
    pub only_new: bool,
    /// What else of the address it gets.
    pub dress: Dress,
    /// What it is.
    pub content_type: &'static str,
}

/// What an object gets besides its encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dress {
    /// Storage class, metadata, tags, lock, ACL and grants.
    Full,
    /// The same without the storage class: a manifest must be readable at once.
    Readable,
    /// Nothing: what is gone in a moment.
    Bare,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Bytes.
    pub bytes: u64,
    /// The store's tag of this content.
    pub etag: String,
    /// The run that wrote it, when it was one of ours.
    pub run: Option<String>,
    /// The version, in a bucket that keeps versions.
    pub version: Option<String>,
    /// The CRC64NVME of the whole object, in base64, where the store tells it.
    pub crc64: Option<String>,
    /// Seconds since the epoch, by the store's clock; 0 where it was not asked.
    pub modified: i64,
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Bytes of an object.
    pub bytes: u64,
    /// Seconds since the epoch, by the store's clock: when it was last modified, or begun.
    pub at: i64,
}

/// The bytes of an answer.
#[derive(Debug)]
pub struct Body {
    stream: ByteStream,
    /// As [`Head::etag`].
    pub etag: String,
    /// Bytes of this answer.
    pub bytes: u64,
}

impl Body {
    /// The next piece, or `None` at the end of the connection's answer. Cancel safe.
    pub async fn next(&mut self) -> Option<Answer<Bytes>> {
        self.stream.next().await.map(|piece| piece.map_err(|error| Failure::broken(error.to_string())))
    }
}

/// What every object of the address gets, whether it is put or uploaded in parts: the two builders have no type in common.
macro_rules! dress {
    ($request:expr, $url:expr, $run:expr) => {{
        let url = $url;
        let mut request = $request.metadata(RUN, $run);
        for (key, value) in &url.metadata {
            request = request.metadata(key, value);
        }
        request = request
            .set_storage_class(url.storage_class.as_deref().map(StorageClass::from))
            .set_tagging(url.tags.clone())
            .set_acl(url.acl.as_deref().map(Into::into))
            .set_grant_full_control(url.grants.get("full_control").cloned())
            .set_grant_read(url.grants.get("read").cloned())
            .set_grant_read_acp(url.grants.get("read_acp").cloned())
            .set_grant_write_acp(url.grants.get("write_acp").cloned())
            .set_object_lock_mode(url.lock_mode.as_deref().map(ObjectLockMode::from))
            .set_object_lock_retain_until_date(
                url.lock_until
                    .as_deref()
                    .and_then(|until| DateTime::from_str(until, DateTimeFormat::DateTimeWithOffset).ok()),
            );
        if url.legal_hold {
            request = request.object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
        }
        request
    }};
}

/// Encryption belongs to every object, also to those that are not dressed.
macro_rules! encrypt {
    ($request:expr, $url:expr) => {{
        let url = $url;
        $request
            .set_server_side_encryption(url.sse.as_deref().map(ServerSideEncryption::from))
            .set_ssekms_key_id(url.sse_kms_key_id.clone())
            .set_bucket_key_enabled(url.bucket_key)
    }};
}

/// Who the bucket must belong to, and who pays: on every request.
macro_rules! request {
    ($self:ident . $operation:ident) => {
        $self
            .clients
            .now()
            .$operation()
            .bucket(&$self.url.bucket)
            .set_expected_bucket_owner($self.url.expected_bucket_owner.clone())
            .set_request_payer($self.url.request_payer.then_some(RequestPayer::Requester))
    };
}

fn header_of<T>(sum: &Sum, kind: Kind, make: impl FnOnce(String) -> T) -> Option<T> {
    (sum.kind == kind).then(|| make(sum.value.clone()))
}

impl Bucket {
    /// A bucket. Reads the AWS configuration; nothing is sent yet.
    pub async fn connect(url: &S3Url) -> Result<Self> {
        let mut url = url.clone();
        if url.endpoint.is_none() {
            // The SDK would follow these as well, and would not tell that the store is not AWS then.
            let set =
                ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok());
            url.endpoint =
                set.filter(|endpoint| !endpoint.is_empty()).map(|e| e.trim_end_matches('/').to_owned());
        }
        let clients = Arc::new(Clients::new(&url).await?);
        Ok(Self { clients, patience: Patience::new(url.retry), url: Arc::new(url) })
    }

    /// The same bucket with another patience.
    #[must_use]
    pub fn with_patience(&self, patience: Patience) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same bucket, with other wishes for its objects.
    #[must_use]
    pub fn with_url(&self, change: impl FnOnce(&mut S3Url)) -> Self {
        let mut url = (*self.url).clone();
        change(&mut url);
        Self { url: Arc::new(url), ..self.clone() }
    }

    /// Makes a request until it succeeds or cannot. Credentials that the store does not take any more are read anew: somebody may have replaced them
    /// where they come from.
    async fn persist<T, F>(&self, bytes: u64, mut request: impl FnMut() -> F) -> Answer<T>
    where
        F: Future<Output = Answer<T>>,
    {
        let mut waits = RENEWALS.iter();
        loop {
            // On the heap: a request of the SDK has some kilobytes, and callers hold many.
            let failure = match self.patience.persist(bytes, || Box::pin(request())).await {
                Err(failure) if failure.class == Class::Expired => failure,
                other => return other,
            };
            let Some(wait) = waits.next() else { return Err(failure) };
            tokio::time::sleep(*wait).await;
            self.clients.renew().await;
        }
    }

    /// The address.
    pub fn url(&self) -> &S3Url {
        &self.url
    }

    /// The region that the store says the bucket is in, where it says it.
    pub async fn region(&self) -> Answer<Option<String>> {
        let request = async || {
            let owner = self.url.expected_bucket_owner.clone();
            let request =
                self.clients.now().head_bucket().bucket(&self.url.bucket).set_expected_bucket_owner(owner);
            request.send().await.map_err(Failure::of)
        };
        let output = self.persist(0, request).await?;
        Ok(output.bucket_region().map(str::to_owned))
    }

    /// How the bucket encrypts objects that ask for nothing: `AES256`, `aws:kms`. None where the store has no such setting.
    pub async fn encryption(&self) -> Answer<Option<String>> {
        let request = async || {
            let owner = self.url.expected_bucket_owner.clone();
            let request = self
                .clients
                .now()
                .get_bucket_encryption()
                .bucket(&self.url.bucket)
                .set_expected_bucket_owner(owner);
            request.send().await.map_err(Failure::of)
        };
        let output = self.persist(0, request).await?;
        let rules = output
            .server_side_encryption_configuration()
            .map(aws_sdk_s3::types::ServerSideEncryptionConfiguration::rules);
        let rule =
            rules.and_then(|rules| rules.iter().find_map(|r| r.apply_server_side_encryption_by_default()));
        Ok(rule.map(|rule| rule.sse_algorithm().as_str().to_owned()))
    }

    /// Puts a whole object.
    pub async fn put(&self, put: &Put<'_>, data: Bytes) -> Answer<Head> {
        let sum = Sum::of(put.kind, &data);
        let bytes = data.len() as u64;
        let request = async || {
            let mut request = request!(self.put_object)
                .key(put.key)
                .content_type(put.content_type)
                .body(ByteStream::from(data.clone()))
                .set_checksum_crc64_nvme(header_of(&sum, Kind::Crc64Nvme, |v| v))
                .set_checksum_crc32_c(header_of(&sum, Kind::Crc32c, |v| v))
                .set_content_md5(header_of(&sum, Kind::Md5, |v| v))
                .set_if_none_match(put.only_new.then(|| "*".to_owned()));
            request = encrypt!(request, &self.url);
            request = match put.dress {
                Dress::Bare => request.metadata(RUN, put.run),
                Dress::Full => dress!(request, &self.url, put.run),
                Dress::Readable => dress!(request, &self.url, put.run).set_storage_class(None),
            };
            let unsigned = sum.kind != Kind::None;
            let request = request.customize();
            // The checksum header is signed. Hashing the body as well would cost more time than everything else together.
            let request = if unsigned { request.disable_payload_signing() } else { request };
            request.send().await.map_err(Failure::of)
        };
        let output = self.persist(bytes, request).await?;
        let etag = output.e_tag().unwrap_or_default().to_owned();
        check_part(
            &sum,
            &etag,
            sum_of(&sum, output.checksum_crc64_nvme(), output.checksum_crc32_c()),
            self.encrypted(output.server_side_encryption()),
        )?;
        Ok(Head {
            bytes,
            etag,
            run: Some(put.run.to_owned()),
            version: output.version_id().map(str::to_owned),
            crc64: output.checksum_crc64_nvme().map(str::to_owned),
            modified: 0,
        })
    }

    /// Begins an upload of parts.
    pub async fn create(&self, key: &str, kind: Kind, run: &str) -> Answer<Upload> {
        let request = async || {
            let mut request =
                request!(self.create_multipart_upload).key(key).content_type("application/octet-stream");
            match kind {
                Kind::Crc64Nvme => {
                    request = request
                        .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme)
                        .checksum_type(ChecksumType::FullObject);
                }
                Kind::Crc32c => {
                    request = request.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc32C);
                }
                Kind::Md5 | Kind::None => {}
            }
            request = encrypt!(request, &self.url);
            dress!(request, &self.url, run).send().await.map_err(Failure::of)
        };
        let output = self.persist(0, request).await?;
        let id = output.upload_id().unwrap_or_default();
        if id.is_empty() {
            return Err(Failure::nonsense("the store began an upload and gave it no id"));
        }
        Ok(Upload { key: key.to_owned(), id: id.to_owned() })
    }

    /// Stores a part; `Ok` means that the store has it and that its checksum is right as far as the store tells.
    pub async fn upload_part(&self, upload: &Upload, number: i32, data: Bytes, sum: &Sum) -> Answer<PartTag> {
        let bytes = data.len() as u64;
        let request = async || {
            let request = request!(self.upload_part)
                .key(&upload.key)
                .upload_id(&upload.id)
                .part_number(number)
                .body(ByteStream::from(data.clone()))
                .set_checksum_crc64_nvme(header_of(sum, Kind::Crc64Nvme, |v| v))
                .set_checksum_crc32_c(header_of(sum, Kind::Crc32c, |v| v))
                .set_content_md5(header_of(sum, Kind::Md5, |v| v))
                .customize();
            let request = if sum.kind == Kind::None { request } else { request.disable_payload_signing() };
            request.send().await.map_err(Failure::of)
        };
        let output = self.persist(bytes, request).await?;
        let etag = output.e_tag().unwrap_or_default().to_owned();
        if etag.is_empty() {
            return Err(Failure::nonsense("the store took a part and gave it no ETag"));
        }
        let told = sum_of(sum, output.checksum_crc64_nvme(), output.checksum_crc32_c());
        check_part(sum, &etag, told, self.encrypted(output.server_side_encryption()))?;
        Ok(PartTag { number, etag, sum: sum.clone() })
    }

    /// ETags are no MD5 of what is encrypted with KMS.
    fn encrypted(&self, told: Option<&ServerSideEncryption>) -> bool {
        let kms = |sse: &str| sse.starts_with("aws:kms");
        self.url.sse.as_deref().is_some_and(kms) || told.is_some_and(|sse| kms(sse.as_str()))
    }

    /// Makes an object of the parts. One attempt: what a lost answer means is for the caller to find out. Returns the version and the CRC64NVME of
    /// the whole, where the store tells them.
    pub async fn complete(
        &self,
        upload: &Upload,
        parts: &[PartTag],
        whole: Option<&Sum>,
        bytes: u64,
        only_new: bool,
    ) -> Answer<(Option<String>, Option<String>)> {
        let parts = parts
            .iter()
            .map(|part| {
                CompletedPart::builder()
                    .part_number(part.number)
                    .e_tag(&part.etag)
                    .set_checksum_crc64_nvme(header_of(&part.sum, Kind::Crc64Nvme, |v| v))
                    .set_checksum_crc32_c(header_of(&part.sum, Kind::Crc32c, |v| v))
                    .build()
            })
            .collect();
        let parts: Vec<CompletedPart> = parts;
        // The store puts the parts together before it answers; AWS says that this can take minutes.
        let once = Self { patience: self.patience.once(5), ..self.clone() };
        let request = async || {
            let mut request = request!(once.complete_multipart_upload)
                .key(&upload.key)
                .upload_id(&upload.id)
                .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts.clone())).build())
                .set_if_none_match(only_new.then(|| "*".to_owned()));
            if let Some(whole) = whole.filter(|sum| sum.kind == Kind::Crc64Nvme) {
                request = request
                    .checksum_crc64_nvme(&whole.value)
                    .checksum_type(ChecksumType::FullObject)
                    .mpu_object_size(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
            request.send().await.map_err(Failure::of)
        };
        let output = once.persist(0, request).await?;
        if output.e_tag().is_none() {
            // A 200 whose body is an error, or no answer at all, which the SDK does not always tell.
            return Err(Failure::broken("the store's answer to the completion says nothing"));
        }
        Ok((output.version_id().map(str::to_owned), output.checksum_crc64_nvme().map(str::to_owned)))
    }

    /// Removes an upload and waits until it is gone: parts that were in flight can land after the first attempt.
    pub async fn abort(&self, upload: &Upload) -> Answer<()> {
        for _ in 0..10 {
            let request = async || {
                let request = request!(self.abort_multipart_upload).key(&upload.key).upload_id(&upload.id);
                request.send().await.map_err(Failure::of)
            };
            match self.persist(0, request).await {
                Ok(_) => {}
                Err(failure) if matches!(failure.class, Class::NoUpload | Class::Missing) => return Ok(()),
                Err(failure) => return Err(failure),
            }
            match self.parts_of(upload).await {
                Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(200)).await,
                // A role that may abort and may not list has done what it could.
                Ok(None) => return Ok(()),
                Err(failure) if matches!(failure.class, Class::Denied | Class::Unsupported) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::nonsense("the upload is still there after it was aborted ten times"))
    }

    /// How many parts an upload has, up to 1000; `None` when there is no such upload.
    pub async fn parts_of(&self, upload: &Upload) -> Answer<Option<usize>> {
        let request = async || {
            let request = request!(self.list_parts).key(&upload.key).upload_id(&upload.id);
            request.send().await.map_err(Failure::of)
        };
        match self.persist(0, request).await {
            Ok(output) => Ok(Some(output.parts().len())),
            Err(failure) if matches!(failure.class, Class::NoUpload | Class::Missing) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What is known of an object, or `None` when there is none.
    pub async fn head(&self, key: &str) -> Answer<Option<Head>> {
        let request = async || {
            let request = request!(self.head_object).key(key).checksum_mode(ChecksumMode::Enabled);
            match request.send().await {
                Ok(output) => Ok(Some(Head {
                    bytes: unsigned(output.content_length()),
                    etag: output.e_tag().unwrap_or_default().to_owned(),
                    run: output.metadata().and_then(|all| all.get(RUN)).cloned(),
                    version: output.version_id().filter(|id| *id != "null").map(str::to_owned),
                    crc64: output
                        .checksum_crc64_nvme()
                        .filter(|_| output.checksum_type() != Some(&ChecksumType::Composite))
                        .map(str::to_owned),
                    modified: output.last_modified().map_or(0, DateTime::secs),
                })),
                Err(error) => {
                    // No body tells a missing bucket from a missing object; whoever must know writes or lists.
                    let failure = Failure::of(error);
                    if failure.class == Class::Missing { Ok(None) } else { Err(failure) }
                }
            }
        };
        self.persist(0, request).await
    }

    /// Reads `range` (first and last byte) of an object, or all of it, if it is still what `etag` names. One attempt: the reader knows where to go on.
    pub async fn get(&self, key: &str, range: Option<(u64, u64)>, etag: Option<&str>) -> Answer<Body> {
        let once = Self { patience: self.patience.once(1), ..self.clone() };
        let request = async || {
            let request = request!(once.get_object)
                .key(key)
                .set_range(range.map(|(first, last)| format!("bytes={first}-{last}")))
                .set_if_match(etag.map(str::to_owned));
            request.send().await.map_err(Failure::of)
        };
        let output = once.persist(0, request).await?;
        Ok(Body {
            etag: output.e_tag().unwrap_or_default().to_owned(),
            bytes: unsigned(output.content_length()),
            stream: output.body,
        })
    }

    /// The whole of a small object, or `None` when there is none.
    pub async fn read_small(&self, key: &str, at_most: u64) -> Answer<Option<Bytes>> {
        let request = async || {
            let mut body = match self.get(key, None, None).await {
                Ok(body) => body,
                Err(failure) if failure.class == Class::Missing => return Ok(None),
                Err(failure) => return Err(failure),
            };
            let mut all = Vec::new();
            while let Some(piece) = body.next().await {
                all.extend_from_slice(&piece?);
                if all.len() as u64 > at_most {
                    return Err(Failure::nonsense(format!("the object is longer than {at_most} bytes")));
                }
            }
            if (all.len() as u64) < body.bytes {
                return Err(Failure::broken("the answer ended early"));
            }
            Ok(Some(Bytes::from(all)))
        };
        self.persist(at_most, request).await
    }

    /// Deletes an object, or one version of it. One that is not there is deleted already.
    pub async fn delete(&self, key: &str, version: Option<&str>) -> Answer<()> {
        let request = async || {
            let request = request!(self.delete_object).key(key).set_version_id(version.map(str::to_owned));
            request.send().await.map_err(Failure::of)
        };
        match self.persist(0, request).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.class == Class::Missing => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// One page of the objects below a prefix, and the token of the next.
    pub async fn list(&self, prefix: &str, token: Option<String>) -> Answer<(Vec<Listed>, Option<String>)> {
        let request = async || {
            let request = request!(self.list_objects_v2)
                .prefix(prefix)
                // A key may hold what XML cannot.
                .encoding_type(EncodingType::Url)
                .set_continuation_token(token.clone());
            request.send().await.map_err(Failure::of)
        };
        let output = self.persist(0, request).await?;
        let encoded = output.encoding_type() == Some(&EncodingType::Url);
        let page = output
            .contents()
            .iter()
            .map(|object| Listed {
                key: decoded(object.key().unwrap_or_default(), encoded),
                bytes: unsigned(object.size()),
                at: object.last_modified().map_or(0, DateTime::secs),
            })
            .collect();
        Ok((page, output.next_continuation_token().map(str::to_owned)))
    }

    /// Every object below a prefix. For archives of some thousands of parts, not for whole buckets.
    pub async fn list_all(&self, prefix: &str) -> Answer<Vec<Listed>> {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let (page, next) = self.list(prefix, token).await?;
            all.extend(page);
            if next.is_none() {
                return Ok(all);
            }
            token = next;
        }
    }

    /// Whether the bucket keeps versions.
    pub async fn versioning(&self) -> Answer<bool> {
        let request = self.clients.now().get_bucket_versioning().bucket(&self.url.bucket);
        let output = request.send().await.map_err(Failure::of)?;
        Ok(output.status() == Some(&BucketVersioningStatus::Enabled))
    }

    /// Whether the bucket can lock objects, and how long it locks each by itself, in words.
    pub async fn object_lock(&self) -> Answer<Option<Option<String>>> {
        let request = self.clients.now().get_object_lock_configuration().bucket(&self.url.bucket);
        let output = match request.send().await.map_err(Failure::of) {
            Ok(output) => output,
            Err(failure) if failure.class == Class::Missing => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let Some(config) = output.object_lock_configuration() else { return Ok(None) };
        let retention = config.rule().and_then(|rule| rule.default_retention());
        Ok(Some(retention.map(|retention| {
            let mode = retention.mode().map_or("", ObjectLockRetentionMode::as_str);
            match (retention.days(), retention.years()) {
                (Some(days), _) => format!("{mode} for {days} days"),
                (None, Some(years)) => format!("{mode} for {years} years"),
                (None, None) => mode.to_owned(),
            }
        })))
    }

    /// Takes a legal hold from a version of an object.
    pub async fn release(&self, key: &str, version: Option<&str>) -> Answer<()> {
        let hold = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::Off).build();
        let request = async || {
            let request = request!(self.put_object_legal_hold)
                .key(key)
                .set_version_id(version.map(str::to_owned))
                .legal_hold(hold.clone());
            request.send().await.map_err(Failure::of)
        };
        self.persist(0, request).await.map(|_| ())
    }

    /// Whether a rule of the bucket removes uploads that are never completed.
    pub async fn aborts_incomplete_uploads(&self) -> Answer<bool> {
        let request = self.clients.now().get_bucket_lifecycle_configuration().bucket(&self.url.bucket);
        match request.send().await.map_err(Failure::of) {
            Ok(output) => {
                Ok(output.rules().iter().any(|rule| rule.abort_incomplete_multipart_upload().is_some()))
            }
            Err(failure) if failure.class == Class::Missing => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Every incomplete upload below a prefix.
    pub async fn uploads(&self, prefix: &str) -> Answer<Vec<(Upload, i64)>> {
        let mut all = Vec::new();
        let mut marker: (Option<String>, Option<String>) = (None, None);
        loop {
            let request = async || {
                let request = request!(self.list_multipart_uploads)
                    .prefix(prefix)
                    .encoding_type(EncodingType::Url)
                    .set_key_marker(marker.0.clone())
                    .set_upload_id_marker(marker.1.clone());
                request.send().await.map_err(Failure::of)
            };
            let output = self.persist(0, request).await?;
            let encoded = output.encoding_type() == Some(&EncodingType::Url);
            for upload in output.uploads() {
                let key = decoded(upload.key().unwrap_or_default(), encoded);
                let id = upload.upload_id().unwrap_or_default().to_owned();
                // Some stores list more than the prefix.
                if key.starts_with(prefix) {
                    all.push((Upload { key, id }, upload.initiated().map_or(0, DateTime::secs)));
                }
            }
            let next = output.next_key_marker().map(|key| decoded(key, encoded));
            if output.is_truncated() != Some(true) || next.is_none() {
                return Ok(all);
            }
            marker = (next, output.next_upload_id_marker().map(str::to_owned));
        }
    }
}

fn unsigned(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// The form of `encoding-type=url`: percent-escapes, and `+` for a space.
fn decoded(key: &str, encoded: bool) -> String {
    if encoded {
        percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
    } else {
        key.to_owned()
    }
}

/// What the store says of the checksum that was sent.
fn sum_of<'a>(sum: &Sum, crc64: Option<&'a str>, crc32c: Option<&'a str>) -> Option<&'a str> {
    match sum.kind {
        Kind::Crc64Nvme => crc64,
        Kind::Crc32c => crc32c,
        Kind::Md5 | Kind::None => None,
    }
}

/// Holds what the store says of stored bytes against what was sent.
fn check_part(sum: &Sum, etag: &str, told: Option<&str>, kms: bool) -> Answer<()> {
    let wrong = |found: &str| {
        let mut failure = Failure::nonsense(format!(
            "the store holds bytes with {} {found}, those that were sent have {}",
            sum.kind.as_str(),
            sum.value
        ));
        failure.class = Class::Checksum;
        Err(failure)
    };
    if let Some(told) = told
        && told != sum.value
    {
        return wrong(told);
    }
    let tag = etag.trim_matches('"');
    let is_md5 = tag.len() == 32 && tag.bytes().all(|b| b.is_ascii_hexdigit());
    if sum.kind == Kind::Md5 && is_md5 && !kms && !tag.eq_ignore_ascii_case(&sum.hex()) {
        return wrong(tag);
    }
    Ok(())
}

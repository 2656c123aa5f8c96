//! `s3://bucket/key?parameter=value&…`: where objects are, and how they are to be stored.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use pipeline::endpoint::Secret;
use pipeline::{Error, Result};

use super::checksum::Kind;

/// What a printed key escapes: all that would not come back from parsing it.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ').add(b'"').add(b'`');

/// Longest key, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const KEY_MAX: usize = 1024;

/// Part of S3's own limits: a part is 5 MiB to 5 GiB, the last one may be smaller.
pub(crate) const PART_MIN: u64 = 5 << 20;
/// See [`PART_MIN`].
pub(crate) const PART_MAX: u64 = 5 << 30;

/// `--s3-checksum`: which checksum goes along with every request that stores bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumChoice {
    /// The best that the store is seen to check.
    #[default]
    Auto,
    /// This one, or an error when the store refuses it.
    Fixed(Kind),
}

impl FromStr for ChecksumChoice {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        Ok(match word {
            "auto" => Self::Auto,
            "crc64nvme" => Self::Fixed(Kind::Crc64Nvme),
            "crc32c" => Self::Fixed(Kind::Crc32c),
            "md5" => Self::Fixed(Kind::Md5),
            "none" => Self::Fixed(Kind::None),
            _ => {
                return Err(Error::usage(format!("unknown S3 checksum `{word}`"))
                    .hint("known: auto, crc64nvme, crc32c, md5, none"));
            }
        })
    }
}

/// A key pair, for who has one at hand. It has no place in the text of an address, which others can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// The secret.
    pub secret: Secret,
}

/// A parsed S3 address. `Display` prints bucket, key, endpoint and region: nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    /// The bucket, or the ARN or alias of an access point.
    pub bucket: String,
    /// The key, decoded; may end in `/` or be empty where a prefix is meant.
    pub key: String,
    /// `http://` or `https://` and a host; `None` is AWS.
    pub endpoint: Option<String>,
    /// The region; `None` leaves it to the environment and the profile.
    pub region: Option<String>,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// A role to assume with the credentials that were found.
    pub role_arn: Option<String>,
    /// The external id that the role asks for.
    pub external_id: Option<String>,
    /// Credentials, instead of those of the environment.
    pub keys: Option<Keys>,
    /// No credentials at all: a public bucket.
    pub anonymous: bool,
    /// Bucket in the path rather than in the host. `None`: in the path for every endpoint but AWS.
    pub path_style: Option<bool>,
    /// Dual-stack endpoints of AWS, for IPv6.
    pub dual_stack: bool,
    /// A PEM file of authorities to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// The account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// The requester pays.
    pub request_payer: bool,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub sse: Option<String>,
    /// The KMS key.
    pub sse_kms_key_id: Option<String>,
    /// Whether KMS is asked once for the bucket rather than for every object.
    pub bucket_key: Option<bool>,
    /// Such as `STANDARD_IA`. The manifest is always stored in the bucket's own class, to be readable at once.
    pub storage_class: Option<String>,
    /// Tags, in the form `a=b&c=d`, encoded as the request wants them.
    pub tags: Option<String>,
    /// Metadata of the objects.
    pub metadata: BTreeMap<String, String>,
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub lock_mode: Option<String>,
    /// Until when, RFC 3339.
    pub lock_until: Option<String>,
    /// Legal hold.
    pub legal_hold: bool,
    /// A canned ACL.
    pub acl: Option<String>,
    /// `full_control`, `read`, `read_acp`, `write_acp`, as `id=…` or `uri=…`.
    pub grants: BTreeMap<String, String>,
    /// Which checksum.
    pub checksum: ChecksumChoice,
    /// Whether the store is known to enforce `If-None-Match`. `None`: AWS does, of others it is found out each time.
    pub conditional_writes: Option<bool>,
    /// Size of the parts in bytes. `None` chooses it.
    pub part_size: Option<u64>,
    /// Every part but the last has the same size.
    pub equal_parts: bool,
    /// Parts that one object may have.
    pub max_parts: u32,
    /// How long a request is tried again.
    pub retry: Duration,
}

/// The parameters, for the message about one that is not known.
const KNOWN: &str = "endpoint, region, profile, role_arn, external_id, anonymous, path_style, dual_stack, ca, \
     expected_bucket_owner, request_payer, sse, sse_kms_key_id, bucket_key, storage_class, tags, meta.NAME, lock_mode, lock_until, \
     legal_hold, acl, grant_full_control, grant_read, grant_read_acp, grant_write_acp, checksum, conditional_writes, part_size, equal_parts, max_parts, retry";

impl S3Url {
    /// True when the text begins with `s3://`.
    pub fn recognizes(text: &str) -> bool {
        text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3://"))
    }

    /// Parses an address. Errors are usage errors.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text
            .get(5..)
            .filter(|_| Self::recognizes(text))
            .ok_or_else(|| Error::usage("an S3 address begins with s3://"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, key) = split_bucket(path);
        if bucket.contains('@') {
            // Somebody's secret key may stand before it: nothing of it is repeated.
            return Err(Error::usage("an S3 address holds no credentials").hint(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use ?profile= with a profile of the AWS configuration",
            ));
        }
        if bucket.is_empty() {
            return Err(Error::usage("the S3 address names no bucket").hint("write s3://BUCKET/KEY"));
        }
        let mut url = Self::of(&decode(bucket)?, &decode(key)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.apply(&decode(name)?, &decode(value)?)?;
        }
        url.check()?;
        Ok(url)
    }

    fn of(bucket: &str, key: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            endpoint: None,
            region: None,
            profile: None,
            role_arn: None,
            external_id: None,
            keys: None,
            anonymous: false,
            path_style: None,
            dual_stack: false,
            ca: None,
            expected_bucket_owner: None,
            request_payer: false,
            sse: None,
            sse_kms_key_id: None,
            bucket_key: None,
            storage_class: None,
            tags: None,
            metadata: BTreeMap::new(),
            lock_mode: None,
            lock_until: None,
            legal_hold: false,
            acl: None,
            grants: BTreeMap::new(),
            checksum: ChecksumChoice::Auto,
            conditional_writes: None,
            part_size: None,
            equal_parts: false,
            max_parts: 10_000,
            retry: Duration::from_mins(2),
        }
    }

    fn apply(&mut self, name: &str, value: &str) -> Result<()> {
        let text = || -> Result<Option<String>> {
            if value.is_empty() {
                return Err(Error::usage(format!("{name} in the S3 address is empty")));
            }
            Ok(Some(value.to_owned()))
        };
        match name.to_ascii_lowercase().replace('-', "_").as_str() {
            "endpoint" | "endpoint_url" => {
                // A bare host is what people paste; TLS is the default for everything that is not said to be plain.
                let url = if value.contains("://") { value.to_owned() } else { format!("https://{value}") };
                self.endpoint = Some(url.trim_end_matches('/').to_owned());
            }
            "region" => self.region = text()?,
            "profile" => self.profile = text()?,
            "role_arn" => self.role_arn = text()?,
            "external_id" => self.external_id = text()?,
            "anonymous" => self.anonymous = flag(name, value)?,
            "path_style" => self.path_style = Some(flag(name, value)?),
            "dual_stack" => self.dual_stack = flag(name, value)?,
            "ca" => self.ca = text()?.map(PathBuf::from),
            "expected_bucket_owner" => self.expected_bucket_owner = text()?,
            "request_payer" => self.request_payer = flag(name, value)?,
            "sse" => self.sse = text()?,
            "sse_kms_key_id" => self.sse_kms_key_id = text()?,
            "bucket_key" => self.bucket_key = Some(flag(name, value)?),
            "storage_class" => self.storage_class = Some(value.to_ascii_uppercase()),
            "tags" => self.tags = text()?,
            "lock_mode" => self.lock_mode = Some(value.to_ascii_uppercase()),
            "lock_until" => self.lock_until = text()?,
            "legal_hold" => self.legal_hold = flag(name, value)?,
            "acl" => self.acl = text()?,
            grant @ ("grant_full_control" | "grant_read" | "grant_read_acp" | "grant_write_acp") => {
                let grant = grant.trim_start_matches("grant_").to_owned();
                self.grants.insert(grant, value.to_owned());
            }
            "checksum" => self.checksum = value.parse()?,
            "conditional_writes" => self.conditional_writes = Some(flag(name, value)?),
            "part_size" => self.part_size = Some(size(name, value)?),
            "equal_parts" => self.equal_parts = flag(name, value)?,
            "max_parts" => {
                self.max_parts =
                    value.parse().ok().filter(|parts| (1..=10_000).contains(parts)).ok_or_else(|| {
                        Error::usage("max_parts in the S3 address is not a number from 1 to 10000")
                    })?;
            }
            "retry" => {
                self.retry = value.parse().map(Duration::from_secs).map_err(|_| {
                    Error::usage("retry in the S3 address is not a number of seconds").hint("retry=120")
                })?;
            }
            other => match other.strip_prefix("meta.") {
                Some(key) if !key.is_empty() => {
                    self.metadata.insert(key.to_owned(), value.to_owned());
                }
                _ => {
                    return Err(Error::usage(format!("the S3 address has an unknown parameter: {name}"))
                        .hint(format!("known: {KNOWN}")));
                }
            },
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.key.len() > KEY_MAX {
            return Err(Error::usage("the S3 key is longer than 1024 bytes").with("bytes", self.key.len()));
        }
        if let Some(endpoint) = &self.endpoint {
            let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#'])) {
                return Err(Error::usage("endpoint in the S3 address is no http:// or https:// and host")
                    .hint("endpoint=https://s3.example.com:9000"));
            }
            if host.is_some_and(|host| host.contains('@')) {
                return Err(Error::usage("endpoint in the S3 address holds credentials")
                    .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"));
            }
        }
        if let Some(sse) = &self.sse
            && !["AES256", "aws:kms", "aws:kms:dsse"].contains(&sse.as_str())
        {
            return Err(Error::usage(format!("sse={sse} in the S3 address is not known"))
                .hint("known: AES256, aws:kms, aws:kms:dsse"));
        }
        if self.sse_kms_key_id.is_some() && !self.sse.as_deref().is_some_and(|sse| sse.starts_with("aws:kms"))
        {
            return Err(Error::usage("sse_kms_key_id in the S3 address needs sse=aws:kms"));
        }
        if let Some(mode) = &self.lock_mode
            && !["GOVERNANCE", "COMPLIANCE"].contains(&mode.as_str())
        {
            return Err(Error::usage(format!("lock_mode={mode} in the S3 address is not known"))
                .hint("known: GOVERNANCE, COMPLIANCE"));
        }
        if self.lock_mode.is_some() != self.lock_until.is_some() {
            return Err(Error::usage("the S3 address names only one of lock_mode and lock_until")
                .hint("lock_mode=GOVERNANCE&lock_until=2027-01-31T00:00:00Z"));
        }
        if let Some(until) = &self.lock_until {
            until.parse::<jiff::Timestamp>().map_err(|_| {
                Error::usage(format!("lock_until={until} in the S3 address is no time"))
                    .hint("lock_until=2027-01-31T00:00:00Z")
            })?;
        }
        if (self.lock_mode.is_some() || self.legal_hold) && self.checksum == ChecksumChoice::Fixed(Kind::None)
        {
            return Err(Error::usage("S3 takes no locked object without a checksum")
                .hint("leave checksum=none out, or the lock"));
        }
        if self.part_size.is_some_and(|size| !(PART_MIN..=PART_MAX).contains(&size)) {
            return Err(Error::usage("part_size in the S3 address is not between 5 MiB and 5 GiB"));
        }
        if self.anonymous && (self.profile.is_some() || self.role_arn.is_some()) {
            return Err(Error::usage("anonymous in the S3 address goes with no profile and no role"));
        }
        Ok(())
    }

    /// Whether this is AWS itself, where it is known what the store checks.
    pub fn is_aws(&self) -> bool {
        self.endpoint.as_deref().is_none_or(|endpoint| {
            let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
            let host = host.split(':').next().unwrap_or(host);
            [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
        })
    }

    /// Whether `If-None-Match` keeps a run from replacing what is there.
    pub fn has_conditions(&self) -> bool {
        self.conditional_writes.unwrap_or_else(|| self.is_aws())
    }

    /// The same place under another key.
    #[must_use]
    pub fn at(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self.clone() }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, utf8_percent_encode(&self.key, ESCAPED))?;
        let mut mark = '?';
        for (name, value) in [("endpoint", &self.endpoint), ("region", &self.region)] {
            if let Some(value) = value {
                write!(f, "{mark}{name}={value}")?;
                mark = '&';
            }
        }
        Ok(())
    }
}

/// Bucket and key. The ARN of an access point has a slash of its own: `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`.
fn split_bucket(path: &str) -> (&str, &str) {
    let from = if path.starts_with("arn:") { path.find('/').map_or(path.len(), |at| at + 1) } else { 0 };
    match path[from..].find('/') {
        Some(at) => (&path[..from + at], &path[from + at + 1..]),
        None => (path, ""),
    }
}

fn decode(text: &str) -> Result<String> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
        Error::usage("the S3 address is not UTF-8 when its %-escapes are decoded").hint("write % as %25")
    })
}

fn flag(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(Error::usage(format!("{name} in the S3 address is neither true nor false"))),
    }
}

fn size(name: &str, value: &str) -> Result<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match value[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1_u64 << 30,
        _ => 0,
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Error::usage(format!("{name} in the S3 address is no size")).hint("such as 16MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_read() {
        let url = S3Url::parse(
            "s3://backups/3scale/a%20b%3F.sql.zst?endpoint=http://127.0.0.1:9000/&region=eu-west-1&profile=p&role_arn=arn:aws:iam::1:role/r\
             &external_id=x&path-style=false&dual_stack=1&ca=/etc/ca.pem&expected_bucket_owner=123&request_payer&sse=aws:kms&sse_kms_key_id=k\
             &bucket_key=true&storage_class=standard_ia&tags=a%3Db%26c%3Dd&meta.team=db&lock_mode=governance&lock_until=2027-01-31T00:00:00Z\
             &legal_hold=true&acl=bucket-owner-full-control&grant_read=id%3Dabc&checksum=crc32c&conditional_writes=true&part_size=16MiB&equal_parts=true&max_parts=1000&retry=30",
        )
        .unwrap();
        assert_eq!((url.bucket.as_str(), url.key.as_str()), ("backups", "3scale/a b?.sql.zst"));
        assert_eq!(url.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(url.path_style, Some(false));
        assert_eq!(url.tags.as_deref(), Some("a=b&c=d"));
        assert_eq!(url.metadata["team"], "db");
        assert_eq!(url.grants["read"], "id=abc");
        assert_eq!(url.checksum, ChecksumChoice::Fixed(Kind::Crc32c));
        assert_eq!((url.part_size, url.equal_parts, url.max_parts), (Some(16 << 20), true, 1000));
        assert_eq!((url.conditional_writes, url.retry), (Some(true), Duration::from_secs(30)));
        assert!(url.request_payer && url.dual_stack && url.legal_hold && !url.is_aws());
        assert_eq!(
            url.to_string(),
            "s3://backups/3scale/a%20b%3F.sql.zst?endpoint=http://127.0.0.1:9000&region=eu-west-1"
        );
        let again = S3Url::parse(&url.to_string()).unwrap();
        assert_eq!((again.bucket, again.key), (url.bucket, url.key));
    }

    #[test]
    fn buckets_and_access_points() {
        let of = |text: &str| {
            let url = S3Url::parse(text).unwrap();
            (url.bucket, url.key)
        };
        let pair = |bucket: &str, key: &str| (bucket.to_owned(), key.to_owned());
        assert_eq!(of("s3://b"), pair("b", ""));
        assert_eq!(of("S3://b/"), pair("b", ""));
        assert_eq!(of("s3://b//x"), pair("b", "/x"));
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        assert_eq!(of(&format!("s3://{arn}/a/b")), pair(arn, "a/b"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "s3://",
            "s3:///key",
            "s3://b/k?endpoin=x",
            "s3://b/k?sse=rot13",
            "s3://b/k?sse_kms_key_id=k",
            "s3://b/k?lock_mode=GOVERNANCE",
            "s3://b/k?lock_mode=GOVERNANCE&lock_until=tomorrow",
            "s3://b/k?legal_hold&checksum=none",
            "s3://b/k?part_size=1MiB",
            "s3://b/k?part_size=16XB",
            "s3://b/k?max_parts=0",
            "s3://b/k?path_style=maybe",
            "s3://b/k?endpoint=ftp://x",
            "s3://b/k?endpoint=http://h/path",
            "s3://b/%ff",
            "s3://b/k?checksum=sha1",
            "s3://b/k?region=",
            "s3://b/k?meta.=x",
        ] {
            assert_eq!(S3Url::parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn credentials_in_the_address_are_refused_and_not_repeated() {
        for text in ["s3://AKIA:hunter2@b/k", "s3://b/k?endpoint=http://u:hunter2@h"] {
            let error = S3Url::parse(text).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"));
            assert!(!error.hints().is_empty());
        }
    }
}

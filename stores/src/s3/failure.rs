//! What a store meant when it refused.

use std::error::Error as StdError;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use pipeline::{Error, Kind, Stage};

/// Classes of failures, by what can be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The object is not there.
    Missing,
    /// The bucket is not there.
    NoBucket,
    /// The upload is not there: completed, aborted, or never was.
    NoUpload,
    /// Something is already there (412).
    Exists,
    /// Another request got in between (409).
    Conflict,
    /// The account may not do this.
    Denied,
    /// There are no credentials, or the store does not know them.
    Credentials,
    /// The credentials have expired.
    Expired,
    /// The bucket is in another region.
    Region,
    /// The two clocks differ too much.
    Skewed,
    /// The store computed another checksum.
    Checksum,
    /// A part that the store acknowledged is not there any more, or is another.
    LostPart,
    /// The store does not know this request, header or value.
    Unsupported,
    /// The connection cannot be made as asked: TLS, an unknown authority, the wrong protocol.
    Tls,
    /// It may pass: an overloaded store, a broken connection, a stall.
    Passing,
    /// Anything else.
    Other,
}

/// A refused or lost request.
#[derive(Debug)]
pub struct Failure {
    /// What can be done about it.
    pub class: Class,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The store's code, such as `NoSuchKey`.
    pub code: Option<String>,
    message: String,
    request_id: Option<String>,
    attempts: u32,
    /// The region that the store says the bucket is in.
    region: Option<String>,
}

impl Failure {
    fn plain(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            code: None,
            message: message.into(),
            request_id: None,
            attempts: 1,
            region: None,
        }
    }

    pub(crate) fn stalled() -> Self {
        Self::plain(Class::Passing, "no answer in time")
    }

    /// A connection that ended before its time.
    pub fn broken(message: impl Into<String>) -> Self {
        Self::plain(Class::Passing, message)
    }

    /// An answer that a store must not give.
    pub fn nonsense(message: impl Into<String>) -> Self {
        Self::plain(Class::Other, message)
    }

    pub(crate) fn after(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The same, and what follows from it.
    pub(crate) fn adding(mut self, what: &str) -> Self {
        self.message = format!("{}; {what}", self.message);
        self
    }

    #[allow(clippy::needless_pass_by_value, reason = "made for `map_err`")]
    pub(crate) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let mut failure = Self::plain(Class::Passing, "");
        if let Some(response) = error.raw_response() {
            let header = |name: &str| response.headers().get(name).map(str::to_owned);
            failure.status = Some(response.status().as_u16());
            failure.request_id = header("x-amz-request-id");
            failure.region = header("x-amz-bucket-region");
        }
        failure.code = error.code().filter(|code| !code.is_empty()).map(str::to_owned);
        let text = error.message().map(str::to_owned);
        failure.message = text.unwrap_or_else(|| match failure.status {
            // The SDK's words for it are long, and blame the SDK.
            Some(200..300) => {
                let said = chain(&error);
                let cause = said.split("encountered ").last().unwrap_or_default();
                let cause = cause.split(" but got").next().unwrap_or_default();
                format!("the answer is not understood: {cause:.120}")
            }
            _ => chain(&error),
        });
        let skewed = error.raw_response().is_some_and(|response| {
            let date = response.headers().get("date");
            date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()).is_some_and(is_far)
        });
        failure.class = match &error {
            // The answer to HEAD has no body and so no code; the store's clock tells what it was.
            SdkError::ServiceError(_) if failure.status == Some(403) && failure.code.is_none() && skewed => {
                Class::Skewed
            }
            SdkError::ServiceError(_) => failure.of_answer(),
            SdkError::ConstructionFailure(_) => of_construction(&chain(&error)),
            SdkError::DispatchFailure(dispatch) => of_dispatch(&chain(&error), dispatch.is_user()),
            SdkError::ResponseError(_) if failure.status.is_some_and(|status| status >= 400) => {
                failure.of_answer()
            }
            _ => Class::Passing,
        };
        failure
    }

    fn of_answer(&self) -> Class {
        let code = self.code.as_deref().unwrap_or_default();
        match code {
            "NoSuchKey" | "NotFound" | "NoSuchVersion" => return Class::Missing,
            "NoSuchBucket" => return Class::NoBucket,
            "NoSuchUpload" => return Class::NoUpload,
            "PreconditionFailed" => return Class::Exists,
            "ConditionalRequestConflict" => return Class::Conflict,
            "InvalidPart" | "InvalidPartOrder" => return Class::LostPart,
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => {
                return Class::Expired;
            }
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "InvalidClientTokenId" => {
                return Class::Credentials;
            }
            "RequestTimeTooSkewed" => return Class::Skewed,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                return Class::Region;
            }
            "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
                return Class::Checksum;
            }
            "NotImplemented" => return Class::Unsupported,
            "SlowDown"
            | "RequestTimeout"
            | "InternalError"
            | "ServiceUnavailable"
            | "Throttling"
            | "ThrottlingException"
            | "OperationAborted"
            | "RequestTimeoutException" => {
                return Class::Passing;
            }
            _ => {}
        }
        // Garage and others answer a wrong checksum with a code of their own; the text says what it was.
        let text = self.message.to_ascii_lowercase();
        if self.status == Some(400)
            && (text.contains("checksum") || text.contains("digest") || text.contains("md5"))
        {
            return Class::Checksum;
        }
        match self.status.unwrap_or(0) {
            301 | 307 => Class::Region,
            403 | 401 => Class::Denied,
            404 => Class::Missing,
            409 => Class::Conflict,
            412 => Class::Exists,
            408 | 429 => Class::Passing,
            501 => Class::Unsupported,
            status if status >= 500 => Class::Passing,
            400 | 405 | 411 | 415 => Class::Unsupported,
            _ => Class::Other,
        }
    }

    /// As dbferry's own error: what was being done, what the store said, and the way out.
    pub fn into_error(self, stage: Stage, doing: &str) -> Error {
        let kind = match self.class {
            Class::Passing | Class::Conflict => Kind::Temporary,
            Class::Checksum | Class::LostPart => Kind::Mismatch,
            _ => Kind::Failed,
        };
        let mut error = Error::new(stage, kind, format!("{doing}: {self}"));
        if let Some(id) = &self.request_id {
            error = error.with("request id", id);
        }
        if self.attempts > 1 {
            error = error.with("attempts", self.attempts);
        }
        match self.class {
            Class::NoBucket => error.hint("create the bucket, or look at its name, endpoint and region"),
            Class::Denied => error.hint(
                "`dbferry check` with this address names the permission that is missing; a bucket policy or a KMS key's policy may refuse as well",
            ),
            Class::Credentials => error.hint(
                "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ?profile=, SSO, a web identity token, or the container's or instance's role",
            ),
            Class::Expired => error.hint(
                "session credentials in the environment are never refreshed: use a profile, a web identity token or an instance role",
            ),
            Class::Region => match &self.region {
                Some(region) => error.hint(format!("the bucket is in {region}: add region={region} to the address")),
                None => error.hint("add region=REGION of the bucket to the address"),
            },
            Class::Skewed => error.hint("set this machine's clock"),
            Class::Checksum => error.hint("something between here and the store changes bytes; a proxy, perhaps"),
            Class::Tls => error.hint(
                "ca=FILE trusts a private authority; endpoint=http://… speaks to a port without TLS, endpoint=https://… to one with it",
            ),
            Class::Passing => error
                .hint("run it again; retry=SECONDS in the address tries for longer than two minutes"),
            Class::Unsupported => {
                error.hint("`dbferry check` with this address shows what the store can and what to leave out")
            }
            _ => error,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, self.status) {
            (Some(code), _) => write!(f, "{code}")?,
            (None, Some(status)) => write!(f, "HTTP status {status}")?,
            (None, None) => return f.write_str(&self.message),
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl StdError for Failure {}

/// Whether a time is so far from this machine's that signatures are refused: 15 minutes at AWS, and somewhat less to be sure.
fn is_far(at: DateTime) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(now).is_ok_and(|now| (at.secs() - now).abs() > 10 * 60)
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

fn of_construction(text: &str) -> Class {
    let text = text.to_ascii_lowercase();
    if text.contains("credential") || text.contains("identity") { Class::Credentials } else { Class::Other }
}

fn of_dispatch(text: &str, user: bool) -> Class {
    let lower = text.to_ascii_lowercase();
    let tls = [
        "certificate",
        "unknownissuer",
        "invalidcontenttype",
        "corrupt message",
        "invalid http version",
        "notvalidforname",
        "handshake",
    ];
    if lower.contains("credential") || lower.contains("identity") {
        Class::Credentials
    } else if tls.iter().any(|sign| lower.contains(sign)) {
        Class::Tls
    } else if user {
        Class::Other
    } else {
        Class::Passing
    }
}

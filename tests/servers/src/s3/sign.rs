//! Signature version 4, as the server checks it (AWS documentation, "Authenticating requests: using the Authorization header").

use sha2::{Digest, Sha256};

use super::Account;
use super::request::{Answer, Request};

/// What the payload's digest is where the body comes in chunks with a checksum behind them.
pub(super) const CHUNKED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// `Err` is the answer to a request that is not signed as it must be.
pub(super) fn check(request: &Request, now: i64, accounts: &[Account], trailers: bool) -> Result<(), Answer> {
    let denied = |code: &str, message: &str| Err(Answer::error(403, code, message));
    let Some(authorization) = request.header("authorization") else {
        return denied("AccessDenied", "there is no signature");
    };
    let field = |name: &str| {
        authorization
            .split([',', ' '])
            .find_map(|word| word.trim().strip_prefix(name))
            .map(|value| value.trim_start_matches('='))
            .unwrap_or_default()
    };
    let credential: Vec<&str> = field("Credential").split('/').collect();
    let [key, day, region, service, _] = credential.as_slice() else {
        return denied("AccessDenied", "the credential scope is malformed");
    };
    let Some(account) = accounts.iter().find(|account| account.id == *key) else {
        return denied("InvalidAccessKeyId", "the access key is not known");
    };
    if request.header("x-amz-security-token") != account.token.as_deref() {
        return Err(Answer::error(400, "InvalidToken", "the token is another"));
    }
    if account.until.is_some_and(|until| until <= now) {
        return Err(Answer::error(400, "ExpiredToken", "the token has expired"));
    }
    let date = request.header("x-amz-date").unwrap_or_default();
    if (seconds(date) - now).abs() > 15 * 60 {
        return denied("RequestTimeTooSkewed", "the clocks differ by more than 15 minutes");
    }
    // Only S3 has the digest of the body in a header as well.
    let own = hex(&Sha256::digest(if *service == "s3" { &[] } else { request.body.as_slice() }));
    let payload =
        if *service == "s3" { request.header("x-amz-content-sha256").unwrap_or_default() } else { &own };
    let chunked = trailers && payload == CHUNKED;
    if payload.starts_with("STREAMING") && !chunked {
        return Err(Answer::error(501, "NotImplemented", "aws-chunked encoding is not supported"));
    }
    if payload != "UNSIGNED-PAYLOAD" && !chunked && payload != hex(&Sha256::digest(&request.body)) {
        return Err(Answer::error(400, "XAmzContentSHA256Mismatch", "the body is another"));
    }
    let signed = field("SignedHeaders");
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default()))
        .collect();
    for must in ["host", "x-amz-content-sha256", "x-amz-date"] {
        if (*service == "s3" || must != "x-amz-content-sha256") && !signed.split(';').any(|name| name == must)
        {
            return denied("AccessDenied", "a header that must be signed is not");
        }
    }
    let query: Vec<String> =
        request.raw_query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let canonical =
        format!("{}\n{}\n{}\n{headers}\n{signed}\n{payload}", request.method, request.path, query.join("&"));
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = hmac(format!("AWS4{}", account.secret).as_bytes(), day.as_bytes());
    for step in [*region, *service, "aws4_request"] {
        key = hmac(&key, step.as_bytes());
    }
    if hex(&hmac(&key, to_sign.as_bytes())) == field("Signature") {
        Ok(())
    } else {
        denied("SignatureDoesNotMatch", "the signature is another")
    }
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = block.map(|byte| byte ^ 0x36);
    let outer = block.map(|byte| byte ^ 0x5c);
    let inner = Sha256::new().chain_update(inner).chain_update(data).finalize();
    Sha256::new().chain_update(outer).chain_update(inner).finalize().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since the epoch of `20261121T123456Z`; 0 for anything else.
fn seconds(date: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| date.get(range).and_then(|t| t.parse::<i64>().ok());
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) =
        (number(0..4), number(4..6), number(6..8), number(9..11), number(11..13), number(13..15))
    else {
        return 0;
    };
    // Days of the civil calendar, with the year beginning in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1 - 719_468;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

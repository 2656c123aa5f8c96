//! What a request says, and what an answer holds.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::Op;

pub(super) struct Request {
    pub(super) method: String,
    /// As it was sent.
    pub(super) path: String,
    /// As it was sent, sorted by name, as the signature has it.
    pub(super) raw_query: Vec<(String, String)>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut raw_query: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        raw_query.sort();
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let plain = path.trim_start_matches('/');
        let (bucket, key) = plain.split_once('/').unwrap_or((plain, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: raw_query.iter().map(|(name, value)| (decode(name), decode(value))).collect(),
            raw_query,
            bucket: decode(bucket),
            key: decode(key),
            headers: BTreeMap::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn length(&self) -> usize {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(super) fn op(&self) -> Op {
        let has = |name: &str| self.query.contains_key(name);
        let object = !self.key.is_empty();
        match (self.method.as_str(), object) {
            ("PUT", true) if has("partNumber") => Op::UploadPart,
            ("PUT", true) if self.raw_query.is_empty() || has("x-id") => Op::PutObject,
            ("GET", true) if has("uploadId") => Op::ListParts,
            ("GET", true) if self.raw_query.is_empty() || has("x-id") => Op::GetObject,
            ("HEAD", true) => Op::HeadObject,
            ("DELETE", true) if has("uploadId") => Op::AbortMultipartUpload,
            ("DELETE", true) => Op::DeleteObject,
            ("POST", true) if has("uploads") => Op::CreateMultipartUpload,
            ("POST", true) if has("uploadId") => Op::CompleteMultipartUpload,
            ("GET", false) if has("uploads") => Op::ListMultipartUploads,
            ("GET", false) if has("list-type") => Op::ListObjects,
            _ => Op::Other,
        }
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Said instead of the body's own length: a HEAD answer.
    pub(super) length: Option<usize>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), length: None }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn xml(text: impl Into<String>) -> Self {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", text.into());
        Self { body: body.into_bytes(), ..Self::new(200) }.with("content-type", "application/xml")
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let text = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self { status, ..Self::xml(text) }
    }
}

/// Text between tags of this name, in their order; enough for the one document that clients send.
pub(super) fn texts<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(&open) {
        rest = &rest[at + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(&rest[..end]);
        rest = &rest[end + close.len()..];
    }
    found
}

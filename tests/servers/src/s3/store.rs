//! Objects and uploads, and what each request does to them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::{Crc32Iscsi, Crc64Nvme};
use md5::{Digest, Md5};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::request::{Answer, Request, texts};
use super::{BUCKET, Care, Fault, Op, Quirks, sign};

const PART_MIN: usize = 5 << 20;

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its bytes; empty where the store discards.
    pub data: Vec<u8>,
    /// Its length.
    pub bytes: u64,
    /// Headers that were stored with it: metadata, storage class, tags, lock.
    pub headers: BTreeMap<String, String>,
    /// The CRC64NVME of its bytes, also where those are discarded.
    pub crc64: u64,
    etag: String,
    at: i64,
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    headers: BTreeMap<String, String>,
    parts: BTreeMap<i64, Part>,
    at: i64,
}

#[derive(Debug)]
struct Part {
    data: Vec<u8>,
    bytes: u64,
    crc64: u64,
    etag: String,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) objects: BTreeMap<String, StoredObject>,
    pub(super) uploads: BTreeMap<String, Upload>,
    begun: u64,
    written: u64,
}

type Done = Result<Answer, Answer>;

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}

fn crc64(data: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Nvme, data)
}

fn base64_of(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

fn url_encoded(key: &str) -> String {
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%2F", "/")
}

impl Store {
    pub(super) fn age(&mut self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(0);
        self.objects.values_mut().for_each(|object| object.at -= seconds);
        self.uploads.values_mut().for_each(|upload| upload.at -= seconds);
    }

    pub(super) fn plant(&mut self, key: &str, data: &[u8]) {
        let object = self.object(data.to_vec(), BTreeMap::new());
        self.objects.insert(key.to_owned(), object);
    }

    fn object(&mut self, data: Vec<u8>, headers: BTreeMap<String, String>) -> StoredObject {
        self.written += 1;
        let etag = format!("\"{:x}-{}\"", crc64(&data), self.written);
        StoredObject { bytes: data.len() as u64, crc64: crc64(&data), etag, at: now(), headers, data }
    }

    pub(super) fn handle(
        &mut self,
        request: &mut Request,
        sums: &Sums,
        quirks: &Quirks,
        fault: Option<Fault>,
    ) -> Answer {
        self.try_handle(request, sums, quirks, fault).unwrap_or_else(|refused| refused)
    }

    fn try_handle(
        &mut self,
        request: &mut Request,
        sums: &Sums,
        quirks: &Quirks,
        fault: Option<Fault>,
    ) -> Done {
        if request.bucket != BUCKET {
            return Err(Answer::error(404, "NoSuchBucket", "there is no such bucket"));
        }
        let op = request.op();
        if quirks.denied.contains(&op) {
            return Err(Answer::error(403, "AccessDenied", "this account may not do that"));
        }
        match op {
            Op::PutObject => self.put(request, sums, quirks, fault),
            Op::GetObject => self.get(request, fault),
            Op::HeadObject => self.head(request, quirks),
            Op::DeleteObject => {
                self.objects.remove(&request.key);
                Ok(Answer::new(204))
            }
            Op::CreateMultipartUpload => {
                self.begun += 1;
                let id = format!("upload-{}", self.begun);
                let headers = kept(request);
                let upload = Upload { key: request.key.clone(), headers, parts: BTreeMap::new(), at: now() };
                self.uploads.insert(id.clone(), upload);
                Ok(Answer::xml(format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                )))
            }
            Op::UploadPart => self.upload_part(request, sums, quirks, fault),
            Op::CompleteMultipartUpload => self.complete(request, quirks, fault),
            Op::AbortMultipartUpload => {
                self.upload(request)?;
                self.uploads.remove(&request.query["uploadId"]);
                Ok(Answer::new(204))
            }
            Op::ListParts => {
                let parts: String = self
                    .upload(request)?
                    .parts
                    .iter()
                    .map(|(number, part)| {
                        format!("<Part><PartNumber>{number}</PartNumber><Size>{}</Size></Part>", part.bytes)
                    })
                    .collect();
                Ok(Answer::xml(format!("<ListPartsResult>{parts}</ListPartsResult>")))
            }
            Op::ListObjects => Ok(self.list(request)),
            Op::ListMultipartUploads => Ok(self.list_uploads(request)),
            Op::Other => Err(Answer::error(501, "NotImplemented", "this server does not know that")),
        }
    }

    fn upload(&mut self, request: &Request) -> Result<&mut Upload, Answer> {
        let id = request.query.get("uploadId").cloned().unwrap_or_default();
        self.uploads
            .get_mut(&id)
            .filter(|upload| upload.key == request.key)
            .ok_or_else(|| Answer::error(404, "NoSuchUpload", "there is no such upload"))
    }

    fn conditions(&self, request: &Request, quirks: &Quirks) -> Result<(), Answer> {
        let asked = request.header("if-none-match").is_some();
        match quirks.conditions {
            Care::Refused if asked => {
                Err(Answer::error(501, "NotImplemented", "If-None-Match is not implemented"))
            }
            Care::Checked if asked && self.objects.contains_key(&request.key) => {
                Err(Answer::error(412, "PreconditionFailed", "there is an object"))
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, request: &mut Request, sums: &Sums, quirks: &Quirks, fault: Option<Fault>) -> Done {
        self.conditions(request, quirks)?;
        let mut data = std::mem::take(&mut request.body);
        if fault == Some(Fault::Corrupt)
            && let Some(byte) = data.last_mut()
        {
            *byte ^= 1;
        }
        let mut object = self.object(data, kept(request));
        if !quirks.opaque_etags {
            object.etag = format!("\"{}\"", sign::hex(&Md5::digest(&object.data)));
        }
        let told = if fault == Some(Fault::WrongChecksum) { !object.crc64 } else { sums.crc64 };
        let etag = object.etag.clone();
        self.objects.insert(request.key.clone(), object);
        Ok(echo(Answer::new(200).with("etag", etag), request, quirks, told))
    }

    fn head(&self, request: &Request, quirks: &Quirks) -> Done {
        let object = self.objects.get(&request.key).ok_or_else(|| Answer::new(404))?;
        let mut answer = Answer::new(200)
            .with("etag", &object.etag)
            .with("last-modified", http_date(&object.at.to_string()));
        if quirks.crc64 == Care::Checked {
            answer = answer
                .with("x-amz-checksum-crc64nvme", base64_of(object.crc64))
                .with("x-amz-checksum-type", "FULL_OBJECT");
        }
        for (name, value) in &object.headers {
            if name == "x-amz-meta-dbferry-run" {
                answer = answer.with("x-amz-meta-dbferry-run", value);
            }
        }
        answer.length = usize::try_from(object.bytes).ok();
        Ok(answer)
    }

    fn get(&self, request: &Request, fault: Option<Fault>) -> Done {
        let object = self
            .objects
            .get(&request.key)
            .ok_or_else(|| Answer::error(404, "NoSuchKey", "there is no such key"))?;
        if request.header("if-match").is_some_and(|tag| tag != object.etag) {
            return Err(Answer::error(412, "PreconditionFailed", "it is another object"));
        }
        let total = object.data.len();
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let (first, end) = match range.and_then(|range| range.split_once('-')) {
            None => (0, total),
            Some((first, last)) => {
                let first = first.parse().unwrap_or(0);
                (first, last.parse().map_or(total, |last: usize| (last + 1).min(total)))
            }
        };
        if range.is_some() && first >= total {
            return Err(Answer::error(416, "InvalidRange", "the range is outside the object"));
        }
        let mut answer = Answer::new(if range.is_some() { 206 } else { 200 }).with("etag", &object.etag);
        if range.is_some() {
            answer = answer.with("content-range", format!("bytes {first}-{}/{total}", end - 1));
        }
        answer.body = object.data[first..end].to_vec();
        if fault == Some(Fault::Corrupt) {
            let middle = answer.body.len() / 2;
            if let Some(byte) = answer.body.get_mut(middle) {
                *byte ^= 1;
            }
        }
        Ok(answer)
    }

    fn upload_part(
        &mut self,
        request: &mut Request,
        sums: &Sums,
        quirks: &Quirks,
        fault: Option<Fault>,
    ) -> Done {
        let number: i64 = request.query["partNumber"].parse().unwrap_or(0);
        let limit = i64::try_from(quirks.max_parts).unwrap_or(i64::MAX);
        if !(1..=limit).contains(&number) {
            return Err(Answer::error(400, "InvalidArgument", "the part number is out of range"));
        }
        let mut data = std::mem::take(&mut request.body);
        let mut sum = sums.crc64;
        if fault == Some(Fault::Corrupt)
            && let Some(byte) = data.last_mut()
        {
            *byte ^= 1;
            sum = crc64(&data);
        }
        let told = if fault == Some(Fault::WrongChecksum) { !sum } else { sums.crc64 };
        let etag = match &sums.md5 {
            None => format!("\"part-{number}-{:x}\"", sums.crc64),
            Some(md5) => format!("\"{md5}\""),
        };
        let bytes = data.len() as u64;
        if quirks.discard {
            data = Vec::new();
        }
        let upload = self.upload(request)?;
        if fault != Some(Fault::LosePart) {
            upload.parts.insert(number, Part { data, bytes, crc64: sum, etag: etag.clone() });
        }
        Ok(echo(Answer::new(200).with("etag", etag), request, quirks, told))
    }

    fn complete(&mut self, request: &Request, quirks: &Quirks, fault: Option<Fault>) -> Done {
        let invalid = |message: &str| Err(Answer::error(400, "InvalidPart", message));
        self.upload(request)?;
        self.conditions(request, quirks)?;
        let upload = &self.uploads[&request.query["uploadId"]];
        let xml = String::from_utf8_lossy(&request.body);
        let numbers: Vec<i64> =
            texts(&xml, "PartNumber").iter().map(|text| text.parse().unwrap_or(0)).collect();
        let etags: Vec<String> =
            texts(&xml, "ETag").iter().map(|text| text.replace("&quot;", "\"")).collect();
        if numbers.is_empty() || numbers.len() != etags.len() || !numbers.is_sorted() {
            return Err(Answer::error(400, "MalformedXML", "the list of parts is malformed"));
        }
        let (mut data, mut bytes, mut whole) = (Vec::new(), 0, None);
        let first_size = upload.parts.get(&numbers[0]).map_or(0, |part| part.bytes);
        for (index, (number, etag)) in numbers.iter().zip(&etags).enumerate() {
            let Some(part) = upload.parts.get(number) else { return invalid("a part is missing") };
            // rclone sends the MD5 that it computed itself, which a store that keeps nothing does not know.
            if !quirks.discard && part.etag.trim_matches('"') != etag.trim_matches('"') {
                return invalid("a part has another ETag");
            }
            let last = index + 1 == numbers.len();
            if !last && part.bytes < PART_MIN as u64 {
                return Err(Answer::error(400, "EntityTooSmall", "a part is too small"));
            }
            if quirks.equal_parts && !last && part.bytes != first_size {
                return invalid("all parts but the last must have the same length");
            }
            data.extend_from_slice(&part.data);
            bytes += part.bytes;
            whole = Some(match whole {
                None => part.crc64,
                Some(sum) => crc_fast::checksum_combine(Crc64Nvme, sum, part.crc64, part.bytes),
            });
        }
        let whole = whole.unwrap_or(0);
        if quirks.crc64 == Care::Checked
            && request.header("x-amz-checksum-crc64nvme").is_some_and(|sum| sum != base64_of(whole))
        {
            return Err(Answer::error(400, "BadDigest", "the object has another CRC64NVME"));
        }
        if request.header("x-amz-mp-object-size").is_some_and(|size| size != bytes.to_string()) {
            return Err(Answer::error(400, "InvalidRequest", "the object has another size"));
        }
        let upload = self.uploads.remove(&request.query["uploadId"]);
        let headers = upload.map(|upload| upload.headers).unwrap_or_default();
        self.written += 1;
        let etag = format!("\"{whole:x}-{}\"", self.written);
        let object = StoredObject { data, bytes, headers, crc64: whole, etag: etag.clone(), at: now() };
        self.objects.insert(request.key.clone(), object);
        let told = if fault == Some(Fault::WrongChecksum) { !whole } else { whole };
        let sum = if quirks.crc64 == Care::Checked {
            format!("<ChecksumCRC64NVME>{}</ChecksumCRC64NVME>", base64_of(told))
        } else {
            String::new()
        };
        Ok(Answer::xml(format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag>{sum}</CompleteMultipartUploadResult>",
            etag.replace('"', "&quot;")
        )))
    }

    fn list(&self, request: &Request) -> Answer {
        let prefix = request.query.get("prefix").map_or("", String::as_str);
        let after = request.query.get("continuation-token").cloned().unwrap_or_default();
        let at_most = request.query.get("max-keys").and_then(|text| text.parse().ok()).unwrap_or(1000);
        let mut fit = self.objects.iter().filter(|(key, _)| key.starts_with(prefix) && **key > after);
        let page: Vec<_> = fit.by_ref().take(at_most).collect();
        let mut xml = String::from("<ListBucketResult><EncodingType>url</EncodingType>");
        for (key, object) in &page {
            xml.push_str(&format!(
                "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{}</LastModified></Contents>",
                url_encoded(key),
                object.bytes,
                iso(object.at)
            ));
        }
        if let (Some((last, _)), true) = (page.last(), fit.next().is_some()) {
            xml.push_str(&format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
                last.replace('&', "&amp;").replace('<', "&lt;")
            ));
        }
        Answer::xml(xml + "</ListBucketResult>")
    }

    fn list_uploads(&self, request: &Request) -> Answer {
        let prefix = request.query.get("prefix").map_or("", String::as_str);
        let mut xml = String::from("<ListMultipartUploadsResult><EncodingType>url</EncodingType>");
        for (id, upload) in self.uploads.iter().filter(|(_, upload)| upload.key.starts_with(prefix)) {
            xml.push_str(&format!(
                "<Upload><Key>{}</Key><UploadId>{id}</UploadId><Initiated>{}</Initiated></Upload>",
                url_encoded(&upload.key),
                iso(upload.at)
            ));
        }
        Answer::xml(xml + "</ListMultipartUploadsResult>")
    }
}

/// What is stored with an object.
fn kept(request: &Request) -> BTreeMap<String, String> {
    let kept = |name: &str| {
        name.starts_with("x-amz-meta-")
            || name.starts_with("x-amz-object-lock")
            || name.starts_with("x-amz-server-side-encryption")
            || name.starts_with("x-amz-grant")
            || ["x-amz-storage-class", "x-amz-tagging", "x-amz-acl"].contains(&name)
    };
    request.headers.iter().filter(|(name, _)| kept(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// What the server computes of the bytes of a request.
pub(super) struct Sums {
    crc64: u64,
    /// In hexadecimal; absent where ETags are something else.
    md5: Option<String>,
}

impl Sums {
    /// Those of the body, or the refusal of a checksum that was sent along.
    pub(super) fn of(request: &Request, quirks: &Quirks) -> Result<Self, Answer> {
        if !matches!(request.op(), Op::PutObject | Op::UploadPart) {
            return Ok(Self { crc64: 0, md5: None });
        }
        let data = &request.body;
        let own = crc64(data);
        let md5 = |wanted: bool| wanted.then(|| Md5::digest(data));
        let etag = md5(!quirks.opaque_etags);
        let crc32c = || {
            let crc = crc_fast::checksum(Crc32Iscsi, data).to_be_bytes();
            STANDARD.encode(&crc[4..])
        };
        let names = ["x-amz-checksum-crc64nvme", "x-amz-checksum-crc32c", "content-md5"];
        for (name, care) in names.into_iter().zip([quirks.crc64, quirks.crc32c, quirks.md5]) {
            let Some(sent) = request.header(name) else { continue };
            let right = || match name {
                "x-amz-checksum-crc64nvme" => base64_of(own),
                "x-amz-checksum-crc32c" => crc32c(),
                _ => etag.or_else(|| md5(true)).map(|md5| STANDARD.encode(md5)).unwrap_or_default(),
            };
            match care {
                Care::Refused => {
                    return Err(Answer::error(400, "InvalidArgument", "an unsupported header was received"));
                }
                Care::Checked if sent != right() => {
                    return Err(Answer::error(400, "BadDigest", "the bytes have another checksum"));
                }
                _ => {}
            }
        }
        Ok(Self { crc64: own, md5: etag.map(|md5| sign::hex(&md5)) })
    }
}

/// A store that checks says what it found.
fn echo(answer: Answer, request: &Request, quirks: &Quirks, crc64: u64) -> Answer {
    if quirks.crc64 == Care::Checked && request.header("x-amz-checksum-crc64nvme").is_some() {
        return answer.with("x-amz-checksum-crc64nvme", base64_of(crc64));
    }
    answer
}

/// Seconds since the epoch as year, month, day, hour, minute, second, and the day of the week.
fn civil(at: i64) -> (i64, i64, i64, i64, i64, i64, i64) {
    let (days, rest) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day = of_era - (365 * year + year / 4 - year / 100);
    let m = (5 * day + 2) / 153;
    let month = if m < 10 { m + 3 } else { m - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let day = day - (153 * m + 2) / 5 + 1;
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60, (days + 4).rem_euclid(7))
}

pub(super) fn iso(at: i64) -> String {
    let (year, month, day, hour, minute, second, _) = civil(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

pub(super) fn http_date(at: &str) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second, weekday) = civil(at.parse().unwrap_or(0));
    let (weekday, month) = (usize::try_from(weekday).unwrap_or(0), usize::try_from(month - 1).unwrap_or(0));
    format!("{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT", DAYS[weekday], MONTHS[month])
}

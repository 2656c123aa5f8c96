//! Decompression that finds out by itself what it is given, and accepts nothing that is not whole.
//!
//! What stock libraries let pass is an error here: a stream that stops early, also exactly between a member's data and its checksum,
//! and bytes after the last member that belong to nothing. What the formats allow is accepted: several gzip members or zstd or lz4 frames one
//! behind the other (`cat a.gz b.gz`, pigz -i, pzstd), skippable frames, empty members, and zeros after a gzip member (tapes and
//! block devices pad with them; gzip ignores them too).

use async_compression::{
    codecs::{DecodeV2, GzipDecoder, Lz4Decoder, ZstdDecoder, zstd::params::DParameter},
    core::util::{PartialBuffer, WriteBuffer},
};
use bytes::Bytes;
use pipeline::{Error, Output, Result, Transform, TransformReport};

use super::{Codec, PIECE};

/// Largest zstd window accepted, as a power of two: 128 MiB, which is what `zstd -d` accepts too. A frame may ask for terabytes.
const WINDOW_LOG: u32 = 27;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// `lz4 -l` of before 2013, which has no checksum and no end mark: a cut cannot be seen.
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// zstd and lz4 share sixteen kinds of frames with user data, told apart by the low half of the first byte.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// What the bytes at a boundary begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Too few bytes to tell.
    Partial,
    Member(Codec),
    Skippable,
    Legacy,
    Padding,
    Unknown,
}

/// Where in the stream the decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before a member; `head` holds the first bytes of what comes.
    Boundary,
    /// Inside a member.
    Member,
    /// In the 8 bytes that begin a skippable frame.
    SkipHeader,
    /// So many bytes of a skippable frame are left.
    Skip(u32),
    /// In the zeros after the last gzip member.
    Padding,
    /// The stream is not compressed.
    Plain,
}

/// The decoder.
pub struct Decompress {
    /// What was asked for; `None` means: find out.
    wanted: Option<Codec>,
    /// What it is, once that is known.
    codec: Option<Codec>,
    decoder: Option<Box<dyn DecodeV2 + Send>>,
    at: At,
    head: Vec<u8>,
    out: Vec<u8>,
    members: u64,
    skippable: u64,
    read: u64,
    written: u64,
    /// Largest zstd window accepted, as a power of two.
    window_log: u32,
}

impl Decompress {
    /// Decodes gzip, zstd or lz4, whichever it is; hands anything else on as it is.
    ///
    /// The first four bytes decide. A stream that is shorter and could have become one of the formats counts as cut, except for a single
    /// byte that is also a letter.
    pub fn detect() -> Self {
        Self {
            wanted: None,
            codec: None,
            decoder: None,
            at: At::Boundary,
            head: Vec::with_capacity(8),
            out: Vec::new(),
            window_log: WINDOW_LOG,
            members: 0,
            skippable: 0,
            read: 0,
            written: 0,
        }
    }

    /// Decodes this format and refuses any other; [`Codec::None`] hands everything on as it is.
    pub fn of(codec: Codec) -> Self {
        let at = if codec == Codec::None { At::Plain } else { At::Boundary };
        Self { wanted: Some(codec), at, ..Self::detect() }
    }

    /// Accepts no larger zstd window than a quarter of this budget, and 8 MiB in any case, which is what zstd itself uses up to
    /// level 19. The rest of a pipeline wants memory too.
    #[must_use]
    pub fn within(mut self, budget: usize) -> Self {
        self.window_log = (budget / 4).max(1 << 23).ilog2().min(WINDOW_LOG);
        self
    }

    /// The format, once enough has been seen to know it.
    pub fn codec(&self) -> Option<Codec> {
        match self.at {
            At::Plain => Some(Codec::None),
            _ => self.codec,
        }
    }

    /// What `head` begins, as far as it goes.
    fn classify(&self) -> Head {
        let head = &self.head[..];
        let begins = |magic: &[u8]| head.iter().zip(magic).all(|(a, b)| a == b);
        let skippable = |head: &[u8]| {
            head[0] & 0xf0 == SKIPPABLE[0] && head[1..].iter().zip(&SKIPPABLE[1..]).all(|(a, b)| a == b)
        };
        // After the first member only its own kind can follow.
        let known = self.codec.or(self.wanted);
        let may_be = |codec| known.is_none_or(|known| known == codec);

        if may_be(Codec::Gzip) && begins(&GZIP) {
            return if head.len() < GZIP.len() { Head::Partial } else { Head::Member(Codec::Gzip) };
        }
        if self.codec == Some(Codec::Gzip) && head[0] == 0 {
            return Head::Padding;
        }
        for (codec, magic) in [(Codec::Zstd, ZSTD), (Codec::Lz4, LZ4)] {
            if may_be(codec) && begins(&magic) {
                return if head.len() < magic.len() { Head::Partial } else { Head::Member(codec) };
            }
        }
        if known != Some(Codec::Gzip) && skippable(head) {
            return if head.len() < SKIPPABLE.len() { Head::Partial } else { Head::Skippable };
        }
        if may_be(Codec::Lz4) && begins(&LZ4_LEGACY) {
            return if head.len() < LZ4_LEGACY.len() { Head::Partial } else { Head::Legacy };
        }
        Head::Unknown
    }

    /// Begins a member of this kind.
    fn open(&mut self, codec: Codec) -> Result<()> {
        if let Some(decoder) = &mut self.decoder {
            decoder
                .reinit()
                .map_err(|cause| Error::bug("a decoder cannot be used again").caused_by(cause))?;
        } else {
            self.out = vec![0; PIECE];
            self.decoder = Some(match codec {
                Codec::Zstd => {
                    Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(self.window_log)]))
                }
                Codec::Lz4 => Box::new(Lz4Decoder::new()),
                Codec::Gzip | Codec::None => Box::new(GzipDecoder::new()),
            });
        }
        self.codec = Some(codec);
        self.members += 1;
        self.at = At::Member;
        Ok(())
    }

    /// Decodes what there is of `data`, up to the end of the member. Gives back how much was taken.
    fn decode(&mut self, data: &[u8], out: &mut dyn Output) -> Result<usize> {
        let Some(decoder) = self.decoder.as_mut() else {
            return Err(Error::bug("inside a member without a decoder"));
        };
        let gzip = self.codec == Some(Codec::Gzip);
        let mut input = PartialBuffer::new(data);
        loop {
            let mut buffer = WriteBuffer::new_initialized(&mut self.out);
            let step = decoder.decode(&mut input, &mut buffer);
            let full = buffer.has_no_spare_space();
            let done = match step {
                Ok(done) => done,
                Err(cause) => {
                    self.read += input.written_len() as u64;
                    return Err(self.damaged(&cause));
                }
            };
            let written = buffer.written();
            if !written.is_empty() {
                self.written += written.len() as u64;
                out.emit(Bytes::copy_from_slice(written))?;
            }
            if done {
                self.at = At::Boundary;
                break;
            }
            // A full buffer may hide more output. zstd and lz4 are asked again; inflate would call that an error when nothing is hidden, and need not
            // be asked: what it keeps back comes with the next input, and there always is some, as the member's checksum is still ahead.
            if input.unwritten().is_empty() && (gzip || !full) {
                break;
            }
        }
        let taken = input.written_len();
        self.read += taken as u64;
        Ok(taken)
    }

    /// Takes one byte into `head`.
    fn take(&mut self, byte: u8) {
        self.head.push(byte);
        self.read += 1;
    }

    /// Acts on what `head` begins. Bytes that belong to a member or to plain data go on from here.
    fn decide(&mut self, head: Head, out: &mut dyn Output) -> Result<()> {
        match head {
            Head::Partial => {}
            Head::Skippable => self.at = At::SkipHeader,
            Head::Padding => {
                self.head.clear();
                self.at = At::Padding;
            }
            Head::Member(codec) => {
                self.open(codec)?;
                let head = std::mem::take(&mut self.head);
                // They are counted again as they are decoded.
                self.read -= head.len() as u64;
                self.decode(&head, out)?;
            }
            Head::Legacy => {
                return Err(Error::source(
                    "the input is in lz4's old legacy format, in which a missing end cannot be noticed",
                )
                .hint("decompress it with `lz4 -d` first"));
            }
            Head::Unknown => {
                let offset = self.read - self.head.len() as u64;
                return match self.wanted {
                    _ if self.members + self.skippable > 0 => Err(Error::source(format!(
                        "after the last {} of the {} stream there are bytes that belong to nothing",
                        self.unit(),
                        self.codec_name()
                    ))
                    .with("offset", offset)
                    .with(self.unit(), self.members)
                    .hint(
                        "the file was overwritten in part, or something was appended to it; fetch it again",
                    )),
                    Some(wanted) => Err(Error::source(format!("the input is not {wanted}"))),
                    None => {
                        self.at = At::Plain;
                        let head = std::mem::take(&mut self.head);
                        self.written += head.len() as u64;
                        out.emit(Bytes::from(head))
                    }
                };
            }
        }
        Ok(())
    }

    fn codec_name(&self) -> &'static str {
        match self.codec.or(self.wanted) {
            Some(codec) => codec.name(),
            None => "compressed",
        }
    }

    /// What the format calls a part that can stand alone.
    fn unit(&self) -> &'static str {
        if self.codec.or(self.wanted) == Some(Codec::Gzip) { "member" } else { "frame" }
    }

    fn truncated(&self) -> Error {
        let number = match self.at {
            At::Member => self.members,
            _ => self.members + 1,
        };
        Error::truncated(format!("the {} stream ends in the middle", self.codec_name()))
            .with("offset", self.read)
            .with(self.unit(), number)
            .hint("the file is incomplete: copy or download it again, or look why what wrote it stopped")
    }

    fn damaged(&self, cause: &std::io::Error) -> Error {
        // libzstd tells these apart only in words; a test holds on to them.
        let text = cause.to_string();
        let error = if text.contains("too much memory") {
            let mib = (1_u64 << self.window_log) >> 20;
            Error::source(format!("a zstd frame needs a window of more than {mib} MiB to be decompressed"))
                .hint("give more --memory, of which a quarter may be the window, up to 128 MiB")
                .hint("or decompress it with `zstd -d --long=31` first")
        } else if text.contains("Dictionary mismatch") {
            Error::source("a zstd frame was compressed with a dictionary")
                .hint("decompress it with `zstd -d -D DICTIONARY` first")
        } else {
            Error::source(format!("the {} stream is damaged: {text}", self.codec_name()))
                .hint("the stored bytes are not those that were written: fetch the file again, or from another copy")
        };
        error.with("offset", self.read).with(self.unit(), self.members)
    }
}

impl Transform for Decompress {
    fn name(&self) -> &'static str {
        "decompress"
    }

    /// zstd's largest window dominates: it is allocated only by a frame that asks for it (2 MiB at level 3, 8 MiB at level 19).
    fn memory(&self) -> usize {
        match self.wanted {
            Some(Codec::None) => 0,
            // inflate's window and tables, or two blocks of 4 MiB with 64 KiB of history.
            Some(Codec::Gzip) => PIECE + (64 << 10),
            Some(Codec::Lz4) => PIECE + (9 << 20),
            Some(Codec::Zstd) | None => PIECE + (1 << self.window_log) + (1 << 20),
        }
    }

    fn push(&mut self, mut input: Bytes, out: &mut dyn Output) -> Result<()> {
        while !input.is_empty() {
            match self.at {
                At::Plain => {
                    self.read += input.len() as u64;
                    self.written += input.len() as u64;
                    return out.emit(input);
                }
                At::Boundary => {
                    self.take(input.split_to(1)[0]);
                    let head = self.classify();
                    self.decide(head, out)?;
                }
                At::Member => {
                    let taken = self.decode(&input, out)?;
                    drop(input.split_to(taken));
                }
                At::SkipHeader => {
                    self.take(input.split_to(1)[0]);
                    if let [_, _, _, _, a, b, c, d] = self.head[..] {
                        self.skippable += 1;
                        self.head.clear();
                        self.at = At::Skip(u32::from_le_bytes([a, b, c, d]));
                    }
                }
                At::Skip(left) => {
                    let skipped = u32::try_from(input.len()).unwrap_or(u32::MAX).min(left);
                    drop(input.split_to(skipped as usize));
                    self.read += u64::from(skipped);
                    self.at = At::Skip(left - skipped);
                }
                At::Padding => {
                    if let Some(position) = input.iter().position(|byte| *byte != 0) {
                        self.read += position as u64;
                        return self.decide(Head::Unknown, out);
                    }
                    self.read += input.len() as u64;
                    return Ok(());
                }
            }
            if self.at == At::Skip(0) {
                self.at = At::Boundary;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        match self.at {
            At::Plain | At::Padding => {}
            At::Member | At::Skip(_) | At::SkipHeader => return Err(self.truncated()),
            At::Boundary if self.head.is_empty() => {
                // Nothing at all is an empty stream, unless a format was promised.
                if self.members + self.skippable == 0 && self.wanted.is_some() {
                    return Err(self.truncated());
                }
            }
            At::Boundary => {
                let letter = self.wanted.is_none()
                    && self.members + self.skippable == 0
                    && matches!(self.head[..], [b'P'..=b'_']);
                if !letter {
                    return Err(self.truncated());
                }
                self.decide(Head::Unknown, out)?;
            }
        }
        let mut report = TransformReport::new(self.name());
        let codec = self.codec.unwrap_or_default();
        report.settings.insert("codec".to_owned(), codec.name().to_owned());
        report.counts.insert("decompressed-bytes".to_owned(), self.written);
        if codec != Codec::None {
            report.counts.insert("compressed-bytes".to_owned(), self.read);
            report.counts.insert(format!("{}s", self.unit()), self.members);
        }
        if self.skippable > 0 {
            report.counts.insert("skippable-frames".to_owned(), self.skippable);
        }
        Ok(report)
    }
}

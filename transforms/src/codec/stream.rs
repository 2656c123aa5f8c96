//! zstd and lz4: encoders that work as a stream by themselves.
//!
//! zstd has its own worker threads inside libzstd, which share one window over the whole frame. lz4 needs none: it is faster than whatever feeds it.

use async_compression::{
    codecs::{EncodeV2, Lz4Encoder, ZstdEncoder, lz4::params::EncoderParams, zstd::params::CParameter},
    core::util::{PartialBuffer, WriteBuffer},
    lz4::BlockSize,
};
use bytes::Bytes;
use pipeline::{Error, Output, Result, Transform, TransformReport};

use super::PIECE;

/// Input per zstd job. libzstd's own choice is four windows, 8 MiB at level 3: with two workers that is 70 MiB of buffers, and the second
/// worker idles on anything shorter than 16 MiB. Measured at 1, 2, 4 and 8 MiB, neither speed nor ratio changes by more than noise.
const JOB: usize = 1 << 20;

/// A stream encoder as a transform.
pub(super) struct Stream<E> {
    name: &'static str,
    encoder: E,
    memory: usize,
    settings: Vec<(&'static str, String)>,
    out: Vec<u8>,
    read: u64,
    written: u64,
}

/// Base-2 logarithms of the hash and the chain table at level 3, each half of libzstd's own choice, which does not stay in a core's L2 cache of half
/// a megabyte beside the text; and its shortest match, one longer. 100 MB of dump text took 0.77 of the user time (least of four interleaved runs)
/// and was 1.9 % smaller; a tree of packed files was 1 % larger and a program 4 %, neither slower.
const TABLES: (u32, u32) = (16, 15);
const SHORTEST: u32 = 6;

/// One zstd frame with a checksum of its content, compressed by `threads` workers.
pub(super) fn zstd(level: i32, threads: usize) -> Stream<ZstdEncoder> {
    // At least one worker even for one thread: without any, libzstd takes another path whose output differs.
    let workers = u32::try_from(threads).unwrap_or(u32::MAX).clamp(1, 200);
    let job = u32::try_from(JOB).unwrap_or(u32::MAX);
    let mut parameters =
        vec![CParameter::checksum_flag(true), CParameter::nb_workers(workers), CParameter::job_size(job)];
    if level == 3 {
        parameters.extend([
            CParameter::hash_log(TABLES.0),
            CParameter::chain_log(TABLES.1),
            CParameter::min_match(SHORTEST),
        ]);
    }
    Stream {
        name: "zstd",
        encoder: ZstdEncoder::new_with_params(level, &parameters),
        memory: zstd_memory(level, threads.clamp(1, 200)) + PIECE,
        settings: vec![("level", level.to_string()), ("threads", workers.to_string())],
        out: vec![0; PIECE],
        read: 0,
        written: 0,
    }
}

/// One lz4 frame with a checksum of its content, at lz4's fast level.
pub(super) fn lz4() -> Stream<Lz4Encoder> {
    let block = BlockSize::Max256KB;
    let encoder = Lz4Encoder::new(EncoderParams::default().block_size(block).content_checksum(true));
    // The encoder writes a whole block at a time and goes through a buffer of its own when it finds less room.
    let room = encoder.buffer_size();
    Stream {
        name: "lz4",
        encoder,
        // A block and 128 KiB of history inside, 16 KiB of table, a block's output there and here.
        memory: (256 + 128 + 16) * 1024 + 2 * room,
        settings: Vec::new(),
        out: vec![0; room],
        read: 0,
        written: 0,
    }
}

impl<E: EncodeV2 + Send> Stream<E> {
    /// Runs one step of the encoder and hands on what it wrote.
    fn step<T>(
        &mut self,
        out: &mut dyn Output,
        run: impl FnOnce(&mut E, &mut WriteBuffer<'_>) -> std::io::Result<T>,
    ) -> Result<T> {
        let mut buffer = WriteBuffer::new_initialized(&mut self.out);
        let outcome = run(&mut self.encoder, &mut buffer).map_err(|cause| {
            Error::transform(format!("{} compression failed", self.name)).caused_by(cause)
        })?;
        let written = buffer.written();
        if !written.is_empty() {
            self.written += written.len() as u64;
            for piece in written.chunks(PIECE) {
                out.emit(Bytes::copy_from_slice(piece))?;
            }
        }
        Ok(outcome)
    }
}

impl<E: EncodeV2 + Send> Transform for Stream<E> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn memory(&self) -> usize {
        self.memory
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        self.read += input.len() as u64;
        let mut rest = PartialBuffer::new(&input[..]);
        while !rest.unwritten().is_empty() {
            self.step(out, |encoder, buffer| encoder.encode(&mut rest, buffer))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        while !self.step(out, EncodeV2::finish)? {}
        let mut report = TransformReport::new(self.name);
        report.settings.extend(self.settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        report.counts.insert("uncompressed-bytes".to_owned(), self.read);
        report.counts.insert("compressed-bytes".to_owned(), self.written);
        Ok(report)
    }
}

/// What libzstd allocates with these settings, from its sources (`clevels.h`, `zstdmt_compress.c`): an input ring, compressed results that wait
/// for their turn, and each worker's match tables.
fn zstd_memory(level: i32, workers: usize) -> usize {
    // Base-2 logarithms of window, chain table and hash table by level, and of how much of the window a job repeats from the one before it.
    let (window, chain, hash, overlap) = match level {
        ..=2 => (20, 15, 16, 3),
        3 => (21, TABLES.1, TABLES.0, 3),
        4..=6 => (21, 18, 19, 3),
        7..=8 => (21, 19, 20, 2),
        9..=11 => (22, 21, 22, 2),
        12..=15 => (22, 23, 23, 2),
        16 => (22, 22, 22, 1),
        17..=18 => (23, 23, 22, 1),
        _ => (23, 24, 22, 0),
    };
    let window = 1_usize << window;
    let job = JOB.max(window >> overlap);
    let ring = window.max(job * workers) + 3 * job;
    let results = (2 * workers + 3) * (job + job / 256);
    // The last term: entropy tables, sequences of a 128 KiB block, and the optimal parser's arrays.
    let each = ((1 << chain) + (1 << hash)) * 4 + (1 << hash) + (4 << 20);
    ring + results + workers * each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_at_the_default_level_is_a_quarter_of_the_default_budget_at_most() {
        assert!(zstd(3, 2).memory() < 64 << 20);
        assert!(zstd(19, 2).memory() > zstd(3, 2).memory());
        assert!(lz4().memory() < 2 << 20);
    }
}

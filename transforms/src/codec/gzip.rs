//! gzip on several threads, as one ordinary member.
//!
//! The input is cut into blocks of [`BLOCK`] bytes wherever the pieces may end. Each block becomes raw deflate that ends on a byte
//! boundary (sync flush), so that the results can be put one behind the other; the last one carries the final-block mark. A block starts
//! with the 32 KiB before it as its dictionary, which keeps the size within 0.1 % of one continuous stream. The parts' CRC-32s are
//! combined, so the input is read once, where it is hot. Levels 1 and 2 are our own deflate, the others that of zlib-rs. Reference: RFC 1951, RFC 1952.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use pipeline::{Error, Output, Result, Transform, TransformReport};

use super::deflate::Deflate;
use super::pool::Pool;

/// Bytes of input per job. Small enough that job, dictionary and tables stay in a core's L2 cache, large enough that
/// the 5 bytes of a sync flush and handing the job over (some microseconds of about 3 ms) do not count.
const BLOCK: usize = 256 * 1024;

/// How far back deflate can refer.
const WINDOW: usize = 32 * 1024;

/// Blocks that may be in the pool beyond one per thread, so that no thread waits while the oldest result is handed on.
const AHEAD: usize = 2;

/// One worker's deflate state (350 KiB) and what the allocator keeps for its thread: with two workers the process was measured to grow
/// by 7.6 to 9.2 MiB, of which the buffers counted apart are 3.
const STATE: usize = 4 << 20;

/// No name, no time (the output depends on the input alone), no hint of the level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A block with its dictionary in front, in one buffer that goes round.
struct Job {
    buffer: Vec<u8>,
    dictionary: usize,
    last: bool,
}

struct Done {
    deflated: Result<Bytes>,
    crc: crc32fast::Hasher,
    buffer: Vec<u8>,
}

/// The encoder.
pub(super) struct Gzip {
    level: i32,
    threads: usize,
    pool: Pool<Job, Done>,
    /// Dictionary and the block that is being filled.
    buffer: Vec<u8>,
    dictionary: usize,
    spare: Vec<Vec<u8>>,
    crc: crc32fast::Hasher,
    read: u64,
    written: u64,
}

impl Gzip {
    /// `level` is 1 to 9.
    pub(super) fn new(level: i32, threads: usize) -> Result<Self> {
        let pool = Pool::new("gzip", threads, || {
            let mut worker = Worker::new(level);
            move |job| worker.run(job)
        })?;
        Ok(Self {
            level,
            threads,
            pool,
            buffer: Vec::with_capacity(WINDOW + BLOCK),
            dictionary: 0,
            spare: Vec::new(),
            crc: crc32fast::Hasher::new(),
            read: 0,
            written: 0,
        })
    }

    fn emit(&mut self, data: Bytes, out: &mut dyn Output) -> Result<()> {
        if self.written == 0 {
            self.written += HEADER.len() as u64;
            out.emit(Bytes::from_static(&HEADER))?;
        }
        self.written += data.len() as u64;
        out.emit(data)
    }

    fn collect(&mut self, done: Done, out: &mut dyn Output) -> Result<()> {
        let deflated = done.deflated?;
        self.crc.combine(&done.crc);
        self.spare.push(done.buffer);
        self.emit(deflated, out)
    }

    /// Sends the block off and begins the next one with its tail.
    fn dispatch(&mut self, last: bool, out: &mut dyn Output) -> Result<()> {
        while let Some(done) = self.pool.poll()? {
            self.collect(done, out)?;
        }
        while self.pool.pending() >= self.threads + AHEAD {
            let Some(done) = self.pool.wait()? else { break };
            self.collect(done, out)?;
        }
        let mut next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(WINDOW + BLOCK));
        next.clear();
        next.extend_from_slice(&self.buffer[self.buffer.len().saturating_sub(WINDOW)..]);
        let dictionary = std::mem::replace(&mut self.dictionary, next.len());
        let buffer = std::mem::replace(&mut self.buffer, next);
        self.pool.submit(Job { buffer, dictionary, last })
    }
}

impl Transform for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn memory(&self) -> usize {
        let in_pool = self.threads + AHEAD;
        // The block being filled, those in the pool, as many results (deflate can only grow a block by its stored-block headers), and
        // each worker's tables and output.
        (1 + in_pool) * (WINDOW + BLOCK) + in_pool * bound(BLOCK) + self.threads * (STATE + bound(BLOCK))
    }

    fn push(&mut self, input: Bytes, out: &mut dyn Output) -> Result<()> {
        self.read += input.len() as u64;
        let mut rest = &input[..];
        while !rest.is_empty() {
            let room = self.dictionary + BLOCK - self.buffer.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if now.len() == room {
                self.dispatch(false, out)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, out: &mut dyn Output) -> Result<TransformReport> {
        // Even when nothing is left: an empty last block ends the stream.
        self.dispatch(true, out)?;
        while let Some(done) = self.pool.wait()? {
            self.collect(done, out)?;
        }
        let end = trailer(self.crc.clone().finalize(), self.read);
        self.emit(Bytes::copy_from_slice(&end), out)?;

        let mut report = TransformReport::new(self.name());
        report.settings.insert("level".to_owned(), self.level.to_string());
        report.settings.insert("threads".to_owned(), self.threads.to_string());
        report.counts.insert("uncompressed-bytes".to_owned(), self.read);
        report.counts.insert("compressed-bytes".to_owned(), self.written);
        Ok(report)
    }
}

/// CRC-32 and the length modulo 2^32, both little-endian.
fn trailer(crc: u32, length: u64) -> [u8; 8] {
    let mut trailer = [0; 8];
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&length.to_le_bytes()[..4]);
    trailer
}

/// Room in which any input of this length can be deflated: zlib-ng's fastest level may spend 9 bits on a byte.
const fn bound(length: usize) -> usize {
    length + length / 8 + 1024
}

/// How one thread deflates.
enum Worker {
    Fast(Box<Deflate>),
    Library(Library),
}

impl Worker {
    fn new(level: i32) -> Self {
        match level {
            ..=1 => Self::Fast(Box::new(Deflate::new(false))),
            2 => Self::Fast(Box::new(Deflate::new(true))),
            _ => Self::Library(Library { level: Compression::new(level.unsigned_abs()), out: Vec::new() }),
        }
    }

    fn run(&mut self, job: Job) -> Done {
        let (dictionary, block) = job.buffer.split_at(job.dictionary);
        let mut crc = crc32fast::Hasher::new();
        crc.update(block);
        let deflated = match self {
            // Exactly as long as it is, as below.
            Self::Fast(state) => Ok(Bytes::copy_from_slice(state.run(&job.buffer, job.dictionary, job.last))),
            Self::Library(state) => state.deflate(dictionary, block, job.last, bound(block.len())),
        };
        Done { deflated, crc, buffer: job.buffer }
    }
}

/// Deflate as zlib-rs has it.
struct Library {
    level: Compression,
    out: Vec<u8>,
}

impl Library {
    /// `room` is how much output to expect; a wrong guess costs time, not bytes.
    fn deflate(&mut self, dictionary: &[u8], block: &[u8], last: bool, room: usize) -> Result<Bytes> {
        let failed = |cause| Error::transform("gzip compression failed").caused_by(cause);
        // A new state per block, not `reset`: that of zlib-rs 0.6.8 leaves bytes of the last block in the window, and then the matches that are
        // found depend on which block this thread had before. The output must not. Measured, clearing 350 KiB per block costs nothing.
        let mut state = Compress::new(self.level, false);
        if !dictionary.is_empty() {
            state.set_dictionary(dictionary).map_err(failed)?;
        }
        self.out.clear();
        self.out.reserve(room);
        let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
        let mut rest = block;
        loop {
            let status = state.compress_vec(rest, &mut self.out, flush).map_err(failed)?;
            let taken = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            rest = block
                .get(taken..)
                .ok_or_else(|| Error::bug("deflate counted more input than it was given"))?;
            // A flush is complete only when it left room: a full buffer may hide bytes that are still to come.
            let room_left = self.out.capacity() - self.out.len() > 0;
            let complete = if last { status == Status::StreamEnd } else { rest.is_empty() && room_left };
            if complete {
                // Exactly as long as it is: a result that waits downstream must not hold three times its length.
                return Ok(Bytes::copy_from_slice(&self.out));
            }
            if room_left {
                return Err(Error::bug("deflate stopped before the end of a block"));
            }
            self.out.reserve(bound(rest.len()).max(room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_in_the_trailer_is_modulo_four_gibibytes() {
        assert_eq!(trailer(0x0403_0201, 5), [1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(trailer(0, u64::from(u32::MAX)), [0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(trailer(0, 1 << 32), [0; 8]);
        assert_eq!(trailer(0, (5 << 32) + 0x0102), [0, 0, 0, 0, 2, 1, 0, 0]);
    }

    /// The counter itself is 64 bits wide: nothing wraps before the trailer is cut from it.
    #[test]
    fn a_long_stream_keeps_its_length() {
        let mut gzip = Box::new(Gzip::new(1, 1).unwrap());
        gzip.read = (7 << 32) - 1;
        let mut out = Vec::new();
        gzip.push(Bytes::from_static(b"abc"), &mut out).unwrap();
        let report = gzip.finish(&mut out).unwrap();
        assert_eq!(out[out.len() - 4..], [2, 0, 0, 0]);
        assert_eq!(report.counts["uncompressed-bytes"], (7 << 32) + 2);
    }

    #[test]
    fn memory_for_two_workers_is_far_below_the_budget() {
        assert!(Gzip::new(6, 2).unwrap().memory() < 16 << 20);
    }

    #[test]
    fn a_result_larger_than_expected_is_still_whole() {
        let block: Vec<u8> =
            (0..100_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for room in [0, 1, 5, 6, 7, 100, 50_000, bound(block.len())] {
            let mut worker = Library { level: Compression::new(1), out: Vec::new() };
            let mut deflated = worker.deflate(&[], &block, false, room).unwrap().to_vec();
            deflated.extend(worker.deflate(&block[block.len() - WINDOW..], &block, true, room).unwrap());
            let mut plain = Vec::with_capacity(2 * block.len() + 1);
            let status = flate2::Decompress::new(false)
                .decompress_vec(&deflated, &mut plain, flate2::FlushDecompress::Finish)
                .unwrap();
            assert_eq!(status, Status::StreamEnd, "room {room}");
            assert!(plain == [&block[..], &block[..]].concat(), "room {room}");
        }
    }
}

//! How fast a dump passes through the rewriter: `cargo run --release -p dbferry-transforms --example mysql_throughput`.
//!
//! The input is made in memory to the shape of mysqldump's output: INSERT statements of about 1 MiB over rows of
//! numbers, dates, short texts and escaped text, with a table definition and a view between them. Rates are per second
//! of processor time where the system tells it, so that a busy machine does not spoil them.

#![allow(clippy::print_stdout, reason = "a benchmark talks to a person")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeline::{Output, Result, Transform};
use transforms::mysql::{DefinerPolicy, MysqlRewrite, Options};

/// Counts what comes out.
struct Null(u64);

impl Output for Null {
    fn emit(&mut self, data: Bytes) -> Result<()> {
        self.0 += data.len() as u64;
        Ok(())
    }
}

/// A small generator, so that the text is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap_or_default()
    }
}

const WORDS: [&str; 12] = [
    "order",
    "shipped",
    "it\\'s",
    "customer",
    "line\\r\\nbreak",
    "\\\"quoted\\\"",
    "C:\\\\tmp",
    "a;b",
    "https://example.com/x",
    "--",
    "ok",
    "überall",
];

fn dump(size: usize, statement: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut text = Vec::with_capacity(size + statement + 4096);
    let mut table = 0;
    while text.len() < size {
        table += 1;
        text.extend_from_slice(
            format!(
                "--\n-- Table structure for table `t{table}`\n--\n\nDROP TABLE IF EXISTS `t{table}`;\n\
                 CREATE TABLE `t{table}` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `name` varchar(60) DEFAULT NULL,\n  \
                 PRIMARY KEY (`id`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n\
                 /*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n\
                 /*!50001 VIEW `v{table}` AS select 1 AS `1` */;\n\nLOCK TABLES `t{table}` WRITE;\n"
            )
            .as_bytes(),
        );
        for _ in 0..(16 << 20) / statement.max(160) {
            let start = text.len();
            text.extend_from_slice(format!("INSERT INTO `t{table}` VALUES ").as_bytes());
            let mut id = 0;
            loop {
                id += 1;
                let (amount, cents, age) =
                    (random.below(100_000), random.below(100), random.below(2_000_000));
                text.extend_from_slice(
                    format!(
                        "({id},{},'2024-0{}-1{} 0{}:00:00',{amount}.{cents:02},'",
                        1_000_000 - i64::from(age),
                        1 + id % 9,
                        id % 10,
                        id % 9
                    )
                    .as_bytes(),
                );
                for word in 0..=random.below(8) {
                    if word > 0 {
                        text.push(b' ');
                    }
                    text.extend_from_slice(WORDS[random.below(12) as usize].as_bytes());
                }
                text.extend_from_slice(b"',NULL,'user@example.com')");
                if text.len() - start >= statement {
                    break;
                }
                text.push(b',');
            }
            text.extend_from_slice(b";\n");
        }
    }
    text
}

/// Processor time of this thread, where Linux tells it.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn measure(label: &str, text: &Bytes, make: impl Fn() -> Box<dyn Transform>) -> Result<()> {
    const CHUNK: usize = 256 << 10;
    let mut rates = Vec::new();
    for _ in 0..5 {
        let mut transform = make();
        let mut out = Null(0);
        let (start, busy) = (Instant::now(), processor_time());
        let mut at = 0;
        while at < text.len() {
            let end = text.len().min(at + CHUNK);
            transform.push(text.slice(at..end), &mut out)?;
            at = end;
        }
        transform.finish(&mut out)?;
        let taken = match (busy, processor_time()) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => start.elapsed(),
        };
        rates.push(text.len() as f64 / 1e9 / taken.as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!("{label}: {:.2} GB/s (median of 5; {:.2} to {:.2})", rates[2], rates[0], rates[4]);
    Ok(())
}

fn main() -> Result<()> {
    let strip = || Options { definer: DefinerPolicy::Strip, ..Options::default() };
    let text = Bytes::from(dump(256 << 20, 1 << 20));
    measure("rewrite, 1 MiB statements", &text, || Box::new(MysqlRewrite::new(strip())))?;
    let text = Bytes::from(dump(64 << 20, 1));
    measure("rewrite, one row per statement", &text, || Box::new(MysqlRewrite::new(strip())))
}

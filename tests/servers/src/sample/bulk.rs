//! One big table of mixed columns, generated as it is read: the same bytes for the same seed, in constant memory.
//!
//! The mix decides what a benchmark measures, so it is written down: of a row's 680 bytes of dump text on average, two
//! fifths are prose from a small vocabulary (with quotes, backslashes and line breaks in one row of eight), a quarter
//! is binary, which does not compress, and the rest are JSON, numbers, times and short codes.

use std::io::Read;

use crate::error::Result;
use crate::{MySqlServer, PostgresServer};

use super::mysql::quote;

/// The table's definition for MariaDB and MySQL.
const MYSQL_TABLE: &str = "CREATE TABLE `bulk` (
  id bigint unsigned NOT NULL, customer int NOT NULL, created datetime(6) NOT NULL, amount decimal(14,4) NOT NULL,
  ratio double NOT NULL, state varchar(12) NOT NULL, country char(2) NOT NULL, note text, payload json, content blob,
  PRIMARY KEY (id), KEY customer (customer)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;\n";

const POSTGRES_TABLE: &str = "CREATE TABLE bulk (
  id bigint PRIMARY KEY, customer int NOT NULL, created timestamp NOT NULL, amount numeric(14,4) NOT NULL,
  ratio double precision NOT NULL, state text NOT NULL, country char(2) NOT NULL, note text, payload jsonb, content bytea);
COPY bulk FROM STDIN;\n";

/// Creates `db` if needed and in it the table `bulk` with about `bytes` of dump text.
pub fn load_bulk(server: &MySqlServer, db: &str, bytes: u64, seed: u64) -> Result<()> {
    server.sql(format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4;", quote(db)))?;
    server.load(db, bulk_mysql(bytes, seed))
}

/// Creates the table `bulk` in the existing database `db`, with about `bytes` of dump text.
pub fn load_postgres_bulk(server: &PostgresServer, db: &str, bytes: u64, seed: u64) -> Result<()> {
    server.load(db, bulk_postgres(bytes, seed))?;
    // An automatic vacuum in the middle of a benchmark would be measured with it.
    server.sql(db, "VACUUM (ANALYZE) bulk;")
}

/// The SQL text that [`load_bulk`] feeds: statements of about 1 MB, like mysqldump's.
pub fn bulk_mysql(bytes: u64, seed: u64) -> impl Read + Send {
    let header = format!(
        "SET NAMES utf8mb4; SET unique_checks = 0, foreign_key_checks = 0, sql_mode = '';\n{MYSQL_TABLE}"
    );
    Rows::new(Dialect::MySql, header, bytes, seed)
}

/// The SQL text that [`load_postgres_bulk`] feeds.
pub fn bulk_postgres(bytes: u64, seed: u64) -> impl Read + Send {
    Rows::new(Dialect::Postgres, POSTGRES_TABLE.to_owned(), bytes, seed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    MySql,
    Postgres,
}

struct Rows {
    dialect: Dialect,
    random: Random,
    limit: u64,
    made: u64,
    id: u64,
    ended: bool,
    buffer: Vec<u8>,
    read: usize,
}

impl Rows {
    fn new(dialect: Dialect, header: String, limit: u64, seed: u64) -> Self {
        let buffer = header.into_bytes();
        Self { dialect, random: Random(seed), limit, made: 0, id: 0, ended: false, buffer, read: 0 }
    }

    /// The next megabyte: a whole statement, or a run of COPY lines.
    fn fill(&mut self) {
        self.buffer.clear();
        self.read = 0;
        if self.made >= self.limit {
            if !self.ended && self.dialect == Dialect::Postgres {
                self.buffer.extend_from_slice(b"\\.\n");
            }
            self.ended = true;
            return;
        }
        let mysql = self.dialect == Dialect::MySql;
        if mysql {
            self.buffer.extend_from_slice(b"INSERT INTO `bulk` VALUES ");
        }
        let wanted = usize::try_from(self.limit - self.made).unwrap_or(usize::MAX).min(1_000_000);
        let mut first = true;
        while self.buffer.len() < wanted || first {
            if mysql && !first {
                self.buffer.push(b',');
            }
            first = false;
            self.row();
        }
        if mysql {
            self.buffer.extend_from_slice(b";\n");
        }
        self.made += self.buffer.len() as u64;
    }

    fn row(&mut self) {
        self.id += 1;
        let random = &mut self.random;
        let mysql = self.dialect == Dialect::MySql;
        let (customer, cents, second) =
            (random.below(200_000), random.below(1_000_000_000), random.below(60_000_000));
        let numbers = [
            self.id.to_string(),
            customer.to_string(),
            format!(
                "20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
                10 + random.below(15),
                1 + random.below(12),
                1 + random.below(28),
                random.below(24),
                random.below(60),
                second / 1_000_000,
                second % 1_000_000
            ),
            format!("{}.{:04}", cents / 10_000, cents % 10_000),
            format!("{}", random.below(1 << 40) as f64 / 4096.0),
            ["new", "paid", "sent", "returned", "cancelled"][random.pick(5)].to_owned(),
            ["DE", "FR", "IT", "US", "JP", "BR"][random.pick(6)].to_owned(),
        ];
        let note = random.note();
        let payload = format!(
            "{{\"id\": {}, \"tags\": [\"{}\", \"{}\"], \"address\": {{\"street\": \"{} {}\", \"zip\": \"{:05}\"}}, \"vip\": {}}}",
            self.id,
            WORDS[random.pick(WORDS.len())],
            WORDS[random.pick(WORDS.len())],
            WORDS[random.pick(WORDS.len())],
            random.below(200),
            random.below(100_000),
            random.below(2) == 0
        );
        let length = random.pick(320);
        let content: Vec<u8> = (0..length).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect();

        let out = &mut self.buffer;
        if mysql {
            out.push(b'(');
        }
        for (at, number) in numbers.iter().enumerate() {
            let quoted = mysql && (at == 2 || at > 4);
            out.extend(quoted.then_some(b'\''));
            out.extend_from_slice(number.as_bytes());
            out.extend(quoted.then_some(b'\''));
            out.push(if mysql { b',' } else { b'\t' });
        }
        if mysql {
            mysql_literal(out, note.as_bytes());
            out.push(b',');
            mysql_literal(out, payload.as_bytes());
            out.extend_from_slice(b",_binary ");
            mysql_literal(out, &content);
            out.push(b')');
        } else {
            copy_text(out, note.as_bytes());
            out.push(b'\t');
            copy_text(out, payload.as_bytes());
            out.extend_from_slice(b"\t\\\\x");
            for byte in content {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            out.push(b'\n');
        }
    }
}

impl Read for Rows {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.read == self.buffer.len() {
            self.fill();
        }
        let rest = &self.buffer[self.read..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.read += length;
        Ok(length)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn mysql_literal(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'\'');
    for &byte in text {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x1a => out.extend_from_slice(b"\\Z"),
            b'\'' | b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            plain => out.push(plain),
        }
    }
    out.push(b'\'');
}

fn copy_text(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            plain => out.push(plain),
        }
    }
}

const WORDS: [&str; 32] = [
    "order",
    "delivery",
    "customer",
    "street",
    "invoice",
    "Müller",
    "payment",
    "shipped",
    "on",
    "the",
    "and",
    "with",
    "return",
    "address",
    "Paris",
    "warehouse",
    "pallet",
    "fragile",
    "gift",
    "today",
    "tomorrow",
    "late",
    "partial",
    "credit",
    "note",
    "please",
    "call",
    "before",
    "naïve",
    "日本",
    "express",
    "standard",
];

/// SplitMix64: good enough for sample data, the same everywhere, and four lines instead of a dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    fn note(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.pick(80) {
            text.push_str(WORDS[self.pick(WORDS.len())]);
            text.push(' ');
        }
        if self.below(8) == 0 {
            text.push_str("it's \"quoted\", C:\\temp\\new\r\nand DEFINER=`root`@`localhost`\ton two lines");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    #[test]
    fn same_seed_same_bytes_and_about_the_size() {
        let text = |seed| {
            let mut text = Vec::new();
            super::bulk_postgres(3_000_000, seed).read_to_end(&mut text).map(|_| text)
        };
        let (one, again, other) = (text(1).expect("reads"), text(1).expect("reads"), text(2).expect("reads"));
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!((3_000_000..3_010_000).contains(&one.len()), "{}", one.len());
    }
}

//! Text shaped like what `mysqldump` writes, the same on every machine: sizes and speeds measured on it can be compared.
//!
//! Four tables after those of a web application, in extended INSERT statements of about a megabyte: events (numbers, timestamps, short words),
//! users (names, mail addresses, random hex, password digests), pages (prose), and a table of blobs as hex literals.
//! GNU gzip -6 makes it about a third, at the speed that it has on real application dumps.

use std::io::Write as _;

const WORDS: &str = "the of and to in is that for it as was with be by on not he this are or his from at which but have an had \
    they you were there one all we can her has been if more when will would who so no said what up its about into than them only \
    other new some could time these two may then do first any my now such like our over man me even most made after also did many \
    before must through back years where much your way well down should because each just those people state how too little good \
    world make very year still see own work long get here between both life being under never day same another know while last \
    might us great old off come since against go came right used take three account service request customer invoice payment \
    plan application gateway backend policy mapping metric limit usage alert notification provider developer portal settings";

const NAMES: &[&str] = &[
    "Anna", "Bjorn", "Chloe", "Dmitri", "Elena", "Farid", "Grace", "Hiroshi", "Ines", "Jakub", "Karin",
    "Luca", "Maria", "Nils", "Olga", "Pedro", "Qing", "Rosa", "Sven", "Tomas", "Ursula", "Viktor", "Wanda",
    "Xenia", "Yusuf", "Zoe",
];

/// SplitMix64: small, seeded, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

struct Writer {
    out: Vec<u8>,
    random: Random,
    words: Vec<&'static str>,
}

impl Writer {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing to memory cannot fail");
    }

    fn word(&mut self) -> &'static str {
        // The minimum of two draws: frequent words are frequent, as in language.
        let limit = self.words.len() as u64;
        let index = self.random.below(limit).min(self.random.below(limit));
        self.words[usize::try_from(index).expect("an index")]
    }

    fn name(&mut self) -> &'static str {
        NAMES[usize::try_from(self.random.below(NAMES.len() as u64)).expect("an index")]
    }

    fn prose(&mut self, count: u64) {
        for _ in 0..count {
            let word = self.word();
            match self.random.below(40) {
                0 => self.put(format_args!("{word}. ")),
                1 => self.put(format_args!("{word}\\'s ")),
                2 => self.put(format_args!("{word},\\n")),
                _ => self.put(format_args!("{word} ")),
            }
        }
    }

    fn timestamp(&mut self, id: u64) {
        let seconds = id * 7 + self.random.below(30);
        let (day, rest) = (seconds / 86_400, seconds % 86_400);
        self.put(format_args!(
            "'2026-{:02}-{:02} {:02}:{:02}:{:02}'",
            day / 28 % 12 + 1,
            day % 28 + 1,
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        ));
    }

    fn event(&mut self, id: u64) {
        let (account, service, kind) = (self.random.below(5000), self.random.below(40), self.word());
        self.put(format_args!("({id},{account},{service},'{kind}',"));
        self.timestamp(id);
        let (amount, cents, status) =
            (self.random.below(10_000), self.random.below(100), self.random.below(4));
        self.put(format_args!(
            ",{amount}.{cents:02},{status},NULL,'10.{}.{}.{}')",
            account % 200,
            service,
            amount % 250
        ));
    }

    fn user(&mut self, id: u64) {
        let (first, last, token, digest) = (self.name(), self.name(), self.random.next(), self.random.next());
        self.put(format_args!(
            "({id},'{first}','{last}sson','{first}.{last}{}@example.com','{token:016x}',",
            id % 977
        ));
        self.timestamp(id);
        self.put(format_args!(
            ",'$2a$12${digest:016x}{:016x}','active',{},0,NULL)",
            digest.rotate_left(17) ^ token,
            id % 3
        ));
    }

    fn page(&mut self, id: u64) {
        let (slug, length) = (self.word(), 60 + self.random.below(160));
        self.put(format_args!("({id},'{slug}-{id}','"));
        self.prose(length);
        self.put(format_args!("',1,"));
        self.timestamp(id);
        self.put(format_args!(")"));
    }

    fn blob(&mut self, id: u64) {
        self.put(format_args!("({id},0x"));
        for _ in 0..4 + self.random.below(12) {
            let part = self.random.next();
            self.put(format_args!("{part:016X}"));
        }
        self.put(format_args!(")"));
    }
}

/// At least `bytes` of dump, cut there.
pub(crate) fn sql_dump(bytes: usize, seed: u64) -> Vec<u8> {
    let mut writer = Writer {
        out: Vec::with_capacity(bytes + 4096),
        random: Random::new(seed),
        words: WORDS.split_whitespace().collect(),
    };
    writer.put(format_args!("-- MySQL dump 10.13  Distrib 8.0.36\n\n/*!40101 SET NAMES utf8mb4 */;\n"));
    let mut id = 1;
    'dump: for table in (0..4).cycle() {
        // Of four statements, events take 40 % of the bytes, users 30 %, pages 25 %, blobs 5 %.
        let (name, share) =
            [("events", 1_600_000), ("users", 1_200_000), ("pages", 1_000_000), ("blobs", 200_000)][table];
        writer.put(format_args!("INSERT INTO `{name}` VALUES "));
        let end = writer.out.len() + share;
        loop {
            match table {
                0 => writer.event(id),
                1 => writer.user(id),
                2 => writer.page(id),
                _ => writer.blob(id),
            }
            id += 1;
            if writer.out.len() >= bytes {
                break 'dump;
            }
            if writer.out.len() >= end {
                writer.put(format_args!(";\n"));
                break;
            }
            writer.put(format_args!(","));
        }
    }
    writer.out.truncate(bytes);
    writer.out
}

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

/// Writes archives as `pg_dump` does, for one entry of each kind that matters.
struct Archive {
    minor: u8,
    bytes: Vec<u8>,
}

impl Archive {
    fn int(&mut self, value: i64) {
        self.bytes.push(u8::from(value < 0));
        self.bytes.extend_from_slice(&value.unsigned_abs().to_le_bytes()[..4]);
    }

    fn string(&mut self, value: Option<&[u8]>) {
        self.int(value.map_or(-1, |value| i64::try_from(value.len()).unwrap()));
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    fn new(minor: u8, entries: i64) -> Self {
        let mut archive = Self { minor, bytes: b"PGDMP\x01".to_vec() };
        archive.bytes.extend_from_slice(&[minor, 0, 4, 8, 1]);
        if minor >= 15 {
            archive.bytes.push(3);
        } else {
            archive.int(-1);
        }
        for value in [1, 2, 3, 4, 5, 126, 0] {
            archive.int(value);
        }
        archive.string(Some(b"d\xffb"));
        archive.string(Some(b"15.18"));
        archive.string(Some(b"15.18"));
        archive.int(entries);
        archive
    }

    fn entry(&mut self, id: i64, kind: &[u8], tag: &[u8], state: u8, offset: u64) -> usize {
        self.int(id);
        self.int(i64::from(state != 3));
        self.string(Some(b"1259"));
        self.string(Some(b"16384"));
        self.string(Some(tag));
        self.string(Some(kind));
        self.int(2);
        self.string(Some(b"CREATE TABLE t (\"\xff\" int);\n"));
        self.string(None);
        self.string(Some(b""));
        self.string(Some(b"public"));
        self.string(None);
        if self.minor >= 14 {
            self.string(Some(b"heap"));
        }
        if self.minor >= 16 {
            self.int(114);
        }
        self.string(Some(b"app"));
        self.string(Some(b"false"));
        self.string(Some(b"215"));
        self.string(None);
        self.bytes.push(state);
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        self.bytes.len() - 8
    }

    fn data(&mut self, id: i64, chunks: &[&[u8]]) {
        self.bytes.push(1);
        self.int(id);
        self.chunks(chunks);
    }

    fn chunks(&mut self, chunks: &[&[u8]]) {
        for chunk in chunks {
            self.string(Some(chunk));
        }
        self.int(0);
    }

    fn blobs(&mut self, id: i64, objects: &[(i64, &[&[u8]])]) {
        self.bytes.push(3);
        self.int(id);
        for (oid, chunks) in objects {
            self.int(*oid);
            self.chunks(chunks);
        }
        self.int(0);
    }
}

/// Three entries with data (the block of one is empty) and one without.
fn sample(minor: u8) -> Vec<u8> {
    let mut archive = Archive::new(minor, 4);
    archive.entry(1, b"TABLE", b"t", 3, 0);
    archive.entry(2, b"TABLE DATA", b"t", 1, 0);
    archive.entry(3, b"TABLE DATA", b"u", 1, 0);
    archive.entry(4, b"BLOBS", b"BLOBS", 1, 0);
    archive.data(2, &[b"1\tone\n", &[b'x'; 700], b"\\.\n"]);
    archive.data(3, &[]);
    archive.blobs(4, &[(12345, &[b"large", b"object"]), (-5, &[])]);
    archive.bytes
}

fn parse(bytes: &[u8], piece: usize) -> Result<Vec<Event>, FormatError> {
    let mut parser = Parser::new();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        parser.push(piece, &mut |event| events.push(event))?;
    }
    parser.finish().map(|()| events)
}

#[test]
fn every_version_is_read_and_every_prefix_refused() {
    for minor in 12..=16 {
        let bytes = sample(minor);
        let events = parse(&bytes, usize::MAX).unwrap();
        assert_eq!(events.len(), 1 + 4 + 3, "{minor}");
        let Event::Header(header) = &events[0] else { panic!() };
        assert_eq!(header.database, b"d\xffb");
        assert_eq!(header.compression, if minor >= 15 { Compression::Zstd } else { Compression::Gzip });
        assert_eq!(events[5], Event::Block { id: 2, bytes: 6 + 700 + 3, objects: 0 });
        assert_eq!(events[7], Event::Block { id: 4, bytes: 11, objects: 2 });
        assert_eq!(parse(&bytes, 1).unwrap(), events);
        for len in 0..bytes.len() {
            let error = parse(&bytes[..len], usize::MAX).unwrap_err();
            assert!(error.truncated && error.offset == len as u64, "{minor} {len}: {error}");
        }
        let longer = [bytes.as_slice(), b"\0"].concat();
        assert!(!parse(&longer, usize::MAX).unwrap_err().truncated);
    }
}

#[test]
fn an_archive_without_data_ends_with_its_contents() {
    let mut archive = Archive::new(14, 1);
    archive.entry(1, b"TABLE", b"t", 3, 0);
    assert_eq!(parse(&archive.bytes, 3).unwrap().len(), 2);
    assert_eq!(parse(&Archive::new(16, 0).bytes, 3).unwrap().len(), 1);
}

#[test]
fn blocks_must_be_those_that_were_promised() {
    let build = |block: i64, offset: i64| {
        let mut archive = Archive::new(14, 1);
        let at = archive.entry(7, b"TABLE DATA", b"t", 2, 0);
        let position = u64::try_from(i64::try_from(archive.bytes.len()).unwrap() + offset).unwrap();
        archive.bytes[at..].copy_from_slice(&position.to_le_bytes());
        archive.data(block, &[b"x"]);
        archive.bytes
    };
    assert!(parse(&build(7, 0), 1).is_ok());
    assert!(parse(&build(8, 0), 1).unwrap_err().what.contains("awaits none"));
    assert!(parse(&build(7, 1), 1).unwrap_err().what.contains("promised"));
    let twice = [build(7, 0), build(7, 0)[build(7, 0).len() - 17..].to_vec()].concat();
    assert!(parse(&twice, 1).unwrap_err().what.contains("follow"));
}

#[test]
fn impossible_values_are_refused() {
    for (at, byte) in [(0, b'X'), (5, 2), (6, 11), (6, 17), (8, 0), (8, 200), (9, 0), (9, 255), (10, 3)] {
        let mut bytes = sample(14);
        bytes[at] = byte;
        assert!(!parse(&bytes, usize::MAX).unwrap_err().truncated, "{at} {byte}");
    }
}

proptest! {
    #[test]
    fn damage_never_panics(at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..12), piece in 1_usize..50) {
        let mut bytes = sample(16);
        let at = at.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&with[..end - at]);
        prop_assert_eq!(parse(&bytes, piece), parse(&bytes, usize::MAX));
    }
}

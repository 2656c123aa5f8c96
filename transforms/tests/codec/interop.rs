//! The stock tools read what is written here, and what they write is read here. The tools are required: without them nobody could restore.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use transforms::codec::{Codec, Compression};

use crate::{
    corpus::sql_dump,
    support::{CODECS, detect, encode, encode_with},
};

fn tool(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("these tests need `{program}` (packages gzip, pigz, zstd, lz4, python3): {error}")
    })
}

fn succeed(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = tool(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn readers(codec: Codec) -> &'static [(&'static str, &'static [&'static str])] {
    const PYTHON: &str =
        "import gzip,shutil,sys; shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer)";
    match codec {
        Codec::Gzip => &[("gzip", &["-dc"]), ("pigz", &["-dc"]), ("python3", &["-c", PYTHON])],
        Codec::Zstd => &[("zstd", &["-dcq"])],
        _ => &[("lz4", &["-dcq"])],
    }
}

fn program(codec: Codec) -> &'static str {
    codec.name()
}

fn stored(directory: &Path, codec: Codec, data: &[u8]) -> String {
    let path = directory.join(format!("x{}", codec.extension()));
    fs::write(&path, data).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn stock_tools_read_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let samples = [Vec::new(), b"x".to_vec(), sql_dump(262_144, 1), sql_dump(2_500_000, 2)];
    for compression in ["gzip:1", "gzip", "gzip:9", "zstd:1", "zstd", "zstd:19", "lz4"] {
        let compression: Compression = compression.parse().unwrap();
        for data in &samples {
            let packed = encode_with(compression, data, &[]);
            let path = stored(directory.path(), compression.codec, &packed);
            succeed(program(compression.codec), &["-t", &path]);
            for (program, arguments) in readers(compression.codec) {
                let arguments = [arguments, &[&*path][..]].concat();
                assert!(
                    succeed(program, &arguments) == *data,
                    "{compression}: {} bytes by {program}",
                    data.len()
                );
            }
        }
    }
}

/// Law 9 needs the archive to show its own damage to whoever has only the stock tool.
#[test]
fn stock_tools_see_a_cut_and_a_flipped_bit() {
    let directory = tempfile::tempdir().unwrap();
    let data = sql_dump(3_000_000, 4);
    for codec in CODECS {
        let packed = encode(codec, &data);
        let check = |bytes: &[u8]| {
            tool(program(codec), &["-t", &stored(directory.path(), codec, bytes)]).status.success()
        };
        assert!(check(&packed));
        for cut in [1, 4, 8, 9, packed.len() / 2, packed.len() - 20] {
            assert!(!check(&packed[..packed.len() - cut]), "{codec} without its last {cut} bytes");
        }
        for position in [packed.len() / 3, packed.len() / 2, packed.len() - 2] {
            let mut flipped = packed.clone();
            flipped[position] ^= 0x10;
            assert!(!check(&flipped), "{codec} with byte {position} flipped");
        }
    }
}

#[test]
fn what_stock_tools_write_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let data = sql_dump(3_000_000, 6);
    let path = stored(directory.path(), Codec::None, &data);
    let cases: &[(&str, &[&str], &str, Option<u64>)] = &[
        ("gzip", &["-c"], "members", Some(1)),
        ("gzip", &["-1c"], "members", Some(1)),
        ("pigz", &["-c", "-p2"], "members", Some(1)),
        ("pigz", &["-c", "-p2", "-i"], "members", None),
        ("zstd", &["-cq"], "frames", Some(1)),
        ("zstd", &["-cq", "--no-check", "--long=27"], "frames", Some(1)),
        ("zstd", &["-cq", "--rsyncable", "-T2"], "frames", Some(1)),
        ("lz4", &["-cq"], "frames", Some(1)),
        ("lz4", &["-cq9", "-BD", "-B4", "--no-frame-crc"], "frames", Some(1)),
        ("lz4", &["-cq", "-BX", "--content-size"], "frames", Some(1)),
    ];
    for (program, arguments, unit, count) in cases {
        let packed = succeed(program, &[arguments, &[&*path][..]].concat());
        let (plain, report) =
            detect(&packed).unwrap_or_else(|error| panic!("{program} {arguments:?}: {error:?}"));
        assert!(plain == data, "{program} {arguments:?}");
        assert!(
            count.is_none_or(|count| report.counts[*unit] == count),
            "{program} {arguments:?}: {report:?}"
        );
    }
}

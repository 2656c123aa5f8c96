//! Hand-built files for the tests: every value type in every encoding and form of string, with what each decodes to.

use super::token::{push_len, push_str};
use super::{Crc64, Version};

/// A value with its type byte, its bytes, and its decoded items as [`super::value`]'s tests print them.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) byte: u8,
    pub(crate) version: Version,
    pub(crate) value: Vec<u8>,
    pub(crate) items: &'static str,
}

fn num(len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_len(&mut out, len);
    out
}

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_str(&mut out, bytes);
    out
}

/// A string as LZF: its first byte as a literal, then whatever repeats it as references, the rest as literals.
pub(crate) fn lzf(bytes: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..]
            .iter()
            .take(264)
            .take_while(|byte| at > 0 && **byte == bytes[at - 1])
            .count()
            .min(264);
        if run >= 9 {
            stored.extend_from_slice(&[0xe0, (run - 9) as u8, 0]);
            at += run;
        } else {
            stored.extend_from_slice(&[0, bytes[at]]);
            at += 1;
        }
    }
    cat(&[&[0xc3], &num(stored.len() as u64), &num(bytes.len() as u64), &stored])
}

pub(crate) fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A listpack of strings; those that begin with `#` are integers of 64 bits, those with `~` seven-bit ones.
pub(crate) fn listpack(entries: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for entry in entries {
        let encoded = if let Some(int) = entry.strip_prefix('#') {
            cat(&[&[0xf4], &int.parse::<i64>().unwrap().to_le_bytes()])
        } else if let Some(int) = entry.strip_prefix('~') {
            vec![int.parse().unwrap()]
        } else if entry.len() < 64 {
            cat(&[&[0x80 | entry.len() as u8], entry.as_bytes()])
        } else {
            cat(&[&[0xe0 | (entry.len() >> 8) as u8, entry.len() as u8], entry.as_bytes()])
        };
        body.extend_from_slice(&encoded);
        if encoded.len() < 128 {
            body.push(encoded.len() as u8);
        } else {
            body.extend_from_slice(&[(encoded.len() >> 7) as u8, encoded.len() as u8 & 0x7f | 0x80]);
        }
    }
    cat(&[&(body.len() as u32 + 7).to_le_bytes(), &(entries.len() as u16).to_le_bytes(), &body, &[0xff]])
}

/// A ziplist of encoded entries (encoding byte and data).
fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut previous = 0;
    let mut tail = 10;
    for entry in entries {
        tail = 10 + body.len();
        let start = body.len();
        if previous < 254 {
            body.push(previous as u8);
        } else {
            body.push(254);
            body.extend_from_slice(&(previous as u32).to_le_bytes());
        }
        body.extend_from_slice(entry);
        previous = body.len() - start;
    }
    cat(&[
        &(body.len() as u32 + 11).to_le_bytes(),
        &(tail as u32).to_le_bytes(),
        &(entries.len() as u16).to_le_bytes(),
        &body,
        &[0xff],
    ])
}

fn zs(text: &str) -> Vec<u8> {
    match text.len() {
        len @ 0..64 => cat(&[&[len as u8], text.as_bytes()]),
        len => cat(&[&[0x40 | (len >> 8) as u8, len as u8], text.as_bytes()]),
    }
}

fn intset(width: u32, ints: &[i64]) -> Vec<u8> {
    let mut out = cat(&[&width.to_le_bytes(), &(ints.len() as u32).to_le_bytes()]);
    for int in ints {
        out.extend_from_slice(&int.to_le_bytes()[..width as usize]);
    }
    out
}

fn id(ms: u64, seq: u64) -> Vec<u8> {
    cat(&[&ms.to_be_bytes(), &seq.to_be_bytes()])
}

/// A stream of two nodes, two groups and two consumers, in the given form.
fn stream(form: u8) -> Vec<u8> {
    let node = listpack(&[
        "~2", "~1", "~2", "a", "b", "~0", // master: 2 entries, 1 deleted, fields a and b
        "~2", "~0", "~0", "1", "#2", "~5", // same fields
        "~3", "~0", "~1", "x", "y", "~5", // deleted
        "~0", "~5", "~0", "~1", "other", "z", "~6", // its own fields
    ]);
    let second = listpack(&["~1", "~0", "~1", "c", "~0", "~2", "~0", "~0", "w", "~4"]);
    let mut out = cat(&[
        &num(2),
        &string(&id(1000, 1)),
        &string(&node),
        &string(&id(2000, 0)),
        &lzf(&second),
        &num(3),
        &num(2000),
        &num(0),
    ]);
    if form >= 2 {
        out.extend(cat(&[&num(1000), &num(1), &num(1000), &num(2), &num(4)]));
    }
    out.extend(num(2));
    for (name, read) in [("g1", 2), ("g2", u64::MAX)] {
        out.extend(cat(&[&string(name.as_bytes()), &num(1005), &num(1)]));
        if form >= 2 {
            out.extend(num(read));
        }
        out.extend(cat(&[&num(1), &id(1000, 1), &4_102_444_800_000_u64.to_le_bytes(), &num(3)]));
        out.extend(cat(&[&num(1), &string(b"c1"), &4_102_444_800_001_u64.to_le_bytes()]));
        if form >= 3 {
            out.extend_from_slice(&4_102_444_800_002_u64.to_le_bytes());
        }
        out.extend(if form >= 5 { num(0) } else { cat(&[&num(1), &id(1000, 1)]) });
        if form >= 5 {
            out.extend(cat(&[&num(1), &id(1000, 1)]));
        }
    }
    if form >= 4 {
        out.extend(cat(&[
            &num(100),
            &num(200),
            &num(1),
            &string(b"p1"),
            &num(1),
            &string(b"req-1"),
            &num(1000),
            &num(1),
            &num(7),
            &num(8),
        ]));
    }
    out
}

const STREAM_ENTRIES: &str = "entry 1000-1/2 field=a value=1 field=b value=2 entry 1005-1/1 field=other value=z \
                              entry 2000-0/1 field=c value=w ";

/// One value of every type and encoding.
pub(crate) fn samples() -> Vec<Sample> {
    let redis = Version::redis;
    let mut all: Vec<Sample> = Vec::new();
    let mut add = |name, byte, version, value, items| all.push(Sample { name, byte, version, value, items });
    add("raw", 0, redis(1), string(b"hello"), "element=hello ");
    add("empty", 0, redis(1), string(b""), "element= ");
    add("int8", 0, redis(1), vec![0xc0, 0x85], "element=-123 ");
    add("int16", 0, redis(1), vec![0xc1, 0x00, 0x80], "element=-32768 ");
    add("int32", 0, redis(1), vec![0xc2, 0xff, 0xff, 0xff, 0x7f], "element=2147483647 ");
    add("lzf", 0, redis(1), lzf(b"aaaaaaaaaaaaaaaaaaaaaaaab"), "element=aaaaaaaaaaaaaaaaaaaaaaaab ");
    add("length of 32 bits", 0, redis(1), cat(&[&[0x80, 0, 0, 0, 2], b"hi"]), "element=hi ");
    add("length of 64 bits", 0, redis(8), cat(&[&[0x81, 0, 0, 0, 0, 0, 0, 0, 2], b"hi"]), "element=hi ");
    add("list", 1, redis(1), cat(&[&num(2), &string(b"a"), &[0xc0, 7]]), "length=2 element=a element=7 ");
    add("set", 2, redis(1), cat(&[&num(1), &string(b"m")]), "length=1 element=m ");
    add("no elements", 2, redis(1), num(0), "length=0 ");
    add(
        "text zset",
        3,
        redis(1),
        cat(&[
            &num(4),
            &string(b"a"),
            &[3],
            b"1.5",
            &string(b"b"),
            &[254],
            &string(b"c"),
            &[255],
            &string(b"d"),
            &[19],
            b"-1234.5678901234567",
        ]),
        "length=4 member=a score=1.5 member=b score=inf member=c score=-inf member=d score=-1234.5678901234567 ",
    );
    packed_samples(&mut all);
    newer_samples(&mut all);
    all
}

fn packed_samples(all: &mut Vec<Sample>) {
    let redis = Version::redis;
    let long = "L".repeat(300);
    let pair = ziplist(&[&zs("f1"), &zs("v1"), &zs("f2"), &[0xf3]]);
    let mut add = |name, byte, version, value, items| all.push(Sample { name, byte, version, value, items });
    add(
        "binary zset",
        5,
        redis(8),
        cat(&[
            &num(2),
            &string(b"a"),
            &1.5_f64.to_le_bytes(),
            &lzf(&[b'b'; 30]),
            &f64::INFINITY.to_le_bytes(),
        ]),
        "length=2 member=a score=1.5 member=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb score=inf ",
    );
    add("hash", 4, redis(1), cat(&[&num(1), &string(b"f"), &string(b"v")]), "length=1 field=f value=v ");
    add(
        "module",
        7,
        redis(8),
        cat(&[
            &[0x81],
            &0x0123_4567_89ab_cdef_u64.to_be_bytes(),
            &[1, 5, 2, 0x40, 0x40, 3, 1, 2, 3, 4, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5],
            &string(b"inner"),
            &[5],
            &lzf(&[b'z'; 40]),
            &[0],
        ]),
        "module=81985529216486895 ",
    );
    add(
        "zipmap",
        9,
        redis(2),
        string(&cat(&[&[2, 2], b"f1", &[2, 0], b"v1", &[2], b"f2", &[1, 3], b"x___", &[255]])),
        "length=2 field=f1 value=v1 field=f2 value=x ",
    );
    add(
        "ziplist",
        10,
        redis(2),
        string(&ziplist(&[
            &zs("a"),
            &zs(&long),
            &[0xc0, 0, 0x80],
            &[0xd0, 0, 0, 0, 0x80],
            &cat(&[&[0xe0], &i64::MIN.to_le_bytes()]),
            &[0xf0, 0, 0, 0x80],
            &[0xfe, 0x80],
            &[0xf1],
            &[0xfd],
            &cat(&[&[0x80, 0, 0, 0, 2], b"hi"]),
        ])),
        "length=10 element=a element=LONG element=-32768 element=-2147483648 element=-9223372036854775808 \
         element=-8388608 element=-128 element=0 element=12 element=hi ",
    );
    add(
        "intset 16",
        11,
        redis(2),
        string(&intset(2, &[-3, 0, 9])),
        "length=3 element=-3 element=0 element=9 ",
    );
    add("intset 32", 11, redis(2), string(&intset(4, &[-70_000])), "length=1 element=-70000 ");
    add("intset 64", 11, redis(2), lzf(&intset(8, &[0, 1, 2])), "length=3 element=0 element=1 element=2 ");
    add(
        "zset ziplist",
        12,
        redis(2),
        string(&ziplist(&[&zs("m"), &zs("2.5"), &zs("n"), &[0xf4]])),
        "length=2 member=m score=2.5 member=n score=3 ",
    );
    add("hash ziplist", 13, redis(4), string(&pair), "length=2 field=f1 value=v1 field=f2 value=2 ");
    add(
        "quicklist",
        14,
        redis(7),
        cat(&[&num(2), &string(&ziplist(&[&zs("a")])), &string(&ziplist(&[&zs("b"), &zs("c")]))]),
        "element=a element=b element=c ",
    );
    add(
        "stream 1",
        15,
        redis(9),
        stream(1),
        "STREAM stream 3/2000-0 \
         group g1 1005-1 pending 1000-1/4102444800000/3 consumer c1/4102444800001 owns 1000-1 \
         group g2 1005-1 pending 1000-1/4102444800000/3 consumer c1/4102444800001 owns 1000-1 ",
    );
    add(
        "hash listpack",
        16,
        redis(10),
        string(&listpack(&["f", "v", "g", "#-5"])),
        "length=2 field=f value=v field=g value=-5 ",
    );
    add(
        "zset listpack",
        17,
        redis(10),
        string(&listpack(&["m", "1.25", "n", "~3"])),
        "length=2 member=m score=1.25 member=n score=3 ",
    );
    add(
        "quicklist 2",
        18,
        redis(10),
        cat(&[
            &num(3),
            &[2],
            &string(&listpack(&["a", "~1"])),
            &[1],
            &string(b"plain"),
            &[2],
            &lzf(&listpack(&["bbbbbbbbbbbbbbbbbbbbbbbb"])),
        ]),
        "element=a element=1 element=plain element=bbbbbbbbbbbbbbbbbbbbbbbb ",
    );
    add(
        "stream 2",
        19,
        redis(10),
        stream(2),
        "STREAM stream 3/2000-0 1000-1/1000-2/4 \
         group g1 1005-1 read 2 pending 1000-1/4102444800000/3 consumer c1/4102444800001 owns 1000-1 \
         group g2 1005-1 pending 1000-1/4102444800000/3 consumer c1/4102444800001 owns 1000-1 ",
    );
    add("set listpack", 20, redis(11), string(&listpack(&["a", "~9"])), "length=2 element=a element=9 ");
    add(
        "stream 3",
        21,
        redis(11),
        stream(3),
        "STREAM stream 3/2000-0 1000-1/1000-2/4 \
         group g1 1005-1 read 2 pending 1000-1/4102444800000/3 consumer c1/4102444800001/4102444800002 owns 1000-1 \
         group g2 1005-1 pending 1000-1/4102444800000/3 consumer c1/4102444800001/4102444800002 owns 1000-1 ",
    );
}

fn newer_samples(all: &mut Vec<Sample>) {
    let redis = Version::redis;
    let mut add = |name, byte, version, value, items| all.push(Sample { name, byte, version, value, items });
    add(
        "hash with expiry, release candidate",
        22,
        redis(12),
        cat(&[
            &num(2),
            &num(4_102_444_800_000),
            &string(b"f"),
            &string(b"v"),
            &num(0),
            &string(b"g"),
            &string(b"w"),
        ]),
        "length=2 field=f value=v expires=4102444800000 field=g value=w ",
    );
    add(
        "listpack with expiry, release candidate",
        23,
        redis(12),
        string(&listpack(&["f", "v", "#4102444800000", "g", "w", "~0"])),
        "length=2 field=f value=v expires=4102444800000 field=g value=w ",
    );
    add(
        "hash with expiry",
        24,
        redis(12),
        cat(&[
            &4_102_444_800_000_u64.to_le_bytes(),
            &num(3),
            &num(1),
            &string(b"f"),
            &string(b"v"),
            &num(0),
            &string(b"g"),
            &string(b"w"),
            &num(11),
            &string(b"h"),
            &string(b"x"),
        ]),
        "length=3 field=f value=v expires=4102444800000 field=g value=w field=h value=x expires=4102444800010 ",
    );
    add(
        "listpack with expiry",
        25,
        redis(12),
        cat(&[
            &4_102_444_800_000_u64.to_le_bytes(),
            &string(&listpack(&["f", "v", "#4102444800000", "g", "w", "~0"])),
        ]),
        "length=2 field=f value=v expires=4102444800000 field=g value=w ",
    );
    add(
        "stream 4",
        26,
        redis(13),
        stream(4),
        "STREAM stream 3/2000-0 1000-1/1000-2/4 \
         group g1 1005-1 read 2 pending 1000-1/4102444800000/3 consumer c1/4102444800001/4102444800002 owns 1000-1 \
         group g2 1005-1 pending 1000-1/4102444800000/3 consumer c1/4102444800001/4102444800002 owns 1000-1 \
         idempotence 100/200 producer p1 idempotent req-1/1000-1 totals 7/8 ",
    );
    add(
        "stream 5",
        27,
        redis(14),
        stream(5),
        "STREAM stream 3/2000-0 1000-1/1000-2/4 \
         group g1 1005-1 read 2 pending 1000-1/4102444800000/3 consumer c1/4102444800001/4102444800002 released 1000-1 \
         group g2 1005-1 pending 1000-1/4102444800000/3 consumer c1/4102444800001/4102444800002 released 1000-1 \
         idempotence 100/200 producer p1 idempotent req-1/1000-1 totals 7/8 ",
    );
    add(
        "array",
        28,
        redis(14),
        cat(&[
            &num(4),
            &num(1),
            &num(49),
            &[0, 1],
            &(-7_i64).to_le_bytes(),
            &[5, 2],
            &2.5_f64.to_le_bytes(),
            &[6, 3],
            &string(b"small"),
            &num(1 << 40),
            &[0],
            &string(b"long"),
        ]),
        "length=4 next=49 at=0 element=-7 at=5 element=2.5 at=6 element=small at=1099511627776 element=long ",
    );
    add(
        "array without an index",
        28,
        redis(14),
        cat(&[&num(1), &num(0), &[3, 0], &string(b"x")]),
        "length=1 at=3 element=x ",
    );
    add(
        "template listpack with its fields packed",
        29,
        redis(15),
        cat(&[&[0], &string(&listpack(&["ff", "gg"])), &string(&listpack(&["~0", "v", "~4"]))]),
        "length=2 field=ff value=v field=gg value=4 ",
    );
    add(
        "template listpack with its fields",
        29,
        redis(15),
        cat(&[&[1], &num(2), &string(b"ff"), &string(b"gg"), &string(&listpack(&["~0", "v", "~4"]))]),
        "length=2 field=ff value=v field=gg value=4 ",
    );
    add(
        "template listpack",
        30,
        redis(15),
        string(&listpack(&["~7", "v", "~4"])),
        "length=2 field=t1 value=v field=t2 value=4 ",
    );
    add(
        "template array with its fields",
        31,
        redis(15),
        cat(&[&[1], &num(2), &string(b"ff"), &string(b"gg"), &[0xc0, 1], &string(b"w")]),
        "length=2 field=ff value=1 field=gg value=w ",
    );
    add(
        "template array",
        32,
        redis(15),
        cat(&[&num(7), &[0xc0, 1], &string(b"w")]),
        "length=2 field=t1 value=1 field=t2 value=w ",
    );
    add(
        "Valkey hash with expiry",
        22,
        Version::valkey(80),
        cat(&[
            &num(2),
            &string(b"f"),
            &string(b"v"),
            &4_102_444_800_000_i64.to_le_bytes(),
            &string(b"g"),
            &string(b"w"),
            &(-1_i64).to_le_bytes(),
        ]),
        "length=2 field=f value=v expires=4102444800000 field=g value=w ",
    );
}

impl Sample {
    /// The items, with what is the same in several of them spelled out.
    pub(crate) fn expected(&self) -> String {
        self.items.replacen("STREAM ", STREAM_ENTRIES, 1).replacen("LONG", &"L".repeat(300), 1)
    }
}

/// Template 7, with the fields t1 and t2.
pub(crate) fn template() -> Vec<u8> {
    cat(&[&[242], &num(7), &num(2), &string(b"t1"), &string(b"t2")])
}

/// Ends a file.
pub(crate) fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    body.push(255);
    let crc = Crc64::of(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    body
}

/// A file of this version with every construct that it may have and every sample that fits.
pub(crate) fn file(version: Version) -> Vec<u8> {
    let redis = version.dialect == super::Dialect::Redis;
    let mut out = version.magic().to_vec();
    let number = version.number;
    if number >= 7 {
        out.extend(cat(&[&[250], &string(b"redis-ver"), &string(b"7.0.15")]));
        out.extend(cat(&[&[250], &string(b"redis-bits"), &[0xc0, 64]]));
        out.extend(cat(&[&[250], &string(b"lua"), &lzf(&[b'-'; 50])]));
    }
    if number >= 9 {
        out.extend(cat(&[&[247], &[0x81], &77_u64.to_be_bytes(), &[2, 1, 5], &string(b"aux"), &[2, 9, 0]]));
    }
    if number >= 10 {
        out.extend(cat(&[&[245], &string(b"#!lua name=lib\nreturn 1")]));
    }
    if redis && number >= 15 {
        out.extend(template());
    }
    if !redis {
        out.extend(cat(&[&[243], &string(&[b'j'; 40]), &num(2), &num(0), &num(5), &num(9), &num(9)]));
    }
    for db in [0, 1] {
        out.extend(cat(&[&[254], &num(db)]));
        if number >= 7 {
            out.extend(cat(&[&[251], &num(3), &num(1)]));
        }
        if number >= 12 {
            out.extend(cat(&[&[244], &num(12182), &num(1), &num(0)]));
        }
        for (at, sample) in samples().iter().enumerate() {
            if sample.version.dialect != version.dialect && sample.version.number > 11
                || sample.version.number > number
            {
                continue;
            }
            match at % 5 {
                0 => out.extend(cat(&[&[253], &1_700_000_000_i32.to_le_bytes()])),
                1 if number >= 3 => out.extend(cat(&[&[252], &1_700_000_000_123_i64.to_le_bytes()])),
                2 if number >= 9 => out.extend(cat(&[&[252], &9_i64.to_le_bytes(), &[248], &num(1000)])),
                3 if number >= 9 => out.extend_from_slice(&[249, 17]),
                4 if redis && number >= 13 => {
                    out.extend(cat(&[
                        &[243],
                        &num(2),
                        b"CLAS",
                        &[2, 5, 0],
                        b"OTHR",
                        &[5],
                        &string(b"meta"),
                        &[0],
                    ]));
                }
                _ => {}
            }
            out.push(sample.byte);
            match at % 3 {
                0 => out.extend(string(format!("key:{}", sample.name).as_bytes())),
                1 => out.extend(cat(&[&[0xc1], &(at as u16).to_le_bytes()])),
                _ => out.extend(lzf(&vec![b'k'; 60 + at])),
            }
            out.extend_from_slice(&sample.value);
        }
    }
    if number >= 5 { sealed(out) } else { cat(&[&out, &[255]]) }
}

/// Files of every version that has a grammar here.
pub(crate) fn files() -> Vec<(Version, Vec<u8>)> {
    (1..=15)
        .map(Version::redis)
        .chain([Version::valkey(80), Version::valkey(81)])
        .map(|version| (version, file(version)))
        .collect()
}

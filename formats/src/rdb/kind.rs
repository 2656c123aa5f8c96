//! Families, versions and value types: which byte means what, since when.

use std::fmt;

use super::error::Problem;

/// Which of the two families wrote a file. The same bytes mean different things in them, so the family is read
/// from the magic and never guessed from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// `REDIS` and four digits: Redis of every version, Valkey up to 8.1.
    Redis,
    /// `VALKEY` and three digits: Valkey 9.0 and newer.
    Valkey,
}

/// The family and number in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The family.
    pub dialect: Dialect,
    /// The number, such as 11.
    pub number: u16,
}

impl Version {
    /// Newest Redis version whose grammar is known here (Redis 8.10).
    pub const NEWEST_REDIS: u16 = 15;
    /// First version of the Valkey family; smaller numbers belong to Redis.
    pub const FIRST_VALKEY: u16 = 80;
    /// Newest Valkey version whose grammar is known here (Valkey 9.2, in development).
    pub const NEWEST_VALKEY: u16 = 81;
    /// Length of the magic with its number.
    pub const LEN: usize = 9;

    /// A Redis version.
    pub const fn redis(number: u16) -> Self {
        Self { dialect: Dialect::Redis, number }
    }

    /// A Valkey version.
    pub const fn valkey(number: u16) -> Self {
        Self { dialect: Dialect::Valkey, number }
    }

    /// Reads the nine bytes at the start of a file.
    pub fn parse(magic: &[u8; Self::LEN]) -> Result<Self, Problem> {
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0_u16, |number, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
            })
        };
        let unknown = || Problem::Version(magic.escape_ascii().to_string());
        if let Some(digits) = magic.strip_prefix(b"VALKEY") {
            let number = number(digits).ok_or_else(unknown)?;
            if number < Self::FIRST_VALKEY {
                return Err(unknown());
            }
            Ok(Self::valkey(number))
        } else if let Some(digits) = magic.strip_prefix(b"REDIS") {
            let number = number(digits).ok_or_else(unknown)?;
            // 80 and more under Redis' magic was written by release candidates of Valkey 9 alone.
            if number == 0 || number >= Self::FIRST_VALKEY {
                return Err(unknown());
            }
            Ok(Self::redis(number))
        } else if magic.starts_with(b"VKCS") || magic.starts_with(b"VCS") {
            Err(Problem::Magic("it is compressed as a whole (rdbcompression lz4 of Valkey 9.2)"))
        } else {
            Err(Problem::Magic("it does not start with REDIS or VALKEY"))
        }
    }

    /// The nine bytes of a file's start.
    pub fn magic(self) -> [u8; Self::LEN] {
        let digit = |place: u16| b'0' + (self.number / place % 10) as u8;
        let digits = [digit(1000), digit(100), digit(10), digit(1)];
        let mut magic = *b"REDIS0000";
        match self.dialect {
            Dialect::Redis => magic[5..].copy_from_slice(&digits),
            Dialect::Valkey => {
                magic[..6].copy_from_slice(b"VALKEY");
                magic[6..].copy_from_slice(&digits[1..]);
            }
        }
        magic
    }

    /// False for versions newer than the grammar here. Their files are carried as far as that grammar reaches.
    pub fn is_known(self) -> bool {
        match self.dialect {
            Dialect::Redis => self.number <= Self::NEWEST_REDIS,
            Dialect::Valkey => self.number <= Self::NEWEST_VALKEY,
        }
    }

    /// What snapshots and `DUMP` of a server state, by its family, major and minor version; `None` before Redis 2.6.
    pub fn written_by(valkey: bool, major: u32, minor: u32) -> Option<Self> {
        let at = (major, minor);
        if valkey {
            return Some(if at >= (9, 2) {
                Self::valkey(81)
            } else if at >= (9, 0) {
                Self::valkey(80)
            } else {
                Self::redis(11)
            });
        }
        let since: &[((u32, u32), u16)] = &[
            ((8, 10), 15),
            ((8, 8), 14),
            ((8, 6), 13),
            ((7, 4), 12),
            ((7, 2), 11),
            ((7, 0), 10),
            ((5, 0), 9),
            ((4, 0), 8),
            ((3, 2), 7),
            ((2, 6), 6),
        ];
        since.iter().find(|(least, _)| at >= *least).map(|(_, number)| Self::redis(*number))
    }

    /// True when the file ends in eight bytes of CRC64.
    pub fn has_checksum(self) -> bool {
        self.number >= 5
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.magic().escape_ascii())
    }
}

/// What a user calls the type of a value, as `TYPE` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataType {
    /// `string`
    String,
    /// `list`
    List,
    /// `set`
    Set,
    /// `zset`
    SortedSet,
    /// `hash`
    Hash,
    /// `stream`
    Stream,
    /// `array` (Redis 8.8)
    Array,
    /// A type that a module defines.
    Module,
}

impl DataType {
    /// Every type, in the order of their declaration: `DataType::ALL[kind as usize] == kind`.
    pub const ALL: [Self; 8] = [
        Self::String,
        Self::List,
        Self::Set,
        Self::SortedSet,
        Self::Hash,
        Self::Stream,
        Self::Array,
        Self::Module,
    ];

    /// The type of this [`DataType::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name that the `TYPE` command answers; `module` stands for any module's type.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Array => "array",
            Self::Module => "module",
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value's type byte in its dialect, known and carried here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    byte: u8,
    pub(crate) shape: Shape,
}

/// The layouts of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    String,
    List,
    Set,
    ZsetText,
    ZsetBinary,
    Hash,
    Module,
    HashZipmap,
    ListZiplist,
    SetIntset,
    ZsetZiplist,
    HashZiplist,
    ListQuicklist,
    Stream1,
    HashListpack,
    ZsetListpack,
    ListQuicklist2,
    Stream2,
    SetListpack,
    Stream3,
    HashTtlPre,
    HashListpackTtlPre,
    HashTtl,
    HashListpackTtl,
    Stream4,
    Stream5,
    Array,
    TemplateListpack,
    TemplateListpackRef,
    TemplateArray,
    TemplateArrayRef,
    ValkeyHash2,
}

impl Kind {
    /// The type that `byte` means in a file of this version, or why it cannot be carried.
    #[inline]
    pub fn of(version: Version, byte: u8) -> Result<Self, Problem> {
        let shape = match byte {
            0 => Shape::String,
            1 => Shape::List,
            2 => Shape::Set,
            3 => Shape::ZsetText,
            4 => Shape::Hash,
            5 => Shape::ZsetBinary,
            6 => {
                return Err(Problem::Unsupported {
                    byte,
                    what: "a module value of the first form (Redis 4.0 release candidates), whose end only its module knows",
                });
            }
            7 => Shape::Module,
            9 => Shape::HashZipmap,
            10 => Shape::ListZiplist,
            11 => Shape::SetIntset,
            12 => Shape::ZsetZiplist,
            13 => Shape::HashZiplist,
            14 => Shape::ListQuicklist,
            15 => Shape::Stream1,
            16 => Shape::HashListpack,
            17 => Shape::ZsetListpack,
            18 => Shape::ListQuicklist2,
            19 => Shape::Stream2,
            20 => Shape::SetListpack,
            21 => Shape::Stream3,
            _ => Self::forked(version, byte)?,
        };
        Ok(Self { byte, shape })
    }

    /// Types that mean different things in the two families.
    fn forked(version: Version, byte: u8) -> Result<Shape, Problem> {
        Ok(match (version.dialect, byte) {
            (Dialect::Redis, 22) => Shape::HashTtlPre,
            (Dialect::Redis, 23) => Shape::HashListpackTtlPre,
            (Dialect::Redis, 24) => Shape::HashTtl,
            (Dialect::Redis, 25) => Shape::HashListpackTtl,
            (Dialect::Redis, 26) => Shape::Stream4,
            (Dialect::Redis, 27) => Shape::Stream5,
            (Dialect::Redis, 28) => Shape::Array,
            // Builds of Redis 8.8 with rate limiters wrote those under 29, so below 15 the byte is ambiguous.
            (Dialect::Redis, 29..=32) if version.number < 15 => return Err(Problem::Unknown(byte)),
            (Dialect::Redis, 29) => Shape::TemplateListpack,
            (Dialect::Redis, 30) => Shape::TemplateListpackRef,
            (Dialect::Redis, 31) => Shape::TemplateArray,
            (Dialect::Redis, 32) => Shape::TemplateArrayRef,
            (Dialect::Redis, 33) => {
                return Err(Problem::Unsupported {
                    byte,
                    what: "a rate limiter (GCRA) in Redis 8.10, a bitmap in later builds; neither layout is published",
                });
            }
            (Dialect::Valkey, 22) => Shape::ValkeyHash2,
            (Dialect::Valkey, 23) => {
                return Err(Problem::Unsupported {
                    byte,
                    what: "a path hash of Valkey 9.2, which is in development",
                });
            }
            _ => return Err(Problem::Unknown(byte)),
        })
    }

    /// The type byte.
    pub fn byte(self) -> u8 {
        self.byte
    }

    /// What a user calls it.
    pub fn data_type(self) -> DataType {
        match self.shape {
            Shape::String => DataType::String,
            Shape::List | Shape::ListZiplist | Shape::ListQuicklist | Shape::ListQuicklist2 => DataType::List,
            Shape::Set | Shape::SetIntset | Shape::SetListpack => DataType::Set,
            Shape::ZsetText | Shape::ZsetBinary | Shape::ZsetZiplist | Shape::ZsetListpack => {
                DataType::SortedSet
            }
            Shape::Hash
            | Shape::HashZipmap
            | Shape::HashZiplist
            | Shape::HashListpack
            | Shape::HashTtlPre
            | Shape::HashListpackTtlPre
            | Shape::HashTtl
            | Shape::HashListpackTtl
            | Shape::TemplateListpack
            | Shape::TemplateListpackRef
            | Shape::TemplateArray
            | Shape::TemplateArrayRef
            | Shape::ValkeyHash2 => DataType::Hash,
            Shape::Stream1 | Shape::Stream2 | Shape::Stream3 | Shape::Stream4 | Shape::Stream5 => {
                DataType::Stream
            }
            Shape::Array => DataType::Array,
            Shape::Module => DataType::Module,
        }
    }

    /// True for hashes whose fields may have an expiry of their own.
    pub fn fields_expire(self) -> bool {
        matches!(
            self.shape,
            Shape::HashTtlPre
                | Shape::HashListpackTtlPre
                | Shape::HashTtl
                | Shape::HashListpackTtl
                | Shape::ValkeyHash2
        )
    }

    /// The encoding, for reports: `listpack`, `quicklist` and so on.
    pub fn encoding(self) -> &'static str {
        match self.shape {
            Shape::String => "string",
            Shape::List => "linkedlist",
            Shape::Set | Shape::Hash | Shape::HashTtlPre | Shape::HashTtl | Shape::ValkeyHash2 => "hashtable",
            Shape::ZsetText | Shape::ZsetBinary => "skiplist",
            Shape::Module => "module",
            Shape::HashZipmap => "zipmap",
            Shape::ListZiplist | Shape::ZsetZiplist | Shape::HashZiplist => "ziplist",
            Shape::SetIntset => "intset",
            Shape::ListQuicklist => "quicklist of ziplists",
            Shape::ListQuicklist2 => "quicklist of listpacks",
            Shape::HashListpack | Shape::ZsetListpack | Shape::SetListpack => "listpack",
            Shape::HashListpackTtlPre | Shape::HashListpackTtl => "listpackex",
            Shape::Stream1 | Shape::Stream2 | Shape::Stream3 | Shape::Stream4 | Shape::Stream5 => "stream",
            Shape::Array => "array",
            Shape::TemplateListpack | Shape::TemplateListpackRef => "template-listpack",
            Shape::TemplateArray | Shape::TemplateArrayRef => "template-array",
        }
    }

    /// The first version whose loaders know this type.
    pub fn since(self) -> Version {
        Version::redis(match self.shape {
            Shape::String | Shape::List | Shape::Set | Shape::ZsetText | Shape::Hash => 1,
            Shape::HashZipmap | Shape::ListZiplist | Shape::SetIntset | Shape::ZsetZiplist => 2,
            Shape::HashZiplist => 4,
            Shape::ListQuicklist => 7,
            Shape::ZsetBinary | Shape::Module => 8,
            Shape::Stream1 => 9,
            Shape::HashListpack | Shape::ZsetListpack | Shape::ListQuicklist2 | Shape::Stream2 => 10,
            Shape::SetListpack | Shape::Stream3 => 11,
            Shape::HashTtlPre | Shape::HashListpackTtlPre | Shape::HashTtl | Shape::HashListpackTtl => 12,
            Shape::Stream4 => 13,
            Shape::Stream5 | Shape::Array => 14,
            Shape::TemplateListpack
            | Shape::TemplateListpackRef
            | Shape::TemplateArray
            | Shape::TemplateArrayRef => 15,
            Shape::ValkeyHash2 => return Version::valkey(80),
        })
    }
}

/// Constructs outside values that a loader must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Expiry in milliseconds.
    ExpireMillis,
    /// The CRC64 trailer.
    Checksum,
    /// AUX fields and RESIZEDB.
    Aux,
    /// Lengths over 4 GiB.
    Length64,
    /// LRU idle time and LFU frequency of keys.
    Eviction,
    /// Data of modules outside keys.
    ModuleAux,
    /// Function libraries.
    Function,
    /// Sizes per cluster slot.
    SlotInfo,
    /// Metadata that modules attach to keys.
    KeyMeta,
    /// Hash templates.
    HashTemplate,
    /// The state of a running slot import (Valkey).
    SlotImport,
}

impl Feature {
    /// The first version whose loaders know it.
    pub fn since(self) -> Version {
        Version::redis(match self {
            Self::ExpireMillis => 3,
            Self::Checksum => 5,
            Self::Aux => 7,
            Self::Length64 => 8,
            Self::Eviction | Self::ModuleAux => 9,
            Self::Function => 10,
            Self::SlotInfo => 12,
            Self::KeyMeta => 13,
            Self::HashTemplate => 15,
            Self::SlotImport => return Version::valkey(80),
        })
    }
}

/// The lowest version that all kept content allows: a header is only a gate, what decides is the bytes used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    redis: u16,
    valkey: u16,
}

impl Default for Needs {
    fn default() -> Self {
        Self::new()
    }
}

impl Needs {
    /// The needs of a file with nothing but its checksum.
    pub const fn new() -> Self {
        Self { redis: 5, valkey: 0 }
    }

    fn at_least(&mut self, version: Version) {
        match version.dialect {
            Dialect::Redis => self.redis = self.redis.max(version.number),
            Dialect::Valkey => self.valkey = self.valkey.max(version.number),
        }
    }

    /// Counts in a value.
    pub fn kind(&mut self, kind: Kind) {
        self.at_least(kind.since());
    }

    /// Counts in a construct.
    pub fn feature(&mut self, feature: Feature) {
        self.at_least(feature.since());
    }

    /// Counts in what another part needs.
    pub fn merge(&mut self, other: Self) {
        self.redis = self.redis.max(other.redis);
        self.valkey = self.valkey.max(other.valkey);
    }

    /// The lowest version, or none when the content needs things that only Redis has and things that only
    /// Valkey has.
    pub fn lowest(self) -> Option<Version> {
        match (self.valkey, self.redis) {
            (0, number) => Some(Version::redis(number)),
            (number, ..=11) => Some(Version::valkey(number)),
            _ => None,
        }
    }

    /// True when a loader of `version` knows everything that was counted in. Valkey 9 loads what Redis up to
    /// 7.2 (version 11) wrote, and nothing newer of Redis'.
    pub fn allow(self, version: Version) -> bool {
        match version.dialect {
            Dialect::Redis => self.valkey == 0 && self.redis <= version.number,
            Dialect::Valkey => self.redis <= 11 && self.valkey <= version.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magics_round_trip() {
        for version in
            (1..=15).map(Version::redis).chain([79].map(Version::redis)).chain((80..=81).map(Version::valkey))
        {
            assert_eq!(Version::parse(&version.magic()), Ok(version));
        }
        assert_eq!(&Version::redis(9).magic(), b"REDIS0009");
        assert_eq!(&Version::valkey(80).magic(), b"VALKEY080");
        assert!(!Version::redis(16).is_known() && !Version::valkey(82).is_known());
    }

    #[test]
    fn foreign_magics_are_refused() {
        for magic in [
            b"REDIS0000",
            b"REDIS0080",
            b"REDIS00x1",
            b"VALKEY079",
            b"VALKEY0 8",
            b"VKCS\x01\x01\0\0\0",
            b"PGDMP\x01\0\0\0",
        ] {
            assert!(Version::parse(magic).is_err(), "{}", magic.escape_ascii());
        }
    }

    #[test]
    fn the_same_byte_differs_by_dialect() {
        let redis = Kind::of(Version::redis(12), 22).unwrap();
        let valkey = Kind::of(Version::valkey(80), 22).unwrap();
        assert_ne!(redis, valkey);
        assert_eq!(valkey.since(), Version::valkey(80));
        assert!(Kind::of(Version::valkey(80), 24).is_err());
        assert!(Kind::of(Version::redis(14), 29).is_err(), "a rate limiter in some builds");
        assert!(Kind::of(Version::redis(15), 29).is_ok());
        for byte in [6, 8, 33, 34, 100, 200, 241] {
            assert!(Kind::of(Version::redis(15), byte).is_err(), "{byte}");
            assert!(Kind::of(Version::valkey(81), byte).is_err(), "{byte}");
        }
    }

    #[test]
    fn types_are_found_by_name_and_by_place() {
        for (at, kind) in DataType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert_eq!(DataType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(DataType::from_name("sortedset"), None);
    }

    #[test]
    fn needs_name_the_lowest_version() {
        let mut needs = Needs::new();
        assert_eq!(needs.lowest(), Some(Version::redis(5)));
        needs.kind(Kind::of(Version::redis(11), 16).unwrap());
        needs.feature(Feature::Aux);
        assert_eq!(needs.lowest(), Some(Version::redis(10)));
        assert!(needs.allow(Version::redis(10)) && needs.allow(Version::valkey(80)));
        assert!(!needs.allow(Version::redis(9)));
        let mut both = needs;
        both.kind(Kind::of(Version::valkey(80), 22).unwrap());
        assert_eq!(both.lowest(), Some(Version::valkey(80)));
        assert!(!both.allow(Version::redis(15)));
        let mut newer = Needs::new();
        newer.kind(Kind::of(Version::redis(12), 25).unwrap());
        both.merge(newer);
        assert_eq!(both.lowest(), None, "a Valkey hash and a Redis hash with field expiry in one file");
    }
}

//! What the user may ask for: a codec, a level, a number of threads.

use std::{fmt, ops::RangeInclusive, path::Path, str::FromStr};

use pipeline::{Error, Result, Transform};

use super::{gzip, stream};

/// A compressed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The LZ4 frame format, version 1.6.
    Lz4,
}

impl Codec {
    /// The name on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        }
    }

    /// The customary ending of a file name, with its dot; empty for [`Codec::None`].
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Lz4 => ".lz4",
        }
    }

    /// The codec that a file name's ending asks for; [`Codec::None`] when it asks for none.
    pub fn of_file_name(name: impl AsRef<Path>) -> Self {
        match name.as_ref().extension().and_then(|ending| ending.to_str()) {
            Some(ending) if ending.eq_ignore_ascii_case("gz") => Self::Gzip,
            Some(ending) if ending.eq_ignore_ascii_case("zst") => Self::Zstd,
            Some(ending) if ending.eq_ignore_ascii_case("lz4") => Self::Lz4,
            _ => Self::None,
        }
    }

    /// The levels that may be asked for, where the codec has any.
    ///
    /// zstd ends at 19: the levels above need `--ultra` in its own tool, and 128 MiB of window to read back.
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::Gzip => Some(1..=9),
            Self::Zstd => Some(1..=19),
            Self::None | Self::Lz4 => None,
        }
    }

    /// The level that is used when none is asked for, where the codec has any.
    ///
    /// gzip's numbers are not GNU gzip's. On 100 MB of generated dump text (`examples/corpus`), where GNU gzip -6 reaches a ratio of 3.09, level 1
    /// reaches 2.93 (6 % larger) at five times its speed per core, level 2 reaches 2.98, level 3 3.01 and level 6 3.11. Level 1 is the fastest that stays
    /// within a tenth of what `gzip` alone would give.
    pub fn default_level(self) -> Option<i32> {
        match self {
            Self::Gzip => Some(1),
            Self::Zstd => Some(3),
            Self::None | Self::Lz4 => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How to compress a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// The format.
    pub codec: Codec,
    /// The level; `None` is the codec's default.
    pub level: Option<i32>,
    /// Worker threads of the codecs that have them (gzip, zstd). The output does not depend on it.
    pub threads: usize,
}

impl Compression {
    /// The codec with its default level, and one worker per core that this process may use.
    pub fn new(codec: Codec) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { codec, level: None, threads }
    }

    /// What a destination's name asks for by its ending.
    pub fn of_file_name(name: impl AsRef<Path>) -> Self {
        Self::new(Codec::of_file_name(name))
    }

    /// The same with another number of worker threads; 0 counts as 1.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The same with a level.
    #[must_use]
    pub fn with_level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// The level that will be used. A level that the codec does not have is a usage error that names the legal ones.
    pub fn effective_level(&self) -> Result<Option<i32>> {
        match (self.level, self.codec.levels()) {
            (None, _) => Ok(self.codec.default_level()),
            (Some(_), None) => Err(Error::usage(format!("`{}` takes no compression level", self.codec))
                .hint(format!("write `{}` alone", self.codec))),
            (Some(level), Some(range)) if range.contains(&level) => Ok(Some(level)),
            (Some(level), Some(range)) => Err(Error::usage(format!("{} has no level {level}", self.codec))
                .hint(format!("its levels are {} to {}", range.start(), range.end()))),
        }
    }

    /// The step that compresses, or nothing for [`Codec::None`].
    ///
    /// # Errors
    /// A usage error for a level that the codec does not have; a transform error when the worker threads cannot be started.
    pub fn encoder(&self) -> Result<Option<Box<dyn Transform>>> {
        let level = self.effective_level()?.unwrap_or_default();
        let threads = self.threads.max(1);
        Ok(match self.codec {
            Codec::None => None,
            Codec::Gzip => Some(Box::new(gzip::Gzip::new(level, threads)?)),
            Codec::Zstd => Some(Box::new(stream::zstd(level, threads))),
            Codec::Lz4 => Some(Box::new(stream::lz4())),
        })
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// Reads `gzip[:N]`, `zstd[:N]`, `lz4` or `none`.
    fn from_str(text: &str) -> Result<Self> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let codec = [Codec::Gzip, Codec::Zstd, Codec::Lz4, Codec::None]
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| {
                Error::usage(format!("there is no compression `{name}`"))
                    .hint("write gzip[:1-9], zstd[:1-19], lz4 or none")
            })?;
        let mut compression = Self::new(codec);
        if let Some(level) = level {
            let level: i32 = level.parse().map_err(|cause| {
                let error =
                    Error::usage(format!("`{level}` is not a compression level of {codec}")).caused_by(cause);
                match codec.levels() {
                    Some(range) => error.hint(format!("its levels are {} to {}", range.start(), range.end())),
                    None => error.hint(format!("write `{codec}` alone")),
                }
            })?;
            compression.level = Some(level);
        }
        compression.effective_level()?;
        Ok(compression)
    }
}

impl fmt::Display for Compression {
    /// The form that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.codec.name())?;
        match self.level {
            Some(level) => write!(f, ":{level}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::Kind;

    use super::*;

    #[test]
    fn reads_and_prints_every_form() {
        for text in ["gzip", "gzip:1", "gzip:9", "zstd", "zstd:19", "lz4", "none"] {
            assert_eq!(text.parse::<Compression>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_level_is_a_usage_error_that_names_the_range() {
        for (text, hint) in [
            ("gzip:0", "1 to 9"),
            ("gzip:10", "1 to 9"),
            ("gzip:", "1 to 9"),
            ("zstd:20", "1 to 19"),
            ("zstd:-3", "1 to 19"),
            ("zstd:fast", "1 to 19"),
            ("lz4:3", "`lz4` alone"),
            ("none:1", "`none` alone"),
            ("xz", "zstd[:1-19]"),
            ("", "gzip[:1-9]"),
            ("GZIP", "gzip[:1-9]"),
        ] {
            let error = text.parse::<Compression>().expect_err(text);
            assert_eq!((error.kind(), error.exit_code()), (Kind::Usage, 2), "{text}");
            assert!(error.hints().iter().any(|h| h.contains(hint)), "{text}: {error:?}");
        }
        assert!(
            Compression::new(Codec::Gzip).with_level(12).encoder().is_err(),
            "a level set in code is checked too"
        );
    }

    #[test]
    fn file_names_choose_the_codec() {
        for (name, codec) in [
            ("x.sql.gz", Codec::Gzip),
            ("/a.b/x.tar.ZST", Codec::Zstd),
            ("x.lz4", Codec::Lz4),
            ("x.sql", Codec::None),
            ("gz", Codec::None),
            (".gz", Codec::None),
            ("x.gz/", Codec::Gzip),
            ("x.gz.old", Codec::None),
        ] {
            assert_eq!(Codec::of_file_name(name), codec, "{name}");
        }
        for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4, Codec::None] {
            assert_eq!(Codec::of_file_name(format!("x{}", codec.extension())), codec);
        }
    }
}

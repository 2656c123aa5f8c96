//! From what was typed to where bytes come from and go to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use pipeline::endpoint::DatabaseUrl;
use pipeline::{Error, Result};
use stores::s3::S3Url;

/// Where bytes come from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// A database server, read through its own client.
    Database(Box<DatabaseUrl>),
    /// A file, or a directory.
    Path(PathBuf),
    /// An object, or an archive below a prefix.
    S3(Box<S3Url>),
    /// Standard input.
    Stdin,
    /// A command line for a shell.
    Shell(String),
    /// A command without a shell.
    Argv(Vec<OsString>),
}

/// Where bytes go.
#[derive(Debug, Clone)]
pub(crate) enum To {
    /// A file, or a directory that the archive gets a name in.
    Path(String),
    /// The same, and only if a volume is mounted there.
    Volume(String),
    /// An object, or a prefix that the archive gets a name in.
    S3(Box<S3Url>),
    /// Standard output.
    Stdout,
    /// A database server.
    Database(Box<DatabaseUrl>),
}

/// Follows `env:NAME`, so that a URL with a password need not stand in the process list.
pub(crate) fn resolve(typed: &str) -> Result<String> {
    let Some(name) = typed.strip_prefix("env:") else { return Ok(typed.to_owned()) };
    std::env::var(name).map_err(|_| {
        Error::usage(format!("the environment variable `{name}` is not set, or is not text"))
            .hint("`env:NAME` takes the endpoint from the variable NAME")
    })
}

impl From {
    /// What SOURCE means.
    pub(crate) fn parse(typed: &str) -> Result<Self> {
        let text = resolve(typed)?;
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(line) = text.strip_prefix("cmd:") {
            if line.trim().is_empty() {
                return Err(Error::usage("`cmd:` is followed by no command").hint(
                    "write it like 'cmd:oc exec deploy/db -- mysqldump db', or put the command behind `--`",
                ));
            }
            return Ok(Self::Shell(line.to_owned()));
        }
        if DatabaseUrl::recognizes(&text) {
            return Ok(Self::Database(Box::new(DatabaseUrl::parse(&text)?)));
        }
        if S3Url::recognizes(&text) {
            return Ok(Self::S3(Box::new(S3Url::parse(&text)?)));
        }
        match scheme(&text) {
            None => Ok(Self::Path(PathBuf::from(text))),
            Some(("file", rest)) => Ok(Self::Path(local("file", rest)?)),
            Some((scheme, _)) => Err(unknown(
                scheme,
                "SOURCE takes mysql://, mariadb://, mysql2://, postgres://, postgresql://, s3://, file:///, a path, cmd: and -",
            )),
        }
    }

    /// `{db}` and `{host}` of this source.
    pub(crate) fn names(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Database(url) => {
                let db = (!url.databases.is_empty()).then(|| url.databases.join("+"));
                (db.or_else(|| Some("all".to_owned())), url.host().map(str::to_owned))
            }
            Self::Path(path) => (path.file_name().map(|name| stem(&name.to_string_lossy())), None),
            Self::S3(url) => {
                let name = url.key.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
                (name.map(stem), Some(url.bucket.clone()))
            }
            Self::Stdin | Self::Shell(_) | Self::Argv(_) => (None, None),
        }
    }
}

impl To {
    /// What DEST means.
    pub(crate) fn parse(typed: &str) -> Result<Self> {
        let text = resolve(typed)?;
        if text == "-" {
            return Ok(Self::Stdout);
        }
        let takes = "DEST takes file:///, a path, pvc:///, s3://, mysql://, mariadb://, postgres://, redis://, rediss:// and -";
        if DatabaseUrl::recognizes(&text) {
            return Ok(Self::Database(Box::new(DatabaseUrl::parse(&text)?)));
        }
        if text.starts_with("cmd:") {
            return Err(Error::usage("a command cannot be a destination")
                .hint("write to `-` and pipe: dbferry copy SOURCE - | COMMAND"));
        }
        if S3Url::recognizes(&text) {
            return Ok(Self::S3(Box::new(S3Url::parse(&text)?)));
        }
        match scheme(&text) {
            None if text.is_empty() => Err(Error::usage("DEST is empty").hint(takes)),
            None => Ok(Self::Path(text)),
            Some(("file", rest)) => Ok(Self::Path(text_of(&local("file", rest)?)?)),
            Some(("pvc", rest)) => Ok(Self::Volume(text_of(&local("pvc", rest)?)?)),
            Some((scheme, _)) => Err(unknown(scheme, takes)),
        }
    }
}

/// A file's name without its endings.
fn stem(name: &str) -> String {
    name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(name).to_owned()
}

/// `scheme://rest`, when that is what `text` is.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let word = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b));
    word.then_some((scheme, rest))
}

/// The path of `file:///path`, percent-decoded.
fn local(scheme: &str, rest: &str) -> Result<PathBuf> {
    if !rest.starts_with('/') {
        return Err(Error::usage(format!("`{scheme}://` wants an absolute path"))
            .hint(format!("write {scheme}:///path, with three slashes")));
    }
    let bytes: Vec<u8> = percent_decode_str(rest).collect();
    Ok(Path::new(&<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&bytes)).to_owned())
}

fn text_of(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::usage("the name of a destination must be UTF-8").with("path", path.display()))
}

fn unknown(scheme: &str, takes: &str) -> Error {
    Error::usage(format!("unknown scheme `{scheme}://`")).hint(takes.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        assert!(matches!(From::parse("-").unwrap(), From::Stdin));
        assert!(matches!(From::parse("/a/b.sql").unwrap(), From::Path(p) if p == Path::new("/a/b.sql")));
        assert!(matches!(From::parse("file:///a%20b").unwrap(), From::Path(p) if p == Path::new("/a b")));
        assert!(matches!(From::parse("cmd:echo hi").unwrap(), From::Shell(l) if l == "echo hi"));
        assert!(matches!(From::parse("mysql2://u:p@h/db").unwrap(), From::Database(_)));
        for bad in ["ftp://x", "file://relative", "cmd:", "cmd:  ", "env:DBFERRY_NOT_SET_ANYWHERE"] {
            let error = From::parse(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(!error.hints().is_empty(), "{bad} has a way out");
        }
    }

    #[test]
    fn destinations() {
        assert!(matches!(To::parse("pvc:///mnt/x").unwrap(), To::Volume(p) if p == "/mnt/x"));
        assert!(matches!(To::parse("out.sql").unwrap(), To::Path(p) if p == "out.sql"));
        for bad in ["", "nfs://x/y", "cmd:cat", "mysql://u:secret@h/db?sslmode=no", "pvc://claim/path"] {
            let error = To::parse(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad}");
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}

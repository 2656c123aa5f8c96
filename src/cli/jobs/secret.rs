//! What may be secret stands in a job file by reference only: `env:NAME` or `file:PATH`.

use std::borrow::Cow;
use std::fmt;

use pipeline::endpoint::Secret;
use pipeline::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A reference to a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// In this environment variable.
    Env(String),
    /// The first line of this file.
    File(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Reference {
    /// The secret.
    pub(crate) fn resolve(&self) -> Result<Secret> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                Error::usage(format!("the environment variable `{name}` is not set, or is not text"))
                    .hint("the job file takes a secret from it")
            })?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| {
                Error::usage("cannot read the file of a secret").with("file", path).caused_by(error)
            })?,
        };
        Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(name) = text.strip_prefix("env:") {
            return Ok(Self::Env(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(path.to_owned()));
        }
        // The text is not repeated: it is the secret.
        Err(de::Error::custom("a secret stands in the job file itself; write `env:NAME` or `file:PATH`"))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(env|file):." })
    }
}

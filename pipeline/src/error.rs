//! The one error type that crosses crate borders.
//!
//! An error names the stage, the cause and the way out. Its [`Kind`] decides the exit code together with its
//! [`Stage`]; `Display` prints this level only, and whoever renders it walks [`std::error::Error::source`].

use std::fmt;

/// A result whose error is dbferry's own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in the pipeline something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading from a database, a file or a command.
    Source,
    /// Rewriting, compressing or decompressing.
    Transform,
    /// Writing to a destination.
    Sink,
    /// Checking what was written against what was promised.
    Verify,
    /// The command line, the plan, or the engine itself.
    Setup,
}

/// What class of failure this is; with the stage it decides the exit code and whether another run may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for cannot be done as asked: exit 2, before anything is touched.
    Usage,
    /// The stage failed: exit 3, 4 or 5 by stage.
    Failed,
    /// The stream ended without saying that it was complete: exit code as for `Failed`.
    Truncated,
    /// Stored bytes differ from the promise: exit 6.
    Mismatch,
    /// The store's answer was lost and its state could not be found out: exit 7.
    OutcomeUnknown,
    /// A passing fault; the same run may succeed later: exit 75.
    Temporary,
    /// A signal ended the run: exit 128 plus its number.
    Interrupted(i32),
    /// A neighbour is gone. Never the first cause, so it is not reported while another error is there.
    Closed,
    /// The run was cancelled. Never the first cause.
    Cancelled,
    /// Something that cannot happen did: exit 1.
    Bug,
}

/// An error with its stage, kind, context, hint and cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    stage: Stage,
    message: String,
    context: Vec<(&'static str, String)>,
    hints: Vec<String>,
    also: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of any kind and stage.
    pub fn new(stage: Stage, kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            stage,
            message: message.into(),
            context: Vec::new(),
            hints: Vec::new(),
            also: Vec::new(),
            source: None,
        }))
    }

    /// The request cannot be carried out as asked (exit 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Stage::Setup, Kind::Usage, message)
    }

    /// The source failed (exit 3).
    pub fn source(message: impl Into<String>) -> Self {
        Self::new(Stage::Source, Kind::Failed, message)
    }

    /// The source ended before it was complete (exit 3).
    pub fn truncated(message: impl Into<String>) -> Self {
        Self::new(Stage::Source, Kind::Truncated, message)
    }

    /// A transform failed (exit 4).
    pub fn transform(message: impl Into<String>) -> Self {
        Self::new(Stage::Transform, Kind::Failed, message)
    }

    /// A sink failed (exit 5).
    pub fn sink(message: impl Into<String>) -> Self {
        Self::new(Stage::Sink, Kind::Failed, message)
    }

    /// What is stored is not what was promised (exit 6).
    pub fn mismatch(message: impl Into<String>) -> Self {
        Self::new(Stage::Verify, Kind::Mismatch, message)
    }

    /// A fault of dbferry itself (exit 1).
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Stage::Setup, Kind::Bug, message)
    }

    /// The neighbouring stage is gone.
    pub fn closed() -> Self {
        Self::new(Stage::Setup, Kind::Closed, "the next stage is gone")
    }

    /// The run was cancelled from elsewhere.
    pub fn cancelled() -> Self {
        Self::new(Stage::Setup, Kind::Cancelled, "the run was cancelled")
    }

    /// Adds a fact, such as `("offset", "1234")`. Never a secret.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Adds a way out: the flag, grant or command that helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Adds what went wrong afterwards, such as a clean-up that failed. It never replaces the cause.
    #[must_use]
    pub fn also(mut self, what: impl Into<String>) -> Self {
        self.0.also.push(what.into());
        self
    }

    /// Sets the underlying error.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Moves the error to another stage; the kind stays.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.0.stage = stage;
        self
    }

    /// Changes the kind; the stage stays.
    #[must_use]
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stage.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The facts, in the order they were added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// The ways out.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// What went wrong afterwards.
    pub fn afterwards(&self) -> &[String] {
        &self.0.also
    }

    /// True for errors that only say that somebody else failed.
    pub fn is_consequence(&self) -> bool {
        matches!(self.0.kind, Kind::Closed | Kind::Cancelled)
    }

    /// The process exit code of the class that this error belongs to.
    pub fn exit_code(&self) -> u8 {
        match (self.0.kind, self.0.stage) {
            (Kind::Usage, _) => 2,
            (Kind::Mismatch, _) | (Kind::Failed | Kind::Truncated, Stage::Verify) => 6,
            (Kind::OutcomeUnknown, _) => 7,
            (Kind::Temporary, _) => 75,
            (Kind::Interrupted(signal), _) => u8::try_from(128 + signal).unwrap_or(1),
            (Kind::Failed | Kind::Truncated, Stage::Source) => 3,
            (Kind::Failed | Kind::Truncated, Stage::Transform) => 4,
            (Kind::Failed | Kind::Truncated, Stage::Sink) => 5,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (key, value)) in self.0.context.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{key}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("stage", &self.0.stage)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("hints", &self.0.hints)
            .field("also", &self.0.also)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_stage_and_kind() {
        assert_eq!(Error::usage("x").exit_code(), 2);
        assert_eq!(Error::source("x").exit_code(), 3);
        assert_eq!(Error::truncated("x").exit_code(), 3);
        assert_eq!(Error::transform("x").exit_code(), 4);
        assert_eq!(Error::sink("x").exit_code(), 5);
        assert_eq!(Error::mismatch("x").exit_code(), 6);
        assert_eq!(Error::sink("x").of_kind(Kind::OutcomeUnknown).exit_code(), 7);
        assert_eq!(Error::source("x").of_kind(Kind::Temporary).exit_code(), 75);
        assert_eq!(Error::source("x").of_kind(Kind::Interrupted(15)).exit_code(), 143);
        assert_eq!(Error::bug("x").exit_code(), 1);
        assert_eq!(Error::closed().exit_code(), 1, "a consequence alone is a bug: its cause was lost");
    }
}

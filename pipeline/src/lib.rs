//! The engine of dbferry: what a source, a transform and a destination promise, and what runs them.
//!
//! Start with [`Source`], [`Transform`] and [`Destination`], then [`frame`] for what travels between them.

mod carry;
pub mod context;
pub mod destination;
pub mod digest;
pub mod endpoint;
pub mod error;
pub mod frame;
pub mod job;
pub mod manifest;
pub mod meter;
pub mod plan;
pub mod run;
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transform;

pub use context::{Context, Event, Observer, Progress, Silent};
pub use destination::{Destination, PartHeader, Proof, Receipt, Sink};
pub use digest::{Algorithm, Content, Digester};
pub use error::{Error, Kind, Result, Stage};
pub use frame::{Frame, FrameReceiver, FrameSender, StreamEnd};
pub use job::{Delivery, DeliveryReport, Job, Plan, Report, Settings, Share, Steps, no_steps};
pub use manifest::{Manifest, PartManifest};
pub use run::{Prepared, prepare, run};
pub use source::{Counted, Format, Part, Phase, Reader, Source, SourceInfo};
pub use transform::{Chain, Finding, Output, Severity, Transform, TransformReport};

//! What becomes of archives after they were made: the [`catalogue`] of what there is, [`retention`], [`lease`]s, and the [`record`] of later checks.
//!
//! An archive is what has a manifest. Nothing here guesses from names, and nothing here reads data.

pub mod catalogue;
pub mod lease;
pub mod place;
pub mod prune;
pub mod record;
pub mod retention;

pub use catalogue::{Archive, Catalogue, Standing, Strange};
pub use lease::Lease;
pub use place::Place;

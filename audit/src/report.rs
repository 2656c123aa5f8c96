//! What a comparison found.

use serde::Serialize;

/// One of the two databases.
#[derive(Debug, Clone, Serialize)]
pub struct SideInfo {
    /// Without secrets.
    pub endpoint: String,
    /// Product and version.
    pub server: String,
}

/// Something in the catalogues that is not the same.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Difference {
    /// `table`, `column`, `index`, `view`, …
    pub kind: String,
    /// The object's name; of a part of a table, `table.part`.
    pub object: String,
    /// The property that differs; empty when the object itself is missing on one side.
    pub what: String,
    /// The source's value.
    pub source: Option<String>,
    /// The destination's value.
    pub dest: Option<String>,
}

impl Difference {
    pub(crate) fn new(
        kind: &str,
        object: &str,
        what: &str,
        source: Option<String>,
        dest: Option<String>,
    ) -> Self {
        let (kind, object, what) = (kind.to_owned(), object.to_owned(), what.to_owned());
        Self { kind, object, what, source, dest }
    }
}

/// How a row differs.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RowFault {
    /// The destination has it not, or not as often.
    Missing,
    /// The source has it not, or not as often.
    Extra,
    /// Both have a row of this key, with different values.
    Changed,
}

/// One row that differs.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Example {
    /// How.
    pub fault: RowFault,
    /// `column=value` of its key, or of all columns where there is no key; long values are cut.
    pub row: String,
    /// The columns that differ, as `column: source → dest`; long values are cut.
    pub columns: Vec<String>,
}

/// The rows of one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableResult {
    /// Its name.
    pub table: String,
    /// Rows at the source.
    pub source_rows: u64,
    /// Rows at the destination.
    pub dest_rows: u64,
    /// Digest of the source's rows, whatever their order: sum of 128-bit hashes.
    pub source_digest: String,
    /// The same of the destination.
    pub dest_digest: String,
    /// Whether both hold the same rows.
    pub equal: bool,
    /// Rows that differ, the first few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// Rows that differ, among those that were looked at one by one; there may be more when `narrowed` is false.
    pub differing_rows: u64,
    /// Whether every row that differs was looked at.
    pub narrowed: bool,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The one side.
    pub source: SideInfo,
    /// The other.
    pub dest: SideInfo,
    /// Whether catalogues and rows are the same.
    pub equal: bool,
    /// Objects that were compared.
    pub objects: u64,
    /// Rows that were compared, of the source.
    pub rows: u64,
    /// In the catalogues.
    pub differences: Vec<Difference>,
    /// Not the same, and meant to be: engines, collations of another maker, definers.
    pub notes: Vec<Difference>,
    /// Every table that both sides have.
    pub tables: Vec<TableResult>,
    /// What is not looked at.
    pub not_compared: Vec<String>,
}

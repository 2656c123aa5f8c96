/// What to do with a database that holds something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Occupied {
    /// Nothing: the load is refused.
    #[default]
    Refuse,
    /// Remove everything first.
    Replace,
    /// Load beside what is there.
    Join,
    /// Go on with a load that did not end; where there is none, as [`Occupied::Refuse`].
    Resume,
}

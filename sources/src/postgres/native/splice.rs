//! Takes what `pg_dump` writes for one section apart, so that several sections make one dump.
//!
//! A whole dump has one head, then objects, rows, indexes and constraints, then privileges, then what has to come last (event triggers and
//! the refreshing of materialized views), and one line that says that it is complete. `pg_dump` for one section writes all of that, as far as
//! it belongs to the section. Put together as they are, the privileges would stand in front of the rows, where an owner without the right to
//! insert is refused, and a line that promises completeness would stand in the middle.

use formats::postgres::plain::{Kind, Lexer};
use pipeline::{Error, Result};

/// The last statement of the head.
const HEAD: &[u8] = b"SET row_security = off;";

/// What says that the dump is complete.
const COMPLETE: &[u8] = b"-- PostgreSQL database dump complete";

/// How the statements begin that belong behind everything else: privileges first, then event triggers and the refreshing of views.
const LATE: &[&[u8]] = &[
    b"GRANT ",
    b"REVOKE ",
    b"ALTER DEFAULT PRIVILEGES ",
    b"CREATE EVENT TRIGGER ",
    b"REFRESH MATERIALIZED VIEW ",
];

/// Bytes of a statement that tell what it is.
const TELLING: usize = 32;

/// Comments and settings in a row are never longer than this.
const LONGEST: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the head; `keep` it or not.
    Head { keep: bool },
    /// Among what belongs in front of privileges.
    Early,
    /// Behind that.
    Late,
}

/// Takes one section apart. Its text may be cut anywhere.
pub(super) struct Splice {
    lexer: Lexer,
    at: At,
    /// What stands behind the last statement: space, comments, commands of psql, and the beginning of a statement.
    held: Vec<u8>,
    /// Where in `held` a statement begins that may still be anything.
    statement: Option<usize>,
    /// Inside a statement whose beginning was handed on.
    inside: bool,
    /// Behind a head that was left out, whose space goes with it.
    bare: bool,
}

impl Splice {
    /// `keep` is for the first section of a dump, whose head is the dump's.
    pub(super) fn new(keep: bool) -> Self {
        Self {
            lexer: Lexer::new(),
            at: At::Head { keep },
            held: Vec::new(),
            statement: None,
            inside: false,
            bare: false,
        }
    }

    /// Takes from `input` and appends to `out`, until `input` is empty or the first statement begins that belongs behind everything else;
    /// then it answers true, once, and what stands in front of that statement about it is not in `out` yet.
    pub(super) fn push(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool> {
        loop {
            let piece = self.lexer.next(input).map_err(|error| {
                Error::source("what pg_dump writes cannot be understood").caused_by(error.to_string())
            })?;
            let Some(piece) = piece else { return Ok(false) };
            let (bytes, rest) = input.split_at(piece.len);
            *input = rest;
            if self.inside {
                out.extend_from_slice(bytes);
                self.inside = !piece.end;
                continue;
            }
            if self.bare && piece.kind == Kind::Space {
                continue;
            }
            self.bare = false;
            if piece.kind == Kind::Statement {
                self.statement.get_or_insert(self.held.len());
            }
            self.held.extend_from_slice(bytes);
            if self.held.len() > LONGEST {
                return Err(Error::source("pg_dump writes a comment without an end"));
            }
            let Some(start) = self.statement else { continue };
            if self.held.len() - start < TELLING && !piece.end {
                continue;
            }
            self.statement = None;
            if self.tell(start, piece.end, out) {
                return Ok(true);
            }
        }
    }

    /// What the statement at `start` of what is held means.
    fn tell(&mut self, start: usize, ended: bool, out: &mut Vec<u8>) -> bool {
        let statement = &self.held[start..];
        match self.at {
            At::Head { keep } => {
                if statement.starts_with(HEAD) {
                    if keep {
                        out.append(&mut self.held);
                    }
                    self.held.clear();
                    self.bare = !keep;
                    self.at = At::Early;
                }
                false
            }
            At::Early if LATE.iter().any(|words| statement.starts_with(words)) => {
                self.at = At::Late;
                self.leading_space(out);
                // It is whole or not, and what is held goes out when the rest is asked for.
                self.inside = !ended;
                true
            }
            At::Early | At::Late => {
                out.append(&mut self.held);
                self.inside = !ended;
                false
            }
        }
    }

    /// Space behind a statement belongs to it.
    fn leading_space(&mut self, out: &mut Vec<u8>) {
        let space = self.held.iter().position(|byte| *byte != b'\n').unwrap_or(self.held.len());
        out.extend(self.held.drain(..space));
    }

    /// Hands out what was held back when [`Splice::push`] said that the first late statement begins.
    pub(super) fn go_on(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    /// The end of the section: what says that the dump is complete, and what stands behind it. A section without it is cut.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<Vec<u8>> {
        let complete = self.held.split(|byte| *byte == b'\n').any(|line| line == COMPLETE);
        if matches!(self.at, At::Head { .. }) || self.inside || self.statement.is_some() || !complete {
            return Err(Error::truncated("pg_dump ended without saying that its dump is complete"));
        }
        self.leading_space(out);
        Ok(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "--
-- PostgreSQL database dump
--

\\restrict key

SET statement_timeout = 0;
SET standard_conforming_strings = on;
SET row_security = off;

--
-- Name: t; Type: TABLE; Schema: public; Owner: o
--

CREATE TABLE public.t (
    \"GRANT ; \" text DEFAULT '
GRANT x;'
);


--
-- Name: x; Type: ACL; Schema: y; Owner: z; Type: FUNCTION; Schema: public; Owner: o
--

CREATE FUNCTION public.f() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
GRANT a TO b;
-- PostgreSQL database dump complete
END$$;


--
-- Name: TABLE t; Type: ACL; Schema: public; Owner: o
--

REVOKE ALL ON TABLE public.t FROM o;
GRANT SELECT ON TABLE public.t TO o;


--
-- PostgreSQL database dump complete
--

\\unrestrict key

";

    fn taken_apart(text: &str, keep: bool, cut: usize) -> Result<[String; 3]> {
        let mut splice = Splice::new(keep);
        let (mut early, mut late) = (Vec::new(), Vec::new());
        let mut reached = false;
        for piece in text.as_bytes().chunks(cut) {
            let mut input = piece;
            while !input.is_empty() {
                let out = if reached { &mut late } else { &mut early };
                if splice.push(&mut input, out)? {
                    assert!(!reached);
                    reached = true;
                    splice.go_on(&mut late);
                }
            }
        }
        let tail = splice.end(if reached { &mut late } else { &mut early })?;
        Ok([early, late, tail].map(|part| String::from_utf8(part).unwrap()))
    }

    #[test]
    fn sections_are_taken_apart_however_they_are_cut() {
        let late_at = SECTION.find("--\n-- Name: TABLE t").unwrap();
        let tail_at = SECTION.rfind("--\n-- PostgreSQL").unwrap();
        let head_end = SECTION.find("off;").unwrap() + "off;\n\n".len();
        for cut in [1, 2, 3, 7, 50, 10_000] {
            let [early, late, tail] = taken_apart(SECTION, true, cut).unwrap();
            assert_eq!(early, SECTION[..late_at], "{cut}");
            assert_eq!(late, SECTION[late_at..tail_at], "{cut}");
            assert_eq!(tail, SECTION[tail_at..], "{cut}");
            let [early, late, tail] = taken_apart(SECTION, false, cut).unwrap();
            assert_eq!(early, SECTION[head_end..late_at], "{cut}");
            assert_eq!((late.as_str(), tail.as_str()), (&SECTION[late_at..tail_at], &SECTION[tail_at..]));
        }
    }

    #[test]
    fn a_cut_section_is_seen() {
        let tail_at = SECTION.rfind("--\n-- PostgreSQL").unwrap();
        for length in 0..tail_at {
            assert!(taken_apart(&SECTION[..length], true, 64).is_err(), "{length}");
        }
    }
}

//! Patterns over keys as `KEYS` and `SCAN MATCH` take them.
//!
//! On bytes: `*` any run, `?` one byte, `[abc]`, `[^abc]`, `[a-z]` one byte of a set, `\x` the byte `x`. The
//! server's corner cases are kept, since users try a pattern with `redis-cli` first: an unclosed `[` takes the
//! rest of the pattern as its set, a reversed range is turned around, a lone `\` at the end is itself.

/// A compiled pattern: what stands between its runs. The first segment is bound to the key's start, the last to its
/// end, and those between them are looked for from left to right, which never has to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    first: Vec<Step>,
    /// None when the pattern has no run: then the first segment is the whole key.
    rest: Option<(Vec<Vec<Step>>, Vec<Step>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Any,
    Set(Box<[bool; 256]>),
}

impl Step {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::Any => true,
            Self::Set(set) => set[usize::from(byte)],
        }
    }
}

/// True when the segment matches exactly these bytes.
fn is_at(segment: &[Step], bytes: &[u8]) -> bool {
    segment.len() == bytes.len() && segment.iter().zip(bytes).all(|(step, byte)| step.takes(*byte))
}

/// Where the segment first matches in `bytes`; answers the position behind it.
fn find(segment: &[Step], bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        if let Some(Step::Byte(byte)) = segment.first() {
            start += memchr::memchr(*byte, bytes.get(start..)?)?;
        }
        let end = start + segment.len();
        if is_at(segment, bytes.get(start..end)?) {
            return Some(end);
        }
        start += 1;
    }
}

impl Glob {
    /// Compiles a pattern. Every byte string is one.
    pub fn new(pattern: &[u8]) -> Self {
        let mut segments = Vec::new();
        let mut segment = Vec::new();
        let mut rest = pattern;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'*' => segments.push(std::mem::take(&mut segment)),
                b'?' => segment.push(Step::Any),
                b'[' => {
                    let (set, after) = set(rest);
                    rest = after;
                    segment.push(set);
                }
                b'\\' => match rest.split_first() {
                    Some((&escaped, after)) => {
                        rest = after;
                        segment.push(Step::Byte(escaped));
                    }
                    None => segment.push(Step::Byte(b'\\')),
                },
                other => segment.push(Step::Byte(other)),
            }
        }
        segments.push(segment);
        let mut segments = segments.into_iter();
        let first = segments.next().unwrap_or_default();
        let mut middle: Vec<_> = segments.collect();
        let last = middle.pop();
        middle.retain(|segment| !segment.is_empty());
        Self { first, rest: last.map(|last| (middle, last)) }
    }

    /// True when the whole of `key` matches. Time is at most pattern length times key length.
    pub fn matches(&self, key: &[u8]) -> bool {
        let Some((middle, last)) = &self.rest else { return is_at(&self.first, key) };
        let Some((start, mut key)) = key.split_at_checked(self.first.len()) else { return false };
        if !is_at(&self.first, start) {
            return false;
        }
        let Some((rest, end)) = key.len().checked_sub(last.len()).map(|at| key.split_at(at)) else {
            return false;
        };
        if !is_at(last, end) {
            return false;
        }
        key = rest;
        middle.iter().all(|segment| match find(segment, key) {
            Some(end) => {
                key = &key[end..];
                true
            }
            None => false,
        })
    }
}

/// Reads a set from behind its bracket; answers the step and what follows it.
fn set(pattern: &[u8]) -> (Step, &[u8]) {
    let (negated, mut rest) = match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut members = Box::new([false; 256]);
    loop {
        match rest {
            [] => break,
            [b'\\', byte, after @ ..] => {
                members[usize::from(*byte)] = true;
                rest = after;
            }
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [from, b'-', to, after @ ..] => {
                members[usize::from(*from.min(to))..=usize::from(*from.max(to))].fill(true);
                rest = after;
            }
            [byte, after @ ..] => {
                members[usize::from(*byte)] = true;
                rest = after;
            }
        }
    }
    if negated {
        members.iter_mut().for_each(|member| *member = !*member);
    }
    (Step::Set(members), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_the_server_does() {
        for (pattern, key, expected) in [
            (&b"*"[..], &b""[..], true),
            (b"", b"", true),
            (b"", b"a", false),
            (b"a", b"", false),
            (b"h?llo", b"hello", true),
            (b"h?llo", b"hllo", false),
            (b"h*llo", b"heeeello", true),
            (b"h[ae]llo", b"hallo", true),
            (b"h[ae]llo", b"hillo", false),
            (b"h[^e]llo", b"hello", false),
            (b"h[^e]llo", b"hbllo", true),
            (b"h[a-c]llo", b"hbllo", true),
            (b"h[c-a]llo", b"hbllo", true),
            (b"h[a-c]llo", b"hdllo", false),
            (b"h\\*llo", b"h*llo", true),
            (b"h\\*llo", b"hxllo", false),
            (b"h[\\]]llo", b"h]llo", true),
            (b"resque:*", b"resque:queue:priority", true),
            (b"*:*:*", b"a:b:c", true),
            (b"*:*:*", b"a:b", false),
            (b"*ab*", b"xaab", true),
            (b"**b", b"aab", true),
            (b"a\\", b"a\\", true),
            (b"[abc", b"b", true),
            (b"[]", b"a", false),
            (b"[^]", b"a", true),
            (b"\xff*", b"\xff\x00\xfe", true),
            (b"?", b"\x00", true),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(key),
                expected,
                "{} on {}",
                pattern.escape_ascii(),
                key.escape_ascii()
            );
        }
    }

    #[test]
    fn many_runs_stay_cheap() {
        let pattern: Vec<u8> = b"a*".iter().copied().cycle().take(60).chain(*b"b").collect();
        assert!(!Glob::new(&pattern).matches(&[b'a'; 5000]));
    }
}

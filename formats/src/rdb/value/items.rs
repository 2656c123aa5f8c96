//! From the walker's pieces to items: what each piece of a layout means.

use std::collections::HashMap;

use super::super::error::{Error, Problem, Result};
use super::super::grammar::{Blob, Part};
use super::super::kind::Shape;
use super::super::lzf::Inflate;
use super::super::skip::{Sink, TextDouble};
use super::super::token::{StrHead, decimal};
use super::packed::{Entry, Intset, Listpack, Ziplist, Zipmap};
use super::{Item, Role, stream};

/// Everything that the walker does not need.
#[derive(Debug, Default)]
pub(super) struct Decoding {
    pub(super) limit: usize,
    pub(super) shape: Option<Shape>,
    /// Offset in the value of the input that is being taken.
    pub(super) offset: u64,
    pub(super) part: Option<Part>,
    pub(super) lzf: bool,
    pub(super) total: u64,
    pub(super) inflate: Inflate,
    /// What is read whole: packed collections and names.
    pub(super) whole: Vec<u8>,
    pub(super) container: u64,
    pub(super) min_ttl: u64,
    pub(super) ttl: u64,
    pub(super) templates: HashMap<u64, Vec<Box<[u8]>>>,
    /// The fields of the template hash being read, and which comes next.
    pub(super) fields: Vec<Box<[u8]>>,
    pub(super) field_at: usize,
    pub(super) stream: stream::Stream,
}

/// Tells the walker's errors, whose offset counts from the input, from others.
pub(super) enum Fault<E> {
    Walk(Error),
    Own(E),
}

impl<E> From<Error> for Fault<E> {
    fn from(error: Error) -> Self {
        Self::Walk(error)
    }
}

pub(super) type Step<E> = std::result::Result<(), Fault<E>>;

/// The walker's sink.
pub(super) struct Items<'s, F> {
    pub(super) state: &'s mut Decoding,
    pub(super) on: &'s mut F,
}

fn is_whole(part: Part) -> bool {
    matches!(
        part,
        Part::Blob(_)
            | Part::StreamNodeId
            | Part::GroupName
            | Part::ConsumerName
            | Part::ProducerId
            | Part::IdempotentId
    )
}

impl Decoding {
    fn bad<E: From<Error>>(&self, problem: Problem) -> Fault<E> {
        Fault::Own(Error::new(problem, self.offset).into())
    }

    /// Template hashes with their own fields name them all before the first value.
    fn gathers_fields(&self) -> bool {
        matches!(self.shape, Some(Shape::TemplateArray | Shape::TemplateListpack))
    }
}

impl<E, F> Items<'_, F>
where
    E: From<Error>,
    F: FnMut(Item<'_>) -> Result<(), E>,
{
    pub(super) fn emit(&mut self, item: Item<'_>) -> Step<E> {
        (self.on)(item).map_err(Fault::Own)
    }

    pub(super) fn bad(&self, problem: Problem) -> Fault<E> {
        self.state.bad(problem)
    }

    fn text(&mut self, role: Role, data: &[u8]) -> Step<E> {
        self.emit(Item::Bytes { role, data, total: data.len() as u64, last: true })
    }

    pub(super) fn entry(&mut self, role: Role, entry: Entry<'_>) -> Step<E> {
        match entry {
            Entry::Bytes(bytes) => self.text(role, bytes),
            Entry::Int(int) => self.text(role, decimal(int, &mut [0; 20])),
        }
    }

    fn score(&mut self, score: f64) -> Step<E> {
        if score.is_nan() {
            return Err(self.bad(Problem::Corrupt("a score that is not a number")));
        }
        self.emit(Item::Score(score))
    }

    fn score_text(&mut self, text: &[u8]) -> Step<E> {
        let score = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        match score {
            Some(score) => self.score(score),
            None => Err(self.bad(Problem::Corrupt("a score that is not a number"))),
        }
    }

    /// The next piece of a string's plain bytes.
    fn piece(&mut self, part: Part, data: &[u8], last: bool) -> Step<E> {
        let role = match part {
            Part::Element => Role::Element,
            Part::Member => Role::Member,
            Part::Field if self.state.gathers_fields() => return self.gather(part, data, last),
            Part::Field => Role::Field,
            Part::Value => Role::Value,
            Part::ModuleString => return Ok(()),
            _ => return self.gather(part, data, last),
        };
        self.emit(Item::Bytes { role, data, total: self.state.total, last })?;
        if last && part == Part::Value {
            let ttl = std::mem::take(&mut self.state.ttl);
            if ttl != 0 {
                // Since the release of 7.4 relative to the hash's earliest, plus one.
                let since = if self.state.shape == Some(Shape::HashTtl) {
                    self.state.min_ttl.wrapping_sub(1)
                } else {
                    0
                };
                self.emit(Item::FieldExpires(since.wrapping_add(ttl).cast_signed()))?;
            }
        }
        Ok(())
    }

    fn gather(&mut self, part: Part, data: &[u8], last: bool) -> Step<E> {
        if last && self.state.whole.is_empty() {
            return self.whole(part, data);
        }
        self.state.whole.extend_from_slice(data);
        if last {
            let whole = std::mem::take(&mut self.state.whole);
            self.whole(part, &whole)?;
            self.state.whole = whole;
            self.state.whole.clear();
        }
        Ok(())
    }

    /// A string that is read whole.
    fn whole(&mut self, part: Part, data: &[u8]) -> Step<E> {
        match part {
            Part::Blob(blob) => self.unpack(blob, data),
            Part::Field => {
                self.state.fields.push(Box::from(data));
                Ok(())
            }
            _ => self.stream_name(part, data),
        }
    }

    fn unpack(&mut self, blob: Blob, data: &[u8]) -> Step<E> {
        match blob {
            Blob::ListZiplist => self.ziplist(data, &[Role::Element]),
            Blob::HashZiplist => self.ziplist(data, &[Role::Field, Role::Value]),
            Blob::ZsetZiplist => self.ziplist(data, &[Role::Member]),
            Blob::ElementsListpack => self.listpack(data, &[Role::Element]),
            Blob::HashListpack => self.listpack(data, &[Role::Field, Role::Value]),
            Blob::ZsetListpack => self.listpack(data, &[Role::Member]),
            Blob::HashListpackTtl => self.ttl_listpack(data),
            Blob::Intset => {
                let mut pack = Intset::new(data).map_err(|p| self.bad(p))?;
                self.emit(Item::Length(pack.declared()))?;
                while let Some(int) = pack.next() {
                    self.entry(Role::Element, Entry::Int(int))?;
                }
                Ok(())
            }
            Blob::HashZipmap => {
                let mut pack = Zipmap::new(data).map_err(|p| self.bad(p))?;
                if let Some(pairs) = pack.declared() {
                    self.emit(Item::Length(pairs))?;
                }
                while let Some((field, value)) = pack.next().map_err(|p| self.bad(p))? {
                    self.text(Role::Field, field)?;
                    self.text(Role::Value, value)?;
                }
                Ok(())
            }
            Blob::TemplateFields => {
                let mut pack = Listpack::new(data).map_err(|p| self.bad(p))?;
                while let Some(entry) = pack.next().map_err(|p| self.bad(p))? {
                    self.state.fields.push(match entry {
                        Entry::Bytes(bytes) => Box::from(bytes),
                        Entry::Int(int) => Box::from(decimal(int, &mut [0; 20])),
                    });
                }
                Ok(())
            }
            Blob::TemplateValues => self.template_values(data),
            Blob::StreamNode => self.stream_node(data),
        }
    }

    /// Whether the length of a packed list of tuples of `roles` (a lone member stands for member and score).
    fn tuple(roles: &[Role]) -> u64 {
        if roles == [Role::Member] { 2 } else { roles.len() as u64 }
    }

    fn ziplist(&mut self, data: &[u8], roles: &[Role]) -> Step<E> {
        let mut pack = Ziplist::new(data).map_err(|p| self.bad(p))?;
        let declared = pack.declared();
        self.tuples(declared, roles, move || pack.next())
    }

    fn listpack(&mut self, data: &[u8], roles: &[Role]) -> Step<E> {
        let mut pack = Listpack::new(data).map_err(|p| self.bad(p))?;
        let declared = pack.declared();
        self.tuples(declared, roles, move || pack.next())
    }

    fn tuples<'b>(
        &mut self,
        declared: Option<u64>,
        roles: &[Role],
        mut next: impl FnMut() -> Result<Option<Entry<'b>>, Problem>,
    ) -> Step<E> {
        const ODD: Problem = Problem::Corrupt("a packed collection that ends inside a pair");
        let size = Self::tuple(roles);
        let in_quicklist = matches!(self.state.shape, Some(Shape::ListQuicklist | Shape::ListQuicklist2));
        if let Some(declared) = declared.filter(|_| !in_quicklist) {
            if declared % size != 0 {
                return Err(self.bad(ODD));
            }
            self.emit(Item::Length(declared / size))?;
        }
        while let Some(first) = next().map_err(|p| self.bad(p))? {
            self.entry(roles[0], first)?;
            if size == 1 {
                continue;
            }
            let Some(second) = next().map_err(|p| self.bad(p))? else { return Err(self.bad(ODD)) };
            match (roles.get(1), second) {
                (Some(role), entry) => self.entry(*role, entry)?,
                (None, Entry::Int(int)) => self.score(int as f64)?,
                (None, Entry::Bytes(text)) => self.score_text(text)?,
            }
        }
        Ok(())
    }

    fn ttl_listpack(&mut self, data: &[u8]) -> Step<E> {
        const ODD: Problem = Problem::Corrupt("a packed hash that ends inside a field");
        let mut pack = Listpack::new(data).map_err(|p| self.bad(p))?;
        if let Some(declared) = pack.declared() {
            self.emit(Item::Length(declared / 3))?;
        }
        while let Some(field) = pack.next().map_err(|p| self.bad(p))? {
            let Some(value) = pack.next().map_err(|p| self.bad(p))? else { return Err(self.bad(ODD)) };
            let Some(Entry::Int(expires)) = pack.next().map_err(|p| self.bad(p))? else {
                return Err(self.bad(ODD));
            };
            self.entry(Role::Field, field)?;
            self.entry(Role::Value, value)?;
            if expires != 0 {
                self.emit(Item::FieldExpires(expires))?;
            }
        }
        Ok(())
    }

    /// A listpack whose first entry is the template's number (of no meaning where the fields are in the value).
    fn template_values(&mut self, data: &[u8]) -> Step<E> {
        let mut pack = Listpack::new(data).map_err(|p| self.bad(p))?;
        let Some(Entry::Int(id)) = pack.next().map_err(|p| self.bad(p))? else {
            return Err(self.bad(Problem::Corrupt("a template hash without its template's number")));
        };
        if self.state.shape == Some(Shape::TemplateListpackRef) {
            self.use_template(id.cast_unsigned())?;
        }
        self.emit(Item::Length(self.state.fields.len() as u64))?;
        while let Some(entry) = pack.next().map_err(|p| self.bad(p))? {
            self.next_field()?;
            self.entry(Role::Value, entry)?;
        }
        if self.state.field_at < self.state.fields.len() {
            return Err(self.bad(Problem::Corrupt("a template hash with fewer values than fields")));
        }
        Ok(())
    }

    fn use_template(&mut self, id: u64) -> Step<E> {
        let Some(fields) = self.state.templates.get(&id) else {
            return Err(self.bad(Problem::Corrupt("hash template that was not defined")));
        };
        self.state.fields.clone_from(fields);
        self.state.field_at = 0;
        Ok(())
    }

    /// The name of the next value of a template hash.
    fn next_field(&mut self) -> Step<E> {
        let at = self.state.field_at;
        let Some(field) = self.state.fields.get_mut(at).map(std::mem::take) else {
            return Err(self.bad(Problem::Corrupt("a template hash with more values than fields")));
        };
        self.state.field_at += 1;
        self.text(Role::Field, &field)
    }
}

impl<E, F> Sink for Items<'_, F>
where
    E: From<Error>,
    F: FnMut(Item<'_>) -> Result<(), E>,
{
    type Error = Fault<E>;

    fn number(&mut self, part: Part, value: u64) -> Step<E> {
        match part {
            Part::Container => self.state.container = value,
            Part::FieldTtl => self.state.ttl = value,
            Part::InsertIndex => self.emit(Item::InsertIndex(value))?,
            Part::Index => self.emit(Item::Index(value))?,
            Part::ModuleId => self.emit(Item::Module { id: value })?,
            Part::ModuleNumber => {}
            _ => self.stream_number(part, value)?,
        }
        Ok(())
    }

    fn fixed(&mut self, part: Part, bytes: &[u8]) -> Step<E> {
        let word = || {
            let mut word = [0; 8];
            let len = bytes.len().min(8);
            word[..len].copy_from_slice(&bytes[..len]);
            word
        };
        match part {
            Part::Score => self.score(f64::from_le_bytes(word())),
            Part::MinTtl => {
                self.state.min_ttl = u64::from_le_bytes(word());
                Ok(())
            }
            Part::FieldExpiry => match i64::from_le_bytes(word()) {
                -1 => Ok(()),
                at => self.emit(Item::FieldExpires(at)),
            },
            Part::ArrayInt => self.entry(Role::Element, Entry::Int(i64::from_le_bytes(word()))),
            Part::ArrayFloat => self.text(Role::Element, f64::from_le_bytes(word()).to_string().as_bytes()),
            Part::ModuleFloat | Part::ModuleDouble => Ok(()),
            _ => self.stream_fixed(part, bytes),
        }
    }

    fn text_double(&mut self, text: TextDouble<'_>) -> Step<E> {
        match text {
            TextDouble::Nan => self.score(f64::NAN),
            TextDouble::Infinity => self.score(f64::INFINITY),
            TextDouble::NegativeInfinity => self.score(f64::NEG_INFINITY),
            TextDouble::Text(text) => self.score_text(text),
        }
    }

    fn count(&mut self, part: Part, count: u64) -> Step<E> {
        match part {
            Part::Length if self.state.shape == Some(Shape::TemplateListpack) => Ok(()),
            Part::Length => self.emit(Item::Length(count)),
            _ => Ok(()),
        }
    }

    fn string(&mut self, part: Part, head: StrHead) -> Step<E> {
        let part = match (part, self.state.container) {
            (Part::Node, 1) => Part::Element,
            (Part::Node, _) => Part::Blob(Blob::ElementsListpack),
            (part, _) => part,
        };
        if part == Part::Value
            && matches!(self.state.shape, Some(Shape::TemplateArray | Shape::TemplateArrayRef))
        {
            self.next_field()?;
        }
        self.state.part = Some(part);
        self.state.whole.clear();
        let (total, lzf) = match head {
            StrHead::Raw(len) => (len, false),
            StrHead::Lzf { plain, .. } => (plain, true),
            StrHead::Int(int) => {
                let mut room = [0; 20];
                let text = decimal(i64::from(int), &mut room);
                self.state.lzf = false;
                self.state.total = text.len() as u64;
                return self.piece(part, text, true);
            }
        };
        let gathered = is_whole(part) || part == Part::Field && self.state.gathers_fields();
        if gathered && total > self.state.limit as u64 {
            let what = "a packed collection or a name";
            return Err(self.bad(Problem::TooLarge { what, size: total, limit: self.state.limit as u64 }));
        }
        self.state.total = total;
        self.state.lzf = lzf;
        if lzf {
            self.state.inflate.begin(total);
        }
        Ok(())
    }

    fn bytes(&mut self, data: &[u8], last: bool) -> Step<E> {
        let Some(part) = self.state.part else { return Ok(()) };
        if !self.state.lzf {
            return self.piece(part, data, last);
        }
        let mut inflate = std::mem::take(&mut self.state.inflate);
        let offset = self.state.offset;
        let bad = |problem| Fault::Own(Error::new(problem, offset).into());
        let result = inflate.push(data, last, bad, |plain, last| self.piece(part, plain, last));
        self.state.inflate = inflate;
        result
    }

    fn template(&mut self, id: u64) -> Step<E> {
        self.use_template(id)?;
        self.emit(Item::Length(self.state.fields.len() as u64))
    }
}

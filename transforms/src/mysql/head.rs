//! What a `CREATE` or `ALTER` statement is about: everything between the verb and the object's name.
//!
//! A clause is looked for here and nowhere else, so a `DEFINER=` in a body, a string or a comment is never seen.

use std::ops::Range;

use formats::mysql::session::next_plain;
use formats::mysql::token::{Cursor, Kind, Token};

use super::notes::shown;

/// Kinds of objects that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    View,
    Trigger,
    Event,
    Procedure,
    Function,
    Package,
    PackageBody,
    Table,
    Database,
    Tablespace,
    LogfileGroup,
    Sequence,
    Account,
    Server,
    Index,
    Other,
}

impl Object {
    /// For keys of counts, such as `definer-stripped-view`.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Event => "event",
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::Package => "package",
            Self::PackageBody => "package-body",
            Self::Table => "table",
            Self::Database => "database",
            Self::Tablespace => "tablespace",
            Self::LogfileGroup => "logfile-group",
            Self::Sequence => "sequence",
            Self::Account => "account",
            Self::Server => "server",
            Self::Index => "index",
            Self::Other => "other",
        }
    }

    /// For counts of what the dump creates.
    pub(super) fn created(self) -> &'static str {
        match self {
            Self::View => "create-view",
            Self::Trigger => "create-trigger",
            Self::Event => "create-event",
            Self::Procedure => "create-procedure",
            Self::Function => "create-function",
            Self::Package => "create-package",
            Self::PackageBody => "create-package-body",
            Self::Table => "create-table",
            Self::Database => "create-database",
            Self::Sequence => "create-sequence",
            Self::Account => "create-account",
            _ => "create-other",
        }
    }

    /// Whether it has a definer.
    pub(super) fn has_definer(self) -> bool {
        matches!(
            self,
            Self::View
                | Self::Trigger
                | Self::Event
                | Self::Procedure
                | Self::Function
                | Self::Package
                | Self::PackageBody
        )
    }
}

/// A `DEFINER=account` clause.
#[derive(Debug, Clone)]
pub(super) struct Definer {
    /// The clause.
    pub(super) clause: Range<usize>,
    /// The account in it.
    pub(super) account: Range<usize>,
    /// The account without quotes, as `user@host`; a role, `CURRENT_USER` and `CURRENT_ROLE` have no host.
    pub(super) name: Vec<u8>,
}

/// The head of a statement.
#[derive(Debug, Clone)]
pub(super) struct Head<'t> {
    pub(super) object: Object,
    pub(super) or_replace: bool,
    pub(super) aggregate: bool,
    /// mysqldump's stand-in for a view that comes later: in a version comment as a whole, without any clause.
    pub(super) stand_in: bool,
    pub(super) definer: Option<Definer>,
    /// A `DEFINER` whose account makes no sense.
    pub(super) odd_definer: bool,
    /// The word behind `SQL SECURITY`.
    pub(super) security: Option<Token>,
    /// The object keyword, the first of two.
    pub(super) keyword: Token,
    /// Schema without quotes, where the name has one.
    pub(super) schema: Option<Vec<u8>>,
    /// Name without quotes.
    pub(super) name: Vec<u8>,
    /// Behind the name.
    pub(super) rest: Cursor<'t>,
}

impl<'t> Head<'t> {
    /// Reads the head; the cursor is at the start of the statement. `None` if it is cut short.
    pub(super) fn read(mut cursor: Cursor<'t>) -> Option<Self> {
        let text = cursor.text();
        let versioned = cursor.peek().is_some_and(|token| matches!(token.kind, Kind::Open { .. }));
        let verb = next_plain(&mut cursor)?;
        let mut stand_in = versioned;
        let (mut or_replace, mut aggregate, mut odd_definer) = (false, false, false);
        let (mut definer, mut security) = (None, None);
        let (object, keyword) = loop {
            let token = next_plain(&mut cursor)?;
            if token.kind != Kind::Word {
                break (Object::Other, token);
            }
            let is = |keyword| token.is(text, keyword);
            if is("OR") {
                or_replace = next_plain(&mut cursor)?.is(text, "REPLACE");
            } else if is("ALGORITHM") {
                stand_in = false;
                cursor.accept_byte(b'=');
                next_plain(&mut cursor)?;
            } else if is("DEFINER") {
                // A second one makes no more sense than a broken one.
                definer = if definer.is_none() { account(&mut cursor, token) } else { None };
                if definer.is_none() {
                    odd_definer = true;
                    break (Object::Other, token);
                }
            } else if is("SQL") {
                next_plain(&mut cursor)?;
                security = Some(next_plain(&mut cursor)?);
            } else if is("AGGREGATE") {
                aggregate = true;
            } else if is("PACKAGE") {
                let body = cursor.accept("BODY").is_some();
                break (if body { Object::PackageBody } else { Object::Package }, token);
            } else if let Some(object) = object(&token, text) {
                if object == Object::LogfileGroup {
                    cursor.accept("GROUP");
                }
                break (object, token);
            } else if !token.is_any(
                text,
                &[
                    "TEMPORARY",
                    "UNIQUE",
                    "FULLTEXT",
                    "SPATIAL",
                    "VECTOR",
                    "UNDO",
                    "ONLINE",
                    "OFFLINE",
                    "IGNORE",
                ],
            ) {
                break (Object::Other, token);
            }
        };
        if verb.is(text, "CREATE") || object != Object::Other {
            // `IF [NOT] EXISTS`, which mysqldump wraps in a version comment for databases.
            loop {
                let mut ahead = cursor.clone();
                match next_plain(&mut ahead) {
                    Some(token) if token.is_any(text, &["IF", "NOT", "EXISTS"]) => cursor = ahead,
                    _ => break,
                }
            }
        }
        let (schema, name) = qualified_name(&mut cursor);
        stand_in &= object == Object::View && definer.is_none() && security.is_none();
        Some(Self {
            stand_in,
            object,
            or_replace,
            aggregate,
            definer,
            odd_definer,
            security,
            keyword,
            schema,
            name,
            rest: cursor,
        })
    }

    /// The object as the report names it.
    pub(super) fn label(&self) -> String {
        let name = shown(&self.name);
        match &self.schema {
            Some(schema) => format!("{}.{name}", shown(schema)),
            None => name,
        }
    }
}

/// Reads `name` or `schema.name`, without quotes; empty if there is none.
pub(super) fn qualified_name(cursor: &mut Cursor<'_>) -> (Option<Vec<u8>>, Vec<u8>) {
    let (text, mode) = (cursor.text(), cursor.mode());
    let mut ahead = cursor.clone();
    let Some(first) = next_plain(&mut ahead).filter(Token::is_name) else { return (None, Vec::new()) };
    *cursor = ahead;
    let first = first.value(text, mode);
    if cursor.accept_byte(b'.').is_some()
        && let Some(second) = cursor.accept_if(|token, _| token.is_name())
    {
        return (Some(first), second.value(text, mode));
    }
    (None, first)
}

fn object(token: &Token, text: &[u8]) -> Option<Object> {
    let known: [(&str, Object); 16] = [
        ("VIEW", Object::View),
        ("TRIGGER", Object::Trigger),
        ("EVENT", Object::Event),
        ("PROCEDURE", Object::Procedure),
        ("FUNCTION", Object::Function),
        ("TABLE", Object::Table),
        ("DATABASE", Object::Database),
        ("SCHEMA", Object::Database),
        ("TABLESPACE", Object::Tablespace),
        ("LOGFILE", Object::LogfileGroup),
        ("SEQUENCE", Object::Sequence),
        ("USER", Object::Account),
        ("ROLE", Object::Account),
        ("SERVER", Object::Server),
        ("INDEX", Object::Index),
        ("PACKAGE", Object::Package),
    ];
    known.iter().find(|(keyword, _)| token.is(text, keyword)).map(|(_, object)| *object)
}

/// Reads `= account` behind `DEFINER`. A version comment's bound inside it makes it odd.
fn account(cursor: &mut Cursor<'_>, definer: Token) -> Option<Definer> {
    let (text, mode) = (cursor.text(), cursor.mode());
    cursor.accept_byte(b'=')?;
    let user = cursor.accept_if(|token, _| token.is_name())?;
    let mut end = user.end;
    let mut name = user.value(text, mode);
    if user.is_any(text, &["CURRENT_USER", "CURRENT_ROLE"]) {
        let mut ahead = cursor.clone();
        if ahead.accept_byte(b'(').is_some()
            && let Some(close) = ahead.accept_byte(b')')
        {
            end = close.end;
            *cursor = ahead;
        }
    } else if cursor.accept_byte(b'@').is_some() {
        let first = cursor.accept_if(|token, _| token.is_name() || token.kind == Kind::Punct(b'%'))?;
        end = first.end;
        if matches!(first.kind, Kind::Quoted(_)) {
            name.push(b'@');
            name.extend(first.value(text, mode));
        } else {
            // `root@10.0.0.1`: one word to the server, several tokens here.
            while let Some(part) = cursor.accept_if(|token, text| {
                let joins = token.kind == Kind::Word || matches!(token.kind, Kind::Punct(b'.' | b'%' | b'-'));
                joins && token.start == end && !text[token.start..].starts_with(b"--")
            }) {
                end = part.end;
            }
            name.push(b'@');
            name.extend_from_slice(&text[first.start..end]);
        }
    }
    Some(Definer { clause: definer.start..end, account: user.start..end, name })
}

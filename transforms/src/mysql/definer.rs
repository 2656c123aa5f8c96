//! `DEFINER=` and `SQL SECURITY`, in every kind of object and every legal spelling.

use formats::mysql::Verb;
use pipeline::Severity;

use super::edit::Edits;
use super::head::{Head, Object};
use super::notes::Notes;
use super::routine::{Characteristics, characteristics};

/// What happens to the account that an object runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DefinerPolicy {
    /// The clause goes: whoever loads the dump becomes the definer. An object with `SQL SECURITY DEFINER`, which is
    /// the default, then runs with that account's privileges, which are often an administrator's.
    Strip,
    /// The clause stays.
    #[default]
    Keep,
    /// The clause goes, and views, routines and packages run with the privileges of whoever uses them. Triggers and
    /// events have no such clause and run as whoever loads the dump.
    Invoker,
    /// Every clause names this account instead. Objects without a clause get none.
    Set {
        /// User name.
        user: String,
        /// Host part; `%` for any.
        host: String,
    },
}

impl DefinerPolicy {
    /// As on the command line.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Strip => "strip".to_owned(),
            Self::Keep => "keep".to_owned(),
            Self::Invoker => "invoker".to_owned(),
            Self::Set { user, host } => format!("set={user}@{host}"),
        }
    }
}

/// Applies the policy to one `CREATE` or `ALTER`.
pub(super) fn apply(
    policy: &DefinerPolicy,
    verb: Verb,
    head: &Head<'_>,
    offset: u64,
    edits: &mut Edits,
    notes: &mut Notes,
) {
    if head.odd_definer && *policy != DefinerPolicy::Keep {
        notes.find(
            Severity::Blocker,
            "definer-not-understood",
            "",
            offset,
            "this DEFINER clause is not written as any server writes it and was left as it is",
        );
    }
    if !head.object.has_definer() || head.stand_in {
        return;
    }
    let slug = head.object.slug();
    let details = match head.object {
        Object::Procedure | Object::Function | Object::Package | Object::PackageBody
            if verb == Verb::Create =>
        {
            characteristics(head)
        }
        _ => None,
    };
    if verb == Verb::Create && runs_as_definer(head, details.as_ref()) {
        notes.count("security-definer-objects");
    }
    let text = head.rest.text();
    let Some(definer) = &head.definer else {
        if *policy == DefinerPolicy::Invoker {
            make_invoker(verb, head, details.as_ref(), None, edits, notes);
        }
        return;
    };
    match policy {
        DefinerPolicy::Keep => notes.count("definer-kept"),
        DefinerPolicy::Strip => {
            edits.remove(definer.clause.clone());
            notes.changed(&format!("definer-stripped-{slug}"));
        }
        DefinerPolicy::Invoker => {
            make_invoker(verb, head, details.as_ref(), Some(definer.clause.clone()), edits, notes);
            notes.changed(&format!("definer-stripped-{slug}"));
        }
        DefinerPolicy::Set { user, host } => {
            let account = format!("{}@{}", quoted(user), quoted(host)).into_bytes();
            if text[definer.account.start..definer.clause.end] != account[..] {
                edits.replace(definer.account.start..definer.clause.end, account);
                notes.changed(&format!("definer-set-{slug}"));
            }
        }
    }
}

/// Whether the object runs with its definer's privileges.
fn runs_as_definer(head: &Head<'_>, details: Option<&Characteristics>) -> bool {
    let text = head.rest.text();
    let security = match head.object {
        Object::View => head.security,
        Object::Procedure | Object::Function | Object::Package => {
            if details.is_some_and(|details| details.loadable) {
                return false;
            }
            details.and_then(|details| details.security)
        }
        // The package says it for its body.
        Object::PackageBody => return false,
        _ => return true,
    };
    security.is_none_or(|word| !word.is(text, "INVOKER"))
}

/// Takes the definer out and makes the object run with its user's privileges, where it can.
fn make_invoker(
    verb: Verb,
    head: &Head<'_>,
    details: Option<&Characteristics>,
    definer: Option<std::ops::Range<usize>>,
    edits: &mut Edits,
    notes: &mut Notes,
) {
    const CLAUSE: &str = "SQL SECURITY INVOKER";
    let text = head.rest.text();
    let slug = head.object.slug();
    let security = match head.object {
        Object::View => head.security,
        _ => details.and_then(|details| details.security),
    };
    let mut stands_in = false;
    if let Some(word) = security {
        if word.is(text, "DEFINER") {
            edits.replace(word.start..word.end, "INVOKER");
            notes.changed(&format!("security-invoker-{slug}"));
        }
    } else if head.object == Object::View {
        match &definer {
            Some(clause) => {
                edits.replace(clause.clone(), CLAUSE);
                stands_in = true;
            }
            None => edits.insert(head.keyword.start, format!("{CLAUSE} ")),
        }
        notes.changed(&format!("security-invoker-{slug}"));
    } else if let Some(details) = details
        && !details.loadable
        && verb == Verb::Create
        && head.object != Object::PackageBody
    {
        let next_is_blank = text.get(details.place).is_none_or(u8::is_ascii_whitespace);
        edits.insert(details.place, format!(" {CLAUSE}{}", if next_is_blank { "" } else { " " }));
        notes.changed(&format!("security-invoker-{slug}"));
    }
    if let Some(clause) = definer
        && !stands_in
    {
        edits.remove(clause);
    }
}

/// In backticks, which every SQL mode takes for a name.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

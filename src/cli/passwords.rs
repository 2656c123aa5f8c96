//! Where a database's password comes from, when the URL does not hold it: a file, the environment, or PostgreSQL's password file.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline::endpoint::{Address, DatabaseUrl, Engine, Secret};
use pipeline::{Error, Result};
use transforms::crypt::{Identities, Recipients};

use super::args::{CopyArgs, KeyArgs};

/// Completes `url`: the file of the flag wins over the URL, the URL over the environment, the environment over the password file.
pub(crate) fn complete(url: &mut DatabaseUrl, file: Option<&Path>) -> Result<()> {
    if let Some(file) = file {
        url.password = Some(first_line(file)?);
        return Ok(());
    }
    if url.password.is_some() {
        return Ok(());
    }
    let variable = match url.engine {
        Engine::Mysql => "MYSQL_PWD",
        Engine::Postgres => "PGPASSWORD",
        Engine::Redis => "REDISCLI_AUTH",
    };
    url.password = env::var(variable).ok().filter(|text| !text.is_empty()).map(Secret::new);
    if url.password.is_none() && url.engine == Engine::Postgres {
        url.password = from_pgpass(url);
    }
    Ok(())
}

/// The keys that an encrypted archive is read with.
pub(crate) fn identities(args: &KeyArgs) -> Result<Identities> {
    let passphrase = args.passphrase_file.as_deref().map(first_line).transpose()?;
    Identities::load(&args.identity, passphrase.as_ref())
}

/// Whom an archive is encrypted for, if it is.
pub(crate) fn recipients(args: &CopyArgs) -> Result<Option<Recipients>> {
    if let Some(file) = &args.encrypt_passphrase_file {
        return Recipients::passphrase(&first_line(file)?).map(Some);
    }
    if args.encrypt_to.is_empty() { Ok(None) } else { Recipients::parse(&args.encrypt_to).map(Some) }
}

/// The first line of a password file.
fn first_line(path: &Path) -> Result<Secret> {
    let text = fs::read_to_string(path).map_err(|e| {
        Error::usage("cannot read the password file")
            .with("file", path.display())
            .hint("it is a file whose first line is the password")
            .caused_by(e)
    })?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

/// `PGPASSFILE`, or `~/.pgpass`; like libpq, a file that others may read is not used.
fn from_pgpass(url: &DatabaseUrl) -> Option<Secret> {
    let path = match env::var_os("PGPASSFILE") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME")?).join(".pgpass"),
    };
    let mode = fs::metadata(&path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        return None;
    }
    let host = match &url.address {
        Address::Tcp(host) => host.clone(),
        Address::Socket(_) => "localhost".to_owned(),
    };
    let port = url.port().to_string();
    let database = url.databases.first().map_or("postgres", String::as_str);
    let wanted = [host.as_str(), &port, database, url.user.as_deref().unwrap_or_default()];
    look_up(&fs::read_to_string(&path).ok()?, wanted)
}

/// The first line `host:port:database:user:password` whose fields fit; `*` fits all, `\:` and `\\` are a colon and a backslash.
fn look_up(text: &str, wanted: [&str; 4]) -> Option<Secret> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let fits = [host, port, database, user]
            .iter()
            .zip(wanted)
            .all(|(field, value)| *field == "*" || *field == value);
        fits.then(|| Secret::new(password.as_str()))
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '\\' => fields[last].extend(chars.next()),
            ':' if last < 4 => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgpass_lines() {
        let text = "# comment\nother:5432:*:joe:no\n*:5432:my\\:db:joe:pa\\\\ss:word\n*:*:*:*:last\n";
        let find = |wanted| look_up(text, wanted).map(|secret| secret.expose().to_owned());
        assert_eq!(find(["h", "5432", "my:db", "joe"]).as_deref(), Some("pa\\ss:word"));
        assert_eq!(find(["h", "1", "x", "y"]).as_deref(), Some("last"));
        assert_eq!(look_up("a:b:c:d:e\n", ["x", "b", "c", "d"]).map(|_| ()), None);
    }
}

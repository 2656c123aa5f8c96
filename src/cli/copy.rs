//! `dbferry copy`: from what was typed to a job, and its summary.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{
    Algorithm, Context, Delivery, Destination, Error, Format, Job, Result, Settings, Source, Steps,
    Transform, manifest, prepare,
};
use sinks::{
    Conflict, FileDestination, FileOptions, MysqlDestination, MysqlLoad, Occupied, PostgresDestination,
    PostgresLoad, PvcDestination, RedisDestination, RedisLoad, S3Destination, S3Options, StdoutDestination,
};
use sources::RedisOptions;
use stores::s3::S3Url;
use transforms::codec::{Codec, Compression, Decompress};
use transforms::crypt::{Decrypt, Encrypt, Identities, Recipients};
use transforms::interpret::{Interpret, Interpretation};
use transforms::mysql::{self, DefinerPolicy};
use transforms::postgres;

use super::args::{ConflictArg, CopyArgs, FormatArg, LayoutArg, PgFormatArg, ProfileArg, SourceArgs};
use super::endpoint::{From, To};
use super::names::Names;
use super::{elasticache, engine, passwords, preflight, redis, render, size};

/// Connections that load a MySQL database, unless the user says otherwise: two keep a small server busy, and four hide their waits.
const LOADING: usize = 4;

/// Runs the command; answers whether a comparison that was asked for found both sides the same.
pub(crate) async fn run(mut args: CopyArgs, cx: &Context) -> Result<bool> {
    let (from, destinations) = split(&args)?;
    if directory(&args) {
        args.source.stored = stored(&args, &from)?;
    }
    if let [first, rest @ ..] = destinations.as_slice()
        && rest.contains(first)
    {
        return Err(
            Error::usage(format!("`{first}` is given twice as DEST")).hint("give each destination once")
        );
    }
    let loads = destinations.iter().any(|typed| matches!(To::parse(typed), Ok(To::Database(_))));
    for (given, flag) in [(args.resume, "--resume"), (args.on_conflict != ConflictArg::Fail, "--on-conflict")]
    {
        if given && !loads {
            return Err(Error::usage(format!("`{flag}` belongs to a database as DEST"))
                .hint("leave it out, or give the URL of a database"));
        }
    }
    for optional in &args.keep_going {
        if !destinations.contains(optional) {
            return Err(Error::usage(format!("`--keep-going {optional}` names no DEST of this run"))
                .hint("write it exactly as the DEST is written"));
        }
    }
    let targets = destinations.iter().map(|typed| To::parse(typed)).collect::<Result<Vec<_>>>()?;
    let pairs = pairs(&args, &from, &targets)?;
    let compared = if pairs.is_empty() { Vec::new() } else { args.redis.compared(&from)? };
    let looked_at = if args.no_check { Vec::new() } else { both_live(&args, &from, &targets)? };
    let job = job(&args, from, &destinations, cx).await?;
    let prepared = prepare(job, cx).await?;
    preflight::look(&args, &looked_at, cx).await?;
    if args.dry_run {
        return render::plan(&prepared.plan, args.output.json).map(|()| true);
    }
    let report = prepared.run(cx).await?;
    let mut document = render::report_json(&report);
    let seed = elasticache::seed(&args, &report);
    if let Some(seed) = &seed {
        document["elasticache"] = seed.json();
    }
    if args.output.talks() {
        render::report(&report);
        if let Some(seed) = &seed {
            seed.lines().iter().for_each(|line| render::say(line));
        }
        if pairs.is_empty() && targets.iter().any(|target| matches!(target, To::Database(_))) {
            render::say(
                "content was not compared: `--verify compare`, or `dbferry compare SOURCE DEST`, does it",
            );
        }
    }
    let mut equal = true;
    for (source, dest) in &pairs {
        let options = audit::Options { jobs: LOADING, show: 5, databases: compared.clone() };
        let comparison = audit::compare(source, dest, &options, cx).await?;
        equal &= comparison.equal;
        document["comparison"] = serde_json::json!(comparison);
        if !args.output.json {
            super::compare::tell(&comparison, &args.output);
        }
    }
    if args.output.json {
        if !equal {
            document["exit_code"] = serde_json::json!(6);
        }
        render::print(&format!("{document}\n"))?;
    }
    Ok(equal)
}

/// Parts that are carried at once; of a directory one for each reader.
fn lanes(args: &CopyArgs) -> usize {
    if directory(args) { args.source.readers.max(1) } else { args.jobs.unwrap_or(1).max(1) }
}

/// How the files of a directory are stored, which a PostgreSQL restore is told in a file among them.
fn stored(args: &CopyArgs, from: &From) -> Result<sources::PartsStored> {
    let codec = match &args.compress {
        Some(text) => Compression::from_str(text)?.codec,
        None => Codec::Zstd,
    };
    let encrypted = !args.encrypt_to.is_empty() || args.encrypt_passphrase_file.is_some();
    if encrypted && matches!(from, From::Database(url) if url.engine == Engine::Postgres) {
        return Err(Error::usage("`--layout directory` of a PostgreSQL server cannot be encrypted: its `restore.sql` lets psql read the files")
            .hint("leave `--layout directory` out: one stream can be encrypted"));
    }
    let reader = match codec {
        Codec::None => None,
        Codec::Gzip => Some("gzip -dc"),
        Codec::Zstd => Some("zstd -dc"),
        Codec::Lz4 => Some("lz4 -dc"),
    };
    Ok(sources::PartsStored { ending: codec.extension(), reader })
}

/// Whether the archive is a directory of many files.
fn directory(args: &CopyArgs) -> bool {
    args.source.layout == LayoutArg::Directory
}

/// The job that the arguments mean, from this source to these destinations.
pub(crate) async fn job(args: &CopyArgs, from: From, destinations: &[String], cx: &Context) -> Result<Job> {
    let memory = size::parse("--memory", &args.memory)?;
    let digests =
        args.digest.iter().map(|name| Algorithm::from_str(name.trim())).collect::<Result<Vec<_>>>()?;
    let (db, host) = from.names();
    let names = Names::new(Timestamp::now(), db, host);
    let targets = destinations.iter().map(|typed| To::parse(typed)).collect::<Result<Vec<_>>>()?;
    let mut wanted = interpretation(args, &from, &targets, memory)?;
    restorable(&mut wanted, &from, &targets).await;
    if wanted.format == Some(Format::Opaque)
        && let Some((_, flag)) = &wanted.only
    {
        return Err(Error::usage(format!("`{flag}` and `--format opaque` contradict each other"))
            .hint("leave one of them out"));
    }
    let mut deliveries = Vec::new();
    for typed in destinations {
        let Some(shards) = args.redis.shards else {
            deliveries.push(delivery(typed, args, &from, &names)?);
            continue;
        };
        for (number, share) in (1..).zip(redis::shares(&wanted.rdb, shards)) {
            let mut delivery = delivery(typed, args, &from, &names.of_shard(number, shards))?;
            delivery.share = Some(share);
            deliveries.push(delivery);
        }
    }
    elasticache::look(args, &targets, cx).await?;
    let replica = RedisOptions {
        may_stall: targets.iter().any(may_stall),
        databases: wanted.rdb.databases.iter().copied().collect(),
        plain: Arc::clone(&wanted.rdb.plain),
        ..RedisOptions::default()
    };
    let identities = passwords::identities(&args.key)?;
    if args.redis.shards.is_some() {
        // Every share does it for its own slots; what comes before the fork is checked and no more.
        wanted.rdb = redis::unfiltered();
    }
    Ok(Job {
        id: names.id().to_owned(),
        steps: steps(&from, wanted, identities, memory),
        settings: Settings {
            memory,
            jobs: lanes(args),
            digests,
            reader: reader(&from, &args.source, memory)?,
        },
        source: source(from, &args.source, args.format, args.profile, replica, memory)?,
        deliveries,
    })
}

/// The databases that `--verify compare` holds against each other.
fn pairs(args: &CopyArgs, from: &From, targets: &[To]) -> Result<Vec<(DatabaseUrl, DatabaseUrl)>> {
    if args.verify.is_none() {
        return Ok(Vec::new());
    }
    let pairs = both_live(args, from, targets)?;
    if engine::chooses(&args.source)? {
        return Err(Error::usage("`--verify compare` looks at whole databases, and a part was asked for")
            .hint("leave it out"));
    }
    if pairs.is_empty() {
        return Err(Error::usage("`--verify compare` wants databases as SOURCE and DEST")
            .hint("`dbferry verify ARCHIVE` checks an archive"));
    }
    Ok(pairs)
}

/// Source and target wherever both are databases.
fn both_live(args: &CopyArgs, from: &From, targets: &[To]) -> Result<Vec<(DatabaseUrl, DatabaseUrl)>> {
    let mut pairs = Vec::new();
    for target in targets {
        if let (From::Database(source), To::Database(dest)) = (from, target) {
            let (mut source, mut dest) = ((**source).clone(), (**dest).clone());
            passwords::complete(&mut source, args.source.source_password_file.as_deref())?;
            passwords::complete(&mut dest, args.dest_password_file.as_deref())?;
            pairs.push((source, dest));
        }
    }
    Ok(pairs)
}

/// SOURCE and DESTs; with `-- COMMAND`, every endpoint is a DEST.
fn split(args: &CopyArgs) -> Result<(From, Vec<String>)> {
    let usage = |what: &str| {
        Error::usage(what.to_owned())
            .hint("dbferry copy SOURCE DEST [DEST…], or dbferry copy DEST [DEST…] -- COMMAND ARGS…")
    };
    if !args.command.is_empty() {
        return Ok((From::Argv(args.command.clone()), args.endpoints.clone()));
    }
    match args.endpoints.as_slice() {
        [] => Err(usage("SOURCE and DEST are missing")),
        [_] => Err(usage("DEST is missing")),
        [source, destinations @ ..] => Ok((From::parse(source)?, destinations.to_vec())),
    }
}

/// The `pipeline::Format` of `--format`.
pub(crate) fn format(arg: FormatArg) -> Format {
    match arg {
        FormatArg::Mysql => Format::Mysql,
        FormatArg::Postgres => Format::Postgres,
        FormatArg::PostgresCustom => Format::PostgresCustom,
        FormatArg::Tar => Format::Tar,
        FormatArg::Rdb | FormatArg::Resp | FormatArg::Json => Format::Rdb,
        FormatArg::Opaque => Format::Opaque,
    }
}

fn interpretation(args: &CopyArgs, from: &From, targets: &[To], memory: usize) -> Result<Interpretation> {
    const MYSQL: &[Format] = &[Format::Mysql];
    const POSTGRES: &[Format] = &[Format::Postgres];
    const RDB: &[Format] = &[Format::Rdb];
    let (mysql_profile, postgres_profile) = match args.profile {
        None | Some(ProfileArg::Elasticache) => (None, None),
        Some(ProfileArg::RdsMysql) => (Some(mysql::Profile::RdsMysql), None),
        Some(ProfileArg::AuroraMysql) => (Some(mysql::Profile::AuroraMysql), None),
        Some(ProfileArg::RdsPostgres) => (None, Some(postgres::Profile::RdsPostgres)),
        Some(ProfileArg::AuroraPostgres) => (None, Some(postgres::Profile::AuroraPostgres)),
    };
    let mut only = None;
    if let Some(profile) = mysql_profile {
        only = Some((MYSQL, format!("--for {}", profile.name())));
    }
    if let Some(profile) = postgres_profile {
        only = Some((POSTGRES, format!("--for {}", profile.name())));
    }
    if args.profile == Some(ProfileArg::Elasticache) {
        only = Some((RDB, "--for elasticache".to_owned()));
    }
    if args.redact_secrets {
        if let Some((formats, other)) = &only
            && *formats != POSTGRES
        {
            return Err(Error::usage(format!(
                "`--redact-secrets` belongs to PostgreSQL, `{other}` does not"
            ))
            .hint("leave one of them out"));
        }
        only = Some((POSTGRES, "--redact-secrets".to_owned()));
    }
    if let Some(flag) = args.redis.flag() {
        if let Some((formats, other)) = &only
            && *formats != RDB
        {
            return Err(Error::usage(format!("`{flag}` belongs to Redis, `{other}` does not"))
                .hint("leave one of them out"));
        }
        only = Some((RDB, flag.to_owned()));
    }
    let definer = match &args.definer {
        Some(policy) => {
            if let Some((formats, flag)) = &only
                && *formats != MYSQL
            {
                return Err(Error::usage(format!("`--definer` belongs to MySQL, `{flag}` does not"))
                    .hint("leave one of them out"));
            }
            only.get_or_insert((MYSQL, "--definer".to_owned()));
            definer_policy(policy)?
        }
        None if mysql_profile.is_some() => DefinerPolicy::Strip,
        None => DefinerPolicy::Keep,
    };
    for target in targets {
        let To::Database(url) = target else { continue };
        let wants = match url.engine {
            Engine::Postgres => POSTGRES,
            Engine::Mysql => MYSQL,
            Engine::Redis => RDB,
        };
        if url.engine == Engine::Redis && matches!(args.format, Some(FormatArg::Resp | FormatArg::Json)) {
            return Err(Error::usage(
                "`--format resp` and `--format json` make text, and a server takes a snapshot",
            )
            .hint("leave `--format` out"));
        }
        match &only {
            Some((formats, flag)) if *formats != wants => {
                return Err(Error::usage(format!("`{flag}` does not fit the destination {url}")).hint(
                    "--for rds-mysql and --definer belong to MySQL, --for rds-postgres to PostgreSQL, --for elasticache to Redis",
                ));
            }
            Some(_) => {}
            None => only = Some((wants, url.to_string())),
        }
        if let From::Database(source) = from
            && !wants.contains(&live_format(source, args.source.pg_format))
        {
            return Err(Error::usage(format!("`{source}` gives nothing that {url} could load")).hint(
                "a database is loaded from one of its own family; from PostgreSQL without --pg-format custom",
            ));
        }
    }
    if let (From::Database(url), Some((formats, flag))) = (from, &only) {
        // A custom-format dump of a live server is made fit by pg_dump's own switches, not by rewriting.
        let by_switches =
            postgres_profile.is_some() && url.engine == Engine::Postgres && !args.redact_secrets;
        if by_switches {
            only = None;
        } else if !formats.contains(&live_format(url, args.source.pg_format)) {
            return Err(Error::usage(format!("`{flag}` does not fit the source {url}"))
                .hint("--for rds-mysql and --definer belong to MySQL, --for rds-postgres to PostgreSQL, --for elasticache to Redis"));
        }
    }
    Ok(Interpretation {
        format: args.format.map(format).or_else(|| redis::carried(from)),
        mysql: mysql::Options { definer, profile: mysql_profile, require_trailer: !args.no_trailer },
        postgres: postgres::RewriteOptions {
            profile: postgres_profile,
            redact_secrets: args.redact_secrets,
            require_trailer: !args.no_trailer,
            ..postgres::RewriteOptions::default()
        },
        rdb: args.redis.options(from, args.profile, args.format, &args.source, memory)?,
        only,
        inspection: None,
        pg_restore: None,
    })
}

/// An archive of `pg_dump` in custom format becomes a plain dump on its way into a database, and nowhere else.
async fn restorable(wanted: &mut Interpretation, from: &From, targets: &[To]) {
    const BOTH: &[Format] = &[Format::Postgres, Format::PostgresCustom];
    let database = |to: &To| matches!(to, To::Database(url) if url.engine == Engine::Postgres);
    if matches!(from, From::Database(_)) || !targets.iter().all(database) {
        return;
    }
    wanted.pg_restore = sources::pg_restore().await;
    if wanted.pg_restore.is_some()
        && let Some((formats, _)) = &mut wanted.only
    {
        *formats = BOTH;
    }
}

/// Reads `strip`, `keep`, `invoker` or `set=USER@HOST`. A user may hold an `@`; a host may not.
fn definer_policy(text: &str) -> Result<DefinerPolicy> {
    match text {
        "strip" => return Ok(DefinerPolicy::Strip),
        "keep" => return Ok(DefinerPolicy::Keep),
        "invoker" => return Ok(DefinerPolicy::Invoker),
        _ => {}
    }
    match text.strip_prefix("set=").and_then(|account| account.rsplit_once('@')) {
        Some((user, host)) if !user.is_empty() && !host.is_empty() => {
            Ok(DefinerPolicy::Set { user: user.to_owned(), host: host.to_owned() })
        }
        _ => Err(Error::usage(format!("`{text}` is no definer policy"))
            .hint("write --definer strip, keep, invoker or set=USER@HOST, such as set=app@%")),
    }
}

fn live_format(url: &DatabaseUrl, pg: PgFormatArg) -> Format {
    match (url.engine, pg) {
        (Engine::Postgres, PgFormatArg::Custom) => Format::PostgresCustom,
        (Engine::Postgres, PgFormatArg::Plain) => Format::Postgres,
        (Engine::Redis, _) => Format::Rdb,
        _ => Format::Mysql,
    }
}

/// The steps before the fork. A live server sends no compressed stream; anything else may.
pub(crate) fn steps(from: &From, wanted: Interpretation, identities: Identities, memory: usize) -> Steps {
    let may_be_compressed = !matches!(from, From::Database(_));
    Arc::new(move |format| {
        let wanted = Interpretation { format: wanted.format.or(format), ..wanted.clone() };
        if wanted.format == Some(Format::Opaque) {
            return Ok(Vec::new());
        }
        let mut steps: Vec<Box<dyn Transform>> = Vec::new();
        if may_be_compressed {
            steps.push(Box::new(Decrypt::detect(identities.clone())));
            steps.push(Box::new(Decompress::detect().within(memory)));
        }
        steps.push(Box::new(Interpret::new(wanted)));
        Ok(steps)
    })
}

/// What the reader of this source may hold. Ranges of an object are read at once, each into a buffer.
pub(crate) fn reader(from: &From, args: &SourceArgs, memory: usize) -> Result<usize> {
    Ok(match from {
        From::S3(_) => object_reader(memory),
        From::Database(url) if url.engine == Engine::Redis => sources::REDIS_READER_MEMORY,
        _ => engine::memory(from, args)?.unwrap_or(0).max(Settings::default().reader),
    })
}

/// What the reader of an object may hold: an eighth of the budget keeps some ranges of it in flight.
pub(crate) fn object_reader(memory: usize) -> usize {
    (memory / 8).max(Settings::default().reader)
}

/// The source that was meant.
pub(crate) fn source(
    from: From,
    args: &SourceArgs,
    format_arg: Option<FormatArg>,
    profile: Option<ProfileArg>,
    replica: RedisOptions,
    memory: usize,
) -> Result<Box<dyn Source>> {
    let told = format_arg.map(format);
    engine::check(&from, args)?;
    Ok(match from {
        From::Database(mut url) => {
            passwords::complete(&mut url, args.source_password_file.as_deref())?;
            match url.engine {
                Engine::Postgres => postgres_source(*url, args, profile)?,
                Engine::Mysql => engine::mysql_source(*url, args)?,
                Engine::Redis => Box::new(redis::source(*url, args, replica)),
            }
        }
        From::Path(path) => sources::path_source(path, told),
        From::S3(url) => {
            let held = object_reader(memory);
            Box::new(sources::S3Source::new(*url, held).with_format(told))
        }
        From::Stdin => Box::new(sources::FileSource::stdin().with_format(told)),
        From::Shell(line) => {
            Box::new(sources::CommandSource::shell(line)?.with_format(told).allow_empty(args.allow_empty))
        }
        From::Argv(argv) => {
            Box::new(sources::CommandSource::argv(argv)?.with_format(told).allow_empty(args.allow_empty))
        }
    })
}

fn postgres_source(
    url: DatabaseUrl,
    args: &SourceArgs,
    profile: Option<ProfileArg>,
) -> Result<Box<dyn Source>> {
    // For a live source pg_dump's own switches know every object; what they leave is rewritten as text.
    const SWITCHES: &[&str] = &[
        "--no-owner",
        "--no-privileges",
        "--no-tablespaces",
        "--no-publications",
        "--no-subscriptions",
        "--no-security-labels",
        "--no-table-access-method",
    ];
    let custom = args.pg_format == PgFormatArg::Custom;
    let mut switches = Vec::new();
    if matches!(profile, Some(ProfileArg::RdsPostgres | ProfileArg::AuroraPostgres)) {
        switches.extend(SWITCHES.iter().map(|switch| (*switch).to_owned()));
        if custom {
            // The comment on an extension, which a managed server refuses, can be left out only with all others.
            switches.push("--no-comments".to_owned());
        }
    }
    engine::postgres_source(url, args, switches)
}

/// The ending of what is encrypted.
pub(crate) const ENCRYPTED: &str = ".age";

fn delivery(typed: &str, args: &CopyArgs, from: &From, names: &Names) -> Result<Delivery> {
    let to = To::parse(typed)?;
    if directory(args) && matches!(to, To::Database(_) | To::Stdout) {
        return Err(Error::usage(format!(
            "`--layout directory` does not fit `{typed}`, which takes one stream"
        ))
        .hint("leave it out"));
    }
    let recipients = match to {
        To::Database(_) => None,
        _ => passwords::recipients(args)?,
    };
    let reserve = args.reserve.as_deref().map(|text| size::parse("--reserve", text)).transpose()?;
    let (destination, name): (Box<dyn Destination>, String) = match to {
        To::Stdout => {
            names_shards("-", false, args)?;
            if args.output.json {
                return Err(Error::usage("`--json` and the destination `-` both want standard output")
                    .hint("write the archive to a file, or leave `--json` out"));
            }
            (Box::new(StdoutDestination::new()?), String::new())
        }
        To::Database(mut url) => {
            passwords::complete(&mut url, args.dest_password_file.as_deref())?;
            if args.compress.is_some() {
                return Err(Error::usage("`--compress` belongs to an archive, and a database is none"));
            }
            (loader(*url, args, from)?, String::new())
        }
        To::Path(template) => {
            if reserve.is_some() {
                return Err(Error::usage("`--reserve` belongs to a pvc:// destination")
                    .hint("write the destination as pvc:///mount/path"));
            }
            let path = file_name(&template, args, from, names)?;
            (Box::new(FileDestination::new(&path, file_options(args, names))?), path)
        }
        To::Volume(template) => {
            let path = file_name(&template, args, from, names)?;
            let reserve = reserve.map(|bytes| bytes as u64);
            (Box::new(PvcDestination::new(&path, file_options(args, names), reserve)?), path)
        }
        To::S3(url) => {
            if reserve.is_some() {
                return Err(Error::usage("`--reserve` belongs to a pvc:// destination")
                    .hint("write the destination as pvc:///mount/path"));
            }
            let key =
                archive_name(&url.key, url.key.is_empty() || url.key.ends_with('/'), args, from, names)?;
            (Box::new(s3_destination(*url, &key, args, names)?), key)
        }
    };
    let name = match name.strip_suffix(ENCRYPTED) {
        Some(inner) if recipients.is_some() => inner.to_owned(),
        None if recipients.is_some() && !name.is_empty() && !directory(args) => {
            return Err(Error::usage(format!(
                "`{typed}` is to be encrypted, and does not end in {ENCRYPTED}"
            ))
            .hint("let the name end like .sql.zst.age"));
        }
        Some(_) if args.format != Some(FormatArg::Opaque) => {
            return Err(Error::usage(format!(
                "`{typed}` ends in {ENCRYPTED}, and nobody is named to encrypt for"
            ))
            .hint("--encrypt-to RECIPIENT encrypts; --format opaque carries what is encrypted already"));
        }
        _ => name,
    };
    let mut compression = compression(args, &name)?;
    if directory(args) {
        // One thread for each part, as many parts as readers.
        compression = compression.with_threads(args.threads.unwrap_or(1));
    }
    if args.profile == Some(ProfileArg::Elasticache) {
        elasticache::fits(typed, &name, &compression, recipients.is_some())?;
    }
    // Learns of a bad level now, not when the first part begins.
    compression.effective_level()?;
    let sealed = recipients.clone();
    let bare: Steps = Arc::new(move |_| {
        Ok(sealed.iter().map(|sealed| Box::new(Encrypt::new(sealed.clone())) as Box<dyn Transform>).collect())
    });
    Ok(Delivery {
        destination,
        share: None,
        bare: (bare, if recipients.is_some() { ENCRYPTED.to_owned() } else { String::new() }),
        compression: compression.codec.name().to_owned(),
        ending: format!(
            "{}{}",
            compression.codec.extension(),
            if recipients.is_some() { ENCRYPTED } else { "" }
        ),
        tail: tail(compression, recipients),
        optional: args.keep_going.iter().any(|optional| optional == typed),
    })
}

/// The steps behind the fork of an archive.
pub(crate) fn tail(compression: Compression, recipients: Option<Recipients>) -> Steps {
    Arc::new(move |_| {
        let mut tail: Vec<Box<dyn Transform>> = compression.encoder()?.into_iter().collect();
        if let Some(recipients) = &recipients {
            tail.push(Box::new(Encrypt::new(recipients.clone())));
        }
        Ok(tail)
    })
}

/// A database as the destination.
fn loader(url: DatabaseUrl, args: &CopyArgs, from: &From) -> Result<Box<dyn Destination>> {
    let occupied = match (args.overwrite, args.into_existing, args.resume) {
        (true, ..) => Occupied::Replace,
        (_, true, _) => Occupied::Join,
        (.., true) => Occupied::Resume,
        _ => Occupied::Refuse,
    };
    if args.on_conflict != ConflictArg::Fail && url.engine != Engine::Redis {
        return Err(Error::usage("`--on-conflict` belongs to a Redis server as DEST").hint("leave it out"));
    }
    if args.resume && url.engine != Engine::Postgres && !matches!(from, From::Path(_) | From::S3(_)) {
        return Err(Error::usage("`--resume` wants the archive that the load began with as SOURCE")
            .hint("a live source gives other bytes the second time: start over with `--overwrite`"));
    }
    // Three times this is what a loader takes.
    let memory = size::parse("--memory", &args.memory)?;
    let room = memory / 10;
    let jobs = args.jobs.unwrap_or(LOADING).max(1);
    Ok(match url.engine {
        // Several connections are no transaction: only who asks for them gets them.
        Engine::Postgres => {
            let jobs = args.jobs.unwrap_or(1).max(1);
            let room = memory / 16;
            Box::new(PostgresDestination::new(url, PostgresLoad { occupied, jobs, room })?)
        }
        Engine::Mysql => Box::new(MysqlDestination::new(url, MysqlLoad { occupied, jobs, room })?),
        Engine::Redis => {
            let databases = args.redis.written(from)?;
            if !url.databases.is_empty()
                && databases.as_ref().is_none_or(|written| {
                    written.iter().map(ToString::to_string).ne(url.databases.iter().cloned())
                })
            {
                return Err(Error::usage(format!("`{url}` names a database, and others would be written"))
                    .hint("choose it with --redis-db N, or --redis-db N --redis-map N=M"));
            }
            let conflict = match args.on_conflict {
                ConflictArg::Fail => Conflict::Fail,
                ConflictArg::Replace => Conflict::Replace,
                ConflictArg::Skip => Conflict::Skip,
            };
            Box::new(RedisDestination::new(url, RedisLoad { occupied, conflict, jobs, room, databases })?)
        }
    })
}

/// True for a destination behind which somebody else sets the pace: the reader of a pipe, a store behind a network.
fn may_stall(to: &To) -> bool {
    !matches!(to, To::Path(_) | To::Volume(_))
}

/// The process itself, and what the SDK adds to it: code, connections, their buffers.
const S3_BESIDE: usize = 56 << 20;

fn s3_destination(mut url: S3Url, key: &str, args: &CopyArgs, names: &Names) -> Result<S3Destination> {
    key.clone_into(&mut url.key);
    if args.redis.grant_elasticache {
        elasticache::grant(&mut url, args.redis.elasticache_region.as_deref())?;
    }
    if let Some(kind) = &args.s3_checksum {
        url.checksum = kind.parse()?;
    }
    let memory = size::parse("--memory", &args.memory)?;
    let stores = args.endpoints.iter().filter(|typed| matches!(To::parse(typed), Ok(To::S3(_)))).count();
    let sharers = stores * usize::from(args.redis.shards.unwrap_or(1));
    // Three eighths of what is left beside the process and the SDK, in parts that are filled and in flight.
    let buffer = memory.saturating_sub(S3_BESIDE) / 8 * 3 / sharers.max(1) / lanes(args);
    let options = S3Options {
        overwrite: args.overwrite,
        read_back: args.read_back,
        no_verify: args.no_verify,
        buffer,
        ..S3Options::new(names.id())
    };
    S3Destination::new(url, options)
}

fn file_options(args: &CopyArgs, names: &Names) -> FileOptions {
    FileOptions { overwrite: args.overwrite, read_back: args.read_back, ..FileOptions::new(names.id()) }
}

/// What `--compress` asks for, else what the name's ending says. The two must not contradict each other.
pub(crate) fn compression(args: &CopyArgs, name: &str) -> Result<Compression> {
    // The name of a directory says nothing of the files in it.
    let by_name =
        if directory(args) { Compression::new(Codec::None) } else { Compression::of_file_name(name) };
    let mut compression = match &args.compress {
        None if directory(args) && by_name.codec == Codec::None => Compression::new(Codec::Zstd),
        None => by_name,
        Some(text) => {
            let asked = Compression::from_str(text)?;
            if by_name.codec != Codec::None && asked.codec != by_name.codec {
                return Err(Error::usage(format!(
                    "`{name}` ends like {}, but `--compress {text}` was asked for",
                    by_name.codec.name()
                ))
                .hint("change the ending, or leave `--compress` out"));
            }
            asked
        }
    };
    if let Some(threads) = args.threads {
        compression = compression.with_threads(threads);
    }
    Ok(compression)
}

/// Files of a snapshot that is shared out have names of their own.
fn names_shards(template: &str, folder: bool, args: &CopyArgs) -> Result<()> {
    if args.redis.shards.is_some() && !folder && !template.contains("{shard}") {
        return Err(Error::usage(format!("`--shards` writes several files, and `{template}` names one"))
            .hint("put {shard} into the name, such as seed-{shard}.rdb"));
    }
    Ok(())
}

/// The archive's path: placeholders filled in, and a name found when the user named only a folder.
fn file_name(template: &str, args: &CopyArgs, from: &From, names: &Names) -> Result<String> {
    let path = names.fill(template)?;
    let place = Path::new(&path);
    // An archive that is a directory is what is to be replaced, and no folder to put one into.
    let archive = directory(args) && place.join(manifest::IN_DIRECTORY).is_file();
    let folder = path.ends_with('/') || (place.is_dir() && !archive);
    archive_name(template, folder, args, from, names)
}

/// The name of an archive; in a folder it gets one of its own.
fn archive_name(template: &str, folder: bool, args: &CopyArgs, from: &From, names: &Names) -> Result<String> {
    names_shards(template, folder, args)?;
    let path = names.fill(template)?;
    if !folder {
        return Ok(path);
    }
    let is_redis = matches!(from, From::Database(url) if url.engine == Engine::Redis);
    let codec = match &args.compress {
        Some(text) => Compression::from_str(text)?.codec,
        // A snapshot is loaded as it is, and compressed by its server as a rule.
        None if is_redis && !matches!(args.format, Some(FormatArg::Resp | FormatArg::Json)) => Codec::None,
        None => Codec::Zstd,
    };
    let ending = match from {
        From::Database(_) if is_redis => {
            let form = match args.format {
                Some(FormatArg::Resp) => "resp",
                Some(FormatArg::Json) => "jsonl",
                _ => "rdb",
            };
            format!(".{form}{}", codec.extension())
        }
        From::Database(url) if live_format(url, args.source.pg_format) == Format::PostgresCustom => {
            ".dump".to_owned()
        }
        From::Database(_) if directory(args) => String::new(),
        From::Database(_) => format!(".sql{}", codec.extension()),
        From::Path(source) if source.is_dir() => format!(".tar{}", codec.extension()),
        _ => {
            return Err(Error::usage(format!(
                "`{path}` is a folder, and this source gives the archive no name"
            ))
            .hint("name the archive, such as `dump-{date}.sql.zst`"));
        }
    };
    let encrypted =
        !directory(args) && (!args.encrypt_to.is_empty() || args.encrypt_passphrase_file.is_some());
    let name = format!("{}{ending}{}", names.default_stem(), if encrypted { ENCRYPTED } else { "" });
    // An empty key is the root of a bucket; an empty path does not get here.
    Ok(if path.is_empty() { name } else { format!("{}/{name}", path.trim_end_matches('/')) })
}

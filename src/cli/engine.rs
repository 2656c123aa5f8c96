//! Which reader a MySQL or PostgreSQL source gets.

use std::time::Duration;

use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Error, Result, Source};
use sources::{
    Content, MysqlDump, MysqlNative, MysqlOptions, NativeOptions, PgDump, PgNative, PgNativeOptions,
    PgOptions, Selection,
};

use super::args::{EngineArg, LayoutArg, PgFormatArg, SourceArgs};
use super::endpoint::From;

/// Whether the native reader reads. It cannot when something of this was asked for: what it is, and whether it was.
fn native(args: &SourceArgs, for_the_client: &[(&str, bool)]) -> Result<bool> {
    let asked = for_the_client.iter().find_map(|(what, asked)| asked.then_some(what));
    match (args.engine, asked) {
        (EngineArg::Client, _) | (EngineArg::Auto, Some(_)) => Ok(false),
        (EngineArg::Native, Some(what)) => Err(Error::usage(format!(
            "{what} is for the dump client, and `--engine native` does not dump with it"
        ))
        .hint("leave one of them out")),
        (EngineArg::Auto | EngineArg::Native, None) => Ok(true),
    }
}

/// What was asked of the tables.
fn selection(args: &SourceArgs) -> Result<Selection> {
    let content = match (args.schema_only, args.data_only) {
        (true, _) => Content::Schema,
        (_, true) => Content::Data,
        _ => Content::All,
    };
    Selection::new(&args.tables, &args.exclude_tables, &args.r#where, content)
}

/// Whether less than everything was asked for.
pub(crate) fn chooses(args: &SourceArgs) -> Result<bool> {
    selection(args).map(|selection| !selection.is_default())
}

/// Refuses what only some sources know, so that nobody believes it was heeded.
pub(crate) fn check(from: &From, args: &SourceArgs) -> Result<()> {
    let engine = match from {
        From::Database(url) => Some(url.engine),
        _ => None,
    };
    if !matches!(engine, Some(Engine::Mysql | Engine::Postgres)) && !selection(args)?.is_default() {
        return Err(Error::usage(
            "`--tables`, `--exclude-tables`, `--where`, `--schema-only` and `--data-only` belong to a MySQL or PostgreSQL server as SOURCE",
        )
        .hint("leave them out: what is dumped already is carried whole"));
    }
    let native_mysql = engine == Some(Engine::Mysql) && mysql(args)?.is_some();
    let native_postgres = match from {
        From::Database(url) if url.engine == Engine::Postgres => postgres(url, args)?.is_some(),
        _ => false,
    };
    if args.layout == LayoutArg::Directory && !native_mysql && !native_postgres {
        return Err(Error::usage(
            "`--layout directory` belongs to a MySQL or PostgreSQL server that is read natively",
        )
        .hint("leave it out: everything else is one stream"));
    }
    if args.snapshot.is_some() && !native_mysql {
        return Err(Error::usage("`--snapshot` belongs to a MySQL server that is read natively")
            .hint("leave it out: PostgreSQL has one way, and dump clients have their own"));
    }
    Ok(())
}

/// The native reader's settings, when it is the one that reads.
fn mysql(args: &SourceArgs) -> Result<Option<NativeOptions>> {
    let client = [("`--client`", args.client.is_some()), ("`--dump-arg`", !args.dump_arg.is_empty())];
    if !native(args, &client)? {
        return Ok(None);
    }
    let way = args.snapshot.as_deref().map(str::parse).transpose()?;
    Ok(Some(NativeOptions {
        readers: args.readers.max(1),
        way,
        patience: Duration::from_secs(args.max_lock_time),
        directory: args.layout == LayoutArg::Directory,
    }))
}

/// The same for PostgreSQL, whose native reader leaves the schema to `pg_dump`.
fn postgres(url: &DatabaseUrl, args: &SourceArgs) -> Result<Option<PgNativeOptions>> {
    let client = [
        ("`--dump-arg`", !args.dump_arg.is_empty()),
        ("`--pg-format custom`", args.pg_format == PgFormatArg::Custom),
        ("a URL without a database, which means all of them,", url.databases.is_empty()),
    ];
    if !native(args, &client)? {
        return Ok(None);
    }
    Ok(Some(PgNativeOptions {
        readers: args.readers.max(1),
        patience: Duration::from_secs(args.max_lock_time),
        insist: args.engine == EngineArg::Native,
        directory: (args.layout == LayoutArg::Directory).then(|| args.stored.clone()),
    }))
}

/// What the native reader of a source holds; nothing for other sources and for the clients.
pub(crate) fn memory(from: &From, args: &SourceArgs) -> Result<Option<usize>> {
    Ok(match from {
        From::Database(url) => match url.engine {
            Engine::Mysql => mysql(args)?.map(|options| options.memory()),
            Engine::Postgres => postgres(url, args)?.map(|options| options.memory()),
            Engine::Redis => None,
        },
        _ => None,
    })
}

/// The MySQL source that was meant.
pub(crate) fn mysql_source(url: DatabaseUrl, args: &SourceArgs) -> Result<Box<dyn Source>> {
    let options = MysqlOptions {
        client: args.client.clone(),
        dump_args: args.dump_arg.clone(),
        allow_partial: args.allow_partial,
        selection: selection(args)?,
    };
    Ok(match mysql(args)? {
        Some(settings) => Box::new(MysqlNative::new(url, options, settings)?),
        None => Box::new(MysqlDump::new(url, options)?),
    })
}

/// The PostgreSQL source that was meant; `switches` go to `pg_dump` where it knows them.
pub(crate) fn postgres_source(
    url: DatabaseUrl,
    args: &SourceArgs,
    switches: Vec<String>,
) -> Result<Box<dyn Source>> {
    let options = PgOptions {
        client: args.client.clone(),
        dump_args: args.dump_arg.clone(),
        switches,
        custom: args.pg_format == PgFormatArg::Custom,
        selection: selection(args)?,
    };
    Ok(match postgres(&url, args)? {
        Some(settings) => Box::new(PgNative::new(url, options, settings)?),
        None => Box::new(PgDump::new(url, options)?),
    })
}

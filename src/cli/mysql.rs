//! Which reader a MySQL source gets.

use std::time::Duration;

use pipeline::endpoint::{DatabaseUrl, Engine};
use pipeline::{Error, Result, Source};
use sources::{MysqlDump, MysqlNative, MysqlOptions, NativeOptions};

use super::args::{EngineArg, SourceArgs};
use super::endpoint::From;

/// The native reader's settings, when it is the one that reads.
fn native(args: &SourceArgs) -> Result<Option<NativeOptions>> {
    let for_the_client = [("--client", args.client.is_some()), ("--dump-arg", !args.dump_arg.is_empty())]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag));
    match (args.engine, for_the_client) {
        (EngineArg::Client, _) | (EngineArg::Auto, Some(_)) => return Ok(None),
        (EngineArg::Native, Some(flag)) => {
            return Err(Error::usage(format!(
                "`{flag}` is for the dump client, and `--engine native` uses none"
            ))
            .hint("leave one of them out"));
        }
        (EngineArg::Auto | EngineArg::Native, None) => {}
    }
    let way = args.snapshot.as_deref().map(str::parse).transpose()?;
    Ok(Some(NativeOptions {
        readers: args.readers.max(1),
        way,
        patience: Duration::from_secs(args.max_lock_time),
    }))
}

/// What the reader of a MySQL source holds; nothing for other sources and for the client.
pub(crate) fn memory(from: &From, args: &SourceArgs) -> Result<Option<usize>> {
    match from {
        From::Database(url) if url.engine == Engine::Mysql => {
            Ok(native(args)?.map(|options| options.memory()))
        }
        _ => Ok(None),
    }
}

/// The source that was meant.
pub(crate) fn source(url: DatabaseUrl, args: &SourceArgs) -> Result<Box<dyn Source>> {
    let options = MysqlOptions {
        client: args.client.clone(),
        dump_args: args.dump_arg.clone(),
        allow_partial: args.allow_partial,
    };
    Ok(match native(args)? {
        Some(settings) => Box::new(MysqlNative::new(url, options, settings)?),
        None => Box::new(MysqlDump::new(url, options)?),
    })
}

//! What was typed. Nothing here opens anything; what was meant is worked out in the command modules.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::redis::RedisArgs;

/// Carries databases out of a cluster: dump, transform, deliver, verify — as one stream, with constant memory and no
/// temporary file.
#[derive(Debug, Parser)]
#[command(
    name = "dbferry",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done and verified, 1 internal bug, 2 usage, 3 source, 4 transform, 5 destination, \
                  6 verification mismatch, 7 outcome unknown, 75 temporary (run it again), 130/143 interrupted.\n\
                  Start with: dbferry copy mysql://user@host/db ./db.sql.zst"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Carry a source to one or more destinations, and verify what arrived
    Copy(Box<CopyArgs>),
    /// Read an archive back, recompute every digest, and check trailers and grammar
    Verify(VerifyArgs),
    /// Show what is inside an archive or a source: tables, rows, sizes, definers, owners, extensions
    Inspect(InspectArgs),
    /// Say whether two databases hold the same: objects, rows, values. Changes nothing
    Compare(CompareArgs),
    /// Say beforehand what a copy into a database would meet; or find out what an object store can and this account may
    Check(Box<CheckArgs>),
    /// Measure how fast a source can leave, stage by stage, what holds it up, and which setting is best. Changes nothing
    Bench(BenchArgs),
    /// Run the jobs of a job file
    Run(RunArgs),
    /// Show what a job file means, or what it may hold
    Config(ConfigArgs),
    /// Restore an archive into a scratch server, and count what came of it
    Drill(DrillArgs),
    /// List the archives in a folder, a volume or a bucket, by their manifests
    Ls(LsArgs),
    /// Show all that is known of one archive without reading its data
    Show(ShowArgs),
    /// Show, and with --yes remove, the archives that no rule keeps
    Prune(PruneArgs),
    /// Show, and with --yes remove, what killed runs left in a folder or an object store
    Gc(GcArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of dbferry, or of one of its commands
    Man {
        /// The command, such as `copy`
        command: Option<String>,
    },
}

const ENDPOINTS: &str = "\
Endpoints:
  mysql://USER@HOST[:PORT]/DB[,DB…]     also mariadb:// and mysql2://; no DB: all databases
  postgres://USER@HOST[:PORT]/DB        also postgresql://; no DB: the whole cluster (pg_dumpall)
  redis://HOST[:PORT][/DB]              also rediss:// (TLS); USER:PASSWORD@ or :PASSWORD@ in front of the host;
                                        no DB: all; ?sentinel=NAME asks the Sentinel at HOST for a replica
  file:///PATH or a bare path           a dump (compressed or not), or a directory (as tar); as DEST, an archive
  pvc:///MOUNT/PATH                     as a file, and only if a volume is mounted there
  mysql://…/DB, postgres://…/DB         as DEST: the dump is loaded into this database
  redis://HOST                          as DEST: the keys are restored there, on one server or a cluster
  s3://BUCKET/KEY[?endpoint=…&region=…] an object, in AWS or any store with its protocol (docs/s3.md lists the parameters)
  cmd:COMMAND LINE                      any command's output; its exit status is part of success
  env:NAME                              the endpoint is in this environment variable (keeps passwords out of `ps`)
  -                                     standard input or output

Names of destinations take {db} {host} {date} {time} {id}. The name's ending chooses the compression: .zst .gz .lz4,
before .age when the archive is encrypted.
Passwords come from the URL, --source-password-file, MYSQL_PWD, PGPASSWORD, PGPASSFILE or REDISCLI_AUTH.

Examples:
  dbferry copy mysql://root@system-mysql/system 'backups/{db}-{date}.sql.zst' --for rds-mysql
  dbferry copy postgres://postgres@zync-database/zync_production /backups/zync.dump --pg-format custom
  dbferry copy redis://backend-redis /backups/backend.rdb --redis-db 0 --for elasticache
  dbferry copy /var/lib/system-storage pvc:///backups/system-storage-{date}.tar.zst
  dbferry copy postgres://system@system-postgresql/system postgres://admin@rds.example/system --for rds-postgres
  dbferry copy backups/system.sql.gz -- oc exec deploy/system-mysql -- mysqldump --single-transaction system";

/// Arguments of `dbferry copy`.
#[derive(Debug, Args)]
#[command(after_long_help = ENDPOINTS, after_help = "Endpoints, names and examples: dbferry copy --help")]
pub(crate) struct CopyArgs {
    /// SOURCE, then one or more DEST. With `-- COMMAND`, every one is a DEST
    #[arg(required = true, value_name = "SOURCE DEST")]
    pub(crate) endpoints: Vec<String>,

    /// A command to run as the source, without a shell; its output is carried and its exit status counts
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,

    /// Rewrite for a managed database
    #[arg(long = "for", value_enum, value_name = "PROFILE", help_heading = "Rewriting")]
    pub(crate) profile: Option<ProfileArg>,

    /// What to do with DEFINER clauses: strip, keep, invoker, set=USER@HOST. Default: keep, or strip with --for
    #[arg(long, value_name = "POLICY", help_heading = "Rewriting")]
    pub(crate) definer: Option<String>,

    /// Take password hashes of roles, user mappings' options and subscriptions' connection strings out of a PostgreSQL dump
    #[arg(long, help_heading = "Rewriting")]
    pub(crate) redact_secrets: bool,

    // Not a doc comment: rustdoc would take the brackets for links.
    #[arg(
        long,
        value_name = "CODEC",
        help_heading = "Stream",
        help = "gzip[:N], zstd[:N], lz4 or none. Default: by the destination's ending"
    )]
    pub(crate) compress: Option<String>,

    /// What the source carries, when its content does not tell; or `resp` or `json`, which is what a Redis snapshot is turned into
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Stream")]
    pub(crate) format: Option<FormatArg>,

    /// Accept SQL text that does not end with its dump tool's completion line. A cut dump then passes unseen
    #[arg(long, help_heading = "Stream")]
    pub(crate) no_trailer: bool,

    /// Threads for compression. Default: one per core
    #[arg(long, value_name = "N", help_heading = "Stream")]
    pub(crate) threads: Option<usize>,

    /// Parts carried at once, and connections that load a database. Default: 1 part; 4 connections into MySQL and Redis, 1 into PostgreSQL,
    /// where the load is one transaction then
    #[arg(long, value_name = "N", help_heading = "Stream")]
    pub(crate) jobs: Option<usize>,

    /// Memory for the whole run, everything included
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "256MiB",
        env = "DBFERRY_MEMORY",
        help_heading = "Stream"
    )]
    pub(crate) memory: String,

    /// Digests for the manifest: blake3, sha256, or both with a comma
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "blake3",
        value_delimiter = ',',
        help_heading = "Stream"
    )]
    pub(crate) digest: Vec<String>,

    /// Replace an archive that is already there, or everything in a database, once the new one is whole
    #[arg(long, help_heading = "Destination")]
    pub(crate) overwrite: bool,

    /// Load into a database that is not empty, beside what is there
    #[arg(long, help_heading = "Destination", conflicts_with = "overwrite")]
    pub(crate) into_existing: bool,

    /// Go on with a load that did not end, from the same archive: what is there already is not sent again
    #[arg(long, help_heading = "Destination", conflicts_with_all = ["overwrite", "into_existing"])]
    pub(crate) resume: bool,

    /// What to do with a key that a Redis server as DEST has already
    #[arg(long, value_enum, default_value_t = ConflictArg::Fail, value_name = "HOW", help_heading = "Destination")]
    pub(crate) on_conflict: ConflictArg,

    /// Do not look beforehand for what would end a load half-way, as `dbferry check` does
    #[arg(long, help_heading = "Destination")]
    pub(crate) no_check: bool,

    /// Afterwards, hold source and destination, both databases, against each other as `dbferry compare` does
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Destination")]
    pub(crate) verify: Option<VerifyArg>,

    /// File whose first line is the password of a database as DEST
    #[arg(long, value_name = "FILE", env = "DBFERRY_DEST_PASSWORD_FILE", help_heading = "Destination")]
    pub(crate) dest_password_file: Option<PathBuf>,

    /// Read the archive back from the device or store and hash it before it is published
    #[arg(long, help_heading = "Destination")]
    pub(crate) read_back: bool,

    /// Do not read back even what a store cannot prove; the manifest then says so
    #[arg(long, help_heading = "Destination", conflicts_with = "read_back")]
    pub(crate) no_verify: bool,

    /// Encrypt for this public key (age1…, ssh-ed25519 …, ssh-rsa …), or for those in this file. May be given several times
    #[arg(long, value_name = "RECIPIENT|FILE", env = "DBFERRY_ENCRYPT_TO", help_heading = "Destination")]
    pub(crate) encrypt_to: Vec<String>,

    /// Encrypt with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE", help_heading = "Destination", conflicts_with = "encrypt_to")]
    pub(crate) encrypt_passphrase_file: Option<PathBuf>,

    /// Checksum for s3:// destinations: auto, crc64nvme, crc32c, md5 or none. Default: auto, the best that the store is seen to check
    #[arg(long, value_name = "KIND", help_heading = "Destination")]
    pub(crate) s3_checksum: Option<String>,

    /// Go on, and succeed, when this DEST (as typed) fails. May be given several times
    #[arg(long, value_name = "DEST", help_heading = "Destination")]
    pub(crate) keep_going: Vec<String>,

    /// Space to leave free on a pvc:// volume. Default: 1 % of it, at least 64 MiB
    #[arg(long, value_name = "SIZE", help_heading = "Destination")]
    pub(crate) reserve: Option<String>,

    #[command(flatten)]
    pub(crate) redis: RedisArgs,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    /// Probe both ends, show the plan, and stop before the first byte
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How a source is read.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// File whose first line is the source's password
    #[arg(long, value_name = "FILE", env = "DBFERRY_SOURCE_PASSWORD_FILE", help_heading = "Source")]
    pub(crate) source_password_file: Option<PathBuf>,

    /// How a MySQL or PostgreSQL server is read: over connections of our own, or by its dump client. Default: native, unless something is
    /// asked for that only the client does: --dump-arg, for MySQL --client, for PostgreSQL --pg-format custom and all databases at once
    #[arg(long, value_enum, default_value_t = EngineArg::Auto, help_heading = "Source")]
    pub(crate) engine: EngineArg,

    /// Connections that the native engine reads with
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Source")]
    pub(crate) readers: usize,

    /// How the native engine's connections to MySQL come to see the same data: position, global-lock, table-locks, unmoved or single.
    /// Default: the first that works
    #[arg(long, value_name = "WAY", help_heading = "Source")]
    pub(crate) snapshot: Option<String>,

    /// Only these tables of a MySQL or PostgreSQL server, by patterns: `orders`, `item_*`, `shop.*`. With them go their triggers, indexes and
    /// sequences, and nothing else
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Source")]
    pub(crate) tables: Vec<String>,

    /// Not these tables
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Source")]
    pub(crate) exclude_tables: Vec<String>,

    /// Only those rows of a table that fulfil a condition in SQL; the native engine's. May be given several times
    #[arg(long, value_name = "TABLE=CONDITION", help_heading = "Source")]
    pub(crate) r#where: Vec<String>,

    /// Definitions without rows
    #[arg(long, help_heading = "Source", conflicts_with = "data_only")]
    pub(crate) schema_only: bool,

    /// Rows without definitions, for tables that are there
    #[arg(long, help_heading = "Source")]
    pub(crate) data_only: bool,

    /// What a MySQL or PostgreSQL server becomes: one stream; or a directory (or prefix) of files, with ranges of rows in files of their
    /// own, which as many readers write at once
    #[arg(long, value_enum, default_value_t = LayoutArg::Stream, value_name = "LAYOUT", help_heading = "Source")]
    pub(crate) layout: LayoutArg,

    /// How the parts of a directory are stored; worked out from the options of `copy`.
    #[arg(skip)]
    pub(crate) stored: sources::PartsStored,

    /// Seconds that the native engine waits for a lock, and lets others wait behind it
    #[arg(long, value_name = "SECONDS", default_value_t = 10, help_heading = "Source")]
    pub(crate) max_lock_time: u64,

    /// The mysqldump, mariadb-dump or pg_dump to run. Default: the one on PATH that fits the server
    #[arg(long, value_name = "PATH", help_heading = "Source")]
    pub(crate) client: Option<PathBuf>,

    /// One more argument for the client program. May be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, help_heading = "Source")]
    pub(crate) dump_arg: Vec<String>,

    /// Format of a PostgreSQL dump
    #[arg(long, value_enum, default_value_t = PgFormatArg::Plain, help_heading = "Source")]
    pub(crate) pg_format: PgFormatArg,

    /// Dump what the account may see, even if that is not everything; what is missing is a warning
    #[arg(long, help_heading = "Source")]
    pub(crate) allow_partial: bool,

    /// How a Redis server makes the snapshot: through its disk, where a slow destination breaks nothing, or without. Default: by the
    /// server's setting and the destination
    #[arg(long, value_enum, default_value_t = SyncArg::Auto, value_name = "WAY", help_heading = "Source")]
    pub(crate) redis_sync: SyncArg,

    /// Read a Redis server key by key, where it refuses replicas. What is read is then no picture of one moment
    #[arg(long, help_heading = "Source", conflicts_with = "redis_sync")]
    pub(crate) redis_scan: bool,

    /// Accept a command that succeeds without any output
    #[arg(long, help_heading = "Source")]
    pub(crate) allow_empty: bool,
}

/// How something encrypted is read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeyArgs {
    /// File with the secret key of an encrypted archive: of age-keygen, or of OpenSSH without a passphrase. May be given several times
    #[arg(long, value_name = "FILE", env = "DBFERRY_IDENTITY", help_heading = "Reading")]
    pub(crate) identity: Vec<PathBuf>,

    /// File whose first line is the passphrase of an encrypted archive
    #[arg(long, value_name = "FILE", env = "DBFERRY_PASSPHRASE_FILE", help_heading = "Reading")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// How a MySQL or PostgreSQL server is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineArg {
    /// Native, unless options for the client are given
    Auto,
    /// Connections of our own, in parallel
    Native,
    /// The installed mysqldump, mariadb-dump or pg_dump
    Client,
}

/// How a run talks.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// Print a JSON document on standard output instead of a summary
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto, value_name = "HOW", help_heading = "Output")]
    pub(crate) progress: ProgressArg,

    /// Say nothing but errors
    #[arg(short, long, help_heading = "Output", conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more
    #[arg(short, long, help_heading = "Output")]
    pub(crate) verbose: bool,
}

/// Arguments of `dbferry verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The archive: its file, directory or s3:// address, or its manifest
    pub(crate) archive: String,

    /// The manifest, when it is not beside the archive
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Check compression, grammar and trailer of a file that has no manifest
    #[arg(long, conflicts_with = "manifest")]
    pub(crate) without_manifest: bool,

    /// Write down beside the archive what was found: `dbferry ls` shows it, and retention goes by it
    #[arg(long, conflicts_with_all = ["manifest", "without_manifest"])]
    pub(crate) record: bool,

    /// Write down, with what was found, that the archive is as large as it should be: retention measures later ones by it and not by larger ones before
    #[arg(long, conflicts_with_all = ["manifest", "without_manifest"])]
    pub(crate) accept: bool,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    /// Memory for the whole run
    #[arg(long, value_name = "SIZE", default_value = "256MiB", env = "DBFERRY_MEMORY")]
    pub(crate) memory: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// An archive, a dump (compressed or not), or a source to read: everything that `copy` takes as SOURCE
    pub(crate) endpoint: String,

    /// What it carries, when its content does not tell
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) format: Option<FormatArg>,

    /// Memory for the whole run
    #[arg(long, value_name = "SIZE", default_value = "256MiB", env = "DBFERRY_MEMORY")]
    pub(crate) memory: String,

    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The one database, such as mysql://user@host/db, postgres://user@host/db or redis://host
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,

    /// The other database, of the same family
    #[arg(value_name = "DEST")]
    pub(crate) dest: String,

    /// Tables that are read at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) jobs: usize,

    /// Rows to show of a table that differs
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) show: usize,

    /// File whose first line is the source's password
    #[arg(long, value_name = "FILE", env = "DBFERRY_SOURCE_PASSWORD_FILE")]
    pub(crate) source_password_file: Option<PathBuf>,

    /// File whose first line is the destination's password
    #[arg(long, value_name = "FILE", env = "DBFERRY_DEST_PASSWORD_FILE")]
    pub(crate) dest_password_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// SOURCE and DEST, both databases: nothing is changed. Or s3://BUCKET/PREFIX/ alone: small objects are written there and removed
    #[arg(required = true, num_args = 1..=2, value_name = "SOURCE DEST")]
    pub(crate) endpoints: Vec<String>,

    /// As for `copy`: what will be rewritten for a managed database is no blocker then
    #[arg(long = "for", value_enum, value_name = "PROFILE")]
    pub(crate) profile: Option<ProfileArg>,

    /// The target may hold something, as for `copy`
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// The target may hold something, as for `copy`
    #[arg(long)]
    pub(crate) into_existing: bool,

    /// Only these logical databases of a Redis server, as for `copy`
    #[arg(long, value_name = "N", value_delimiter = ',', help_heading = "Redis")]
    pub(crate) redis_db: Vec<u64>,

    /// Logical databases that get another number, as for `copy`
    #[arg(
        long,
        value_name = "FROM=TO",
        value_delimiter = ',',
        help_heading = "Redis",
        requires = "redis_db"
    )]
    pub(crate) redis_map: Vec<String>,

    /// Memory of one node of the target
    #[arg(long, value_name = "SIZE", help_heading = "Redis")]
    pub(crate) node_memory: Option<String>,

    /// File whose first line is the source's password
    #[arg(long, value_name = "FILE", env = "DBFERRY_SOURCE_PASSWORD_FILE")]
    pub(crate) source_password_file: Option<PathBuf>,

    /// File whose first line is the destination's password
    #[arg(long, value_name = "FILE", env = "DBFERRY_DEST_PASSWORD_FILE")]
    pub(crate) dest_password_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every setting runs for its share of --time: the source alone with 1, 2, 4 and 8 readers, each compression alone from memory, the destination
alone, then the promising ones together, and the best of them once more. docs/bench.md explains the figures.

Examples:
  dbferry bench mysql://root@system-mysql/system --html bench.html
  dbferry bench env:DATABASE_URL s3://backups/3scale/ --time 5m
  dbferry bench postgres://postgres@zync-database/zync --json -- --readers 4 --for rds-postgres")]
pub(crate) struct BenchArgs {
    /// What to read: everything that `copy` takes as SOURCE and that can be read more than once
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,

    /// Where to write: a file, a folder, pvc:// or s3://. What is written has a name of its own beside it, and is removed. Default: nowhere
    #[arg(value_name = "DEST")]
    pub(crate) dest: Option<String>,

    /// How long to measure: 30s, 60s, 10m. Longer is more exact
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) time: String,

    /// Write a page with plots, in one file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Options of `copy`. What they fix is not tried: `-- --readers 4 --compress zstd:3 --for rds-mysql --memory 1GiB`
    #[arg(last = true, value_name = "OPTIONS OF COPY", allow_hyphen_values = true)]
    pub(crate) copy: Vec<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Where to look: a folder, pvc:///MOUNT/PATH or s3://BUCKET/PREFIX
    pub(crate) endpoint: String,

    /// Leave alone what is younger: 90s, 30m, 24h, 7d. A run that is at work has uploads as old as itself
    #[arg(long, value_name = "AGE", default_value = "24h")]
    pub(crate) older_than: String,

    /// Remove what is shown
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The job file
    #[arg(value_name = "JOBS.TOML")]
    pub(crate) file: PathBuf,

    /// The jobs to run. Default: all
    #[arg(value_name = "NAME")]
    pub(crate) jobs: Vec<String>,

    /// Begin at once, whatever the file says of `jitter`
    #[arg(long)]
    pub(crate) now: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what a job file means, with its defaults filled in; secrets are references
    Show {
        /// The job file
        #[arg(value_name = "JOBS.TOML")]
        file: PathBuf,
    },
    /// Print the JSON Schema of job files, for editors
    Schema,
}

/// Arguments of `dbferry drill`.
#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// The archive: its file or s3:// address, or its manifest
    pub(crate) archive: String,

    /// An empty database to restore into, which is left as it is then. Default: a server is started from this machine's own programs,
    /// and is gone afterwards
    #[arg(long, value_name = "URL")]
    pub(crate) into: Option<String>,

    /// Do not write down beside the archive what was found
    #[arg(long)]
    pub(crate) no_record: bool,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    /// Memory for each step
    #[arg(long, value_name = "SIZE", default_value = "256MiB", env = "DBFERRY_MEMORY")]
    pub(crate) memory: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Where to look: a folder, pvc:///MOUNT/PATH or s3://BUCKET/PREFIX, with all that is below
    #[arg(value_name = "DEST")]
    pub(crate) endpoint: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The archive: its file, directory or s3:// address, or its manifest
    pub(crate) archive: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Arguments of `dbferry prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Where to look: a folder, pvc:///MOUNT/PATH or s3://BUCKET/PREFIX, with all that is below
    #[arg(value_name = "DEST")]
    pub(crate) endpoint: String,

    #[command(flatten)]
    pub(crate) keep: KeepArgs,

    /// Remove what is shown
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What a policy keeps.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeepArgs {
    /// The newest N
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Keep")]
    pub(crate) keep_last: u32,

    /// The newest of each of the last N hours that have an archive
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Keep")]
    pub(crate) keep_hourly: u32,

    /// The newest of each of the last N days that have one, in UTC
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Keep")]
    pub(crate) keep_daily: u32,

    /// The newest of each of the last N weeks that have one, from Monday
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Keep")]
    pub(crate) keep_weekly: u32,

    /// The newest of each of the last N months that have one
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Keep")]
    pub(crate) keep_monthly: u32,

    /// The newest of each of the last N years that have one
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Keep")]
    pub(crate) keep_yearly: u32,

    /// All that are not older than this, counted back from the newest: 36h, 14d, 8w
    #[arg(long, value_name = "TIME", help_heading = "Keep")]
    pub(crate) keep_within: Option<String>,

    /// Which archives replace one another: those of one source, db, folder
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "source,db,folder",
        value_name = "WHAT",
        help_heading = "Keep"
    )]
    pub(crate) group_by: Vec<GroupArg>,

    /// Remove nothing of a group whose newest archive is smaller by more than this than the largest of the seven before
    #[arg(long, value_name = "SHARE", default_value = "50%", help_heading = "Keep")]
    pub(crate) max_shrink: String,

    /// Remove nothing of a group whose newest archive has less than this, uncompressed. Default: 1 byte
    #[arg(long, value_name = "SIZE", help_heading = "Keep")]
    pub(crate) min_size: Option<String>,
}

/// `--group-by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupArg {
    /// The server, or the path or command that is no server
    Source,
    /// The databases
    Db,
    /// The folder that the archive lies in
    Folder,
}

/// `--for`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// Amazon RDS for MySQL
    RdsMysql,
    /// Amazon Aurora MySQL
    AuroraMysql,
    /// Amazon RDS for PostgreSQL
    RdsPostgres,
    /// Amazon Aurora PostgreSQL
    AuroraPostgres,
    /// Amazon ElastiCache, seeded from the file
    Elasticache,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// SQL text of mysqldump or mariadb-dump
    Mysql,
    /// SQL text of pg_dump or pg_dumpall
    Postgres,
    /// Custom format of pg_dump
    PostgresCustom,
    /// A tar stream
    Tar,
    /// A Redis or Valkey snapshot
    Rdb,
    /// A Redis or Valkey snapshot, to be written as commands for `redis-cli --pipe`
    Resp,
    /// A Redis or Valkey snapshot, to be written as a JSON object for each key, one a line
    Json,
    /// Bytes, carried as they are, compressed or not
    Opaque,
}

/// `--layout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutArg {
    /// One stream
    Stream,
    /// A directory, or a prefix
    Directory,
}

/// `--redis-sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncArg {
    /// By the server's setting and the destination
    Auto,
    /// The server writes its dump file and sends it
    Disk,
    /// The server sends while it saves
    Diskless,
}

/// `--verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyArg {
    /// Objects, rows and values
    Compare,
}

/// `--on-conflict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConflictArg {
    /// The load fails
    Fail,
    /// The source's value takes its place
    Replace,
    /// It stays as it is
    Skip,
}

/// `--pg-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PgFormatArg {
    /// SQL text, for psql
    Plain,
    /// Custom format, for `pg_restore`
    Custom,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// A bar on a terminal, plain lines elsewhere
    Auto,
    /// A bar
    Bar,
    /// A line every ten seconds
    Plain,
    /// A JSON object per line, every second
    Json,
    /// Nothing
    None,
}

impl OutputArgs {
    /// True when the summary is for people.
    pub(crate) fn talks(&self) -> bool {
        !self.quiet && !self.json
    }
}

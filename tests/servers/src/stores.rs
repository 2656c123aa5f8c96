//! Independent S3 servers: moto, and garage.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Account, Daemon, Scratch, free_port, random_password};
use crate::error::{Context, Error, Result};
use crate::place::{aws_program, garage_program, moto_program};

const START: Duration = Duration::from_secs(60);

/// A running store with one bucket, `archive`.
#[derive(Debug)]
pub struct StoreServer {
    // Before the directory, so that the server is gone when that is removed.
    _daemon: Daemon,
    _scratch: Scratch,
    port: u16,
    /// Access key id and secret.
    pub keys: (String, String),
}

impl StoreServer {
    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of a key, without credentials.
    pub fn url(&self, key: &str) -> String {
        format!("s3://archive/{key}?endpoint={}&region=us-east-1", self.endpoint())
    }

    /// What tells the programs of AWS's own kind where the store is, and which keys open it.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ACCESS_KEY_ID", self.keys.0.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.keys.1.clone()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// The AWS command line, as a client of this store that is not ours.
    pub fn aws(&self) -> Result<Command> {
        let program = aws_program().ok_or_else(|| Error::new("the AWS command line is not installed"))?;
        let mut command = Command::new(program);
        command.envs(self.environment());
        Ok(command)
    }
}

/// moto: AWS's answers in Python, in memory. Takes any key pair.
pub fn moto() -> Result<StoreServer> {
    let program = moto_program().ok_or_else(|| Error::new("moto is not installed"))?;
    start(&program, |_, port| {
        let args = ["-H".into(), "127.0.0.1".into(), "-p".into(), port.to_string().into()];
        Ok((args.to_vec(), ("AKIAMOTOMOTOMOTOMOTO".to_owned(), random_password()?)))
    })
    .and_then(|server| {
        make_bucket(server.port)?;
        Ok(server)
    })
}

/// garage: a distributed store of its own making, as one node.
pub fn garage() -> Result<StoreServer> {
    let program = garage_program().ok_or_else(|| Error::new("garage is not installed"))?;
    start(&program, |scratch, port| {
        let rpc = free_port()?;
        let secret = format!("{:0>64}", random_password()?);
        let dir = scratch.path().display();
        let config = format!(
            "metadata_dir = \"{dir}/meta\"\ndata_dir = \"{dir}/data\"\ndb_engine = \"sqlite\"\nreplication_factor = 1\n\
             rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{secret}\"\n\
             [s3_api]\ns3_region = \"us-east-1\"\napi_bind_addr = \"127.0.0.1:{port}\"\n"
        );
        let account = Account::find("nobody")?;
        let keys = (format!("GK{}", random_password()?), format!("{:0>64}", random_password()?));
        let config = scratch.secret("garage.toml", &config, account.as_ref())?;
        // The program reads its keys from the environment; `env` sets them, since a server is started with arguments alone.
        let args = vec![
            format!("GARAGE_DEFAULT_ACCESS_KEY={}", keys.0).into(),
            format!("GARAGE_DEFAULT_SECRET_KEY={}", keys.1).into(),
            "GARAGE_DEFAULT_BUCKET=archive".into(),
            program.clone().into_os_string(),
            "-c".into(),
            config.into_os_string(),
            "server".into(),
            "--single-node".into(),
            "--default-bucket".into(),
        ];
        Ok((args, keys))
    })
}

type Made = (Vec<OsString>, (String, String));

fn start(program: &std::path::Path, prepare: impl Fn(&Scratch, u16) -> Result<Made>) -> Result<StoreServer> {
    let account = Account::find("nobody")?;
    // Somebody may take the port before the server binds it.
    let mut last = Error::new("no attempt was made");
    for _ in 0..3 {
        let scratch = Scratch::new()?;
        for name in ["meta", "data"] {
            scratch.subdir(name, account.as_ref())?;
        }
        let port = free_port()?;
        let (args, keys) = prepare(&scratch, port)?;
        let first_is_variable = args.first().is_some_and(|arg| arg.to_string_lossy().contains('='));
        let run = if first_is_variable { PathBuf::from("/usr/bin/env") } else { program.to_owned() };
        let log = scratch.path().join("log");
        let mut daemon = Daemon::spawn(account.clone(), run, args, log)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match daemon.wait_ready(START, || TcpStream::connect(address).is_ok()) {
            Ok(()) => return Ok(StoreServer { _daemon: daemon, _scratch: scratch, port, keys }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// moto asks for no signature.
fn make_bucket(port: u16) -> Result<()> {
    use std::io::{Read, Write};
    let mut connection = TcpStream::connect(("127.0.0.1", port)).context("connecting to moto")?;
    connection.set_read_timeout(Some(START))?;
    let request = format!(
        "PUT /archive HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    if answer.split_whitespace().nth(1) == Some("200") {
        return Ok(());
    }
    Err(Error::new(format!("moto made no bucket: {answer}")))
}

//! A server made of a script: every frame, every cut, every refusal, without a real one.

use std::time::Duration;

use pipeline::endpoint::DatabaseUrl;
use pipeline::{Context, Error, Kind, Source as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::replica::Frame;
use super::{RedisDump, RedisOptions, RedisSync};

const SNAPSHOT: &[u8] = include_bytes!("../../../formats/src/rdb/fixtures/redis-7.0.15.rdb");
const MARK: &[u8; 40] = b"0123456789abcdef0123456789abcdef01234567";

/// How the server behaves once it is asked for the snapshot.
#[derive(Clone)]
struct Script {
    /// Sent instead of `+FULLRESYNC`.
    answer: &'static str,
    /// Sent after it, in pieces of so many bytes.
    stream: Vec<u8>,
    piece: usize,
    /// A word that the server does not know; it answers it with an error.
    old: Option<&'static str>,
}

/// Serves two connections: the probe and the transfer.
async fn serve(script: Script) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let script = script.clone();
            tokio::spawn(async move {
                let mut room = vec![0; 4096];
                let mut asked = Vec::new();
                loop {
                    let Ok(count @ 1..) = socket.read(&mut room).await else { return };
                    asked.extend_from_slice(&room[..count]);
                    let text = String::from_utf8_lossy(&asked).into_owned();
                    if text.contains("PSYNC") {
                        break;
                    }
                    let commands = text.matches('*').count();
                    let answer = if text.contains("INFO") || text.contains("CONFIG") {
                        "-NOPERM not for you\r\n".to_owned()
                    } else if script.old.is_some_and(|word| text.contains(word)) {
                        "-ERR Unrecognized REPLCONF option\r\n".to_owned()
                    } else {
                        "+OK\r\n".repeat(commands)
                    };
                    asked.clear();
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                let whole = [script.answer.as_bytes(), &script.stream].concat();
                for piece in whole.chunks(script.piece) {
                    if socket.write_all(piece).await.is_err() {
                        return;
                    }
                }
                // Whoever is refused may ask in another way, and is refused again.
                while script.answer.starts_with('-') {
                    let Ok(1..) = socket.read(&mut room).await else { return };
                    if socket.write_all(script.answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                // What was not read yet would make the end of the connection a reset, which takes unread answers along.
                if socket.shutdown().await.is_ok() {
                    while let Ok(1..) = socket.read(&mut room).await {}
                }
            });
        }
    });
    port
}

async fn read(script: Script) -> Result<Vec<u8>, Error> {
    let port = serve(script).await;
    let url = DatabaseUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
    let options = RedisOptions { sync: RedisSync::Diskless, ..RedisOptions::default() };
    let mut source = RedisDump::new(url, options);
    let cx = Context::silent();
    source.probe(&cx).await?;
    let part = source.next_part(&cx).await?.unwrap();
    let reading = crate::testing::read(part.reader, &cx);
    let (result, bytes) = tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap();
    result.map(|()| bytes.to_vec())
}

const RESYNC: &str = "\n\n+FULLRESYNC 0123456789012345678901234567890123456789 42\r\n\n\n";

#[tokio::test]
async fn both_frames_are_read_however_they_are_cut() {
    let counted = [format!("${}\r\n", SNAPSHOT.len()).as_bytes(), SNAPSHOT, b"*1\r\n$4\r\nPING\r\n"].concat();
    let marked = [b"$EOF:", &MARK[..], b"\r\n", SNAPSHOT, MARK].concat();
    for stream in [counted, marked] {
        for piece in [1, 7, 4096, usize::MAX] {
            let script = Script {
                answer: RESYNC,
                stream: stream.clone(),
                piece: piece.min(stream.len() + 99),
                old: None,
            };
            assert!(read(script).await.unwrap() == SNAPSHOT);
        }
    }
}

#[tokio::test]
async fn every_cut_is_an_error() {
    let counted = [format!("${}\r\n", SNAPSHOT.len()).as_bytes(), SNAPSHOT].concat();
    let marked = [b"$EOF:", &MARK[..], b"\r\n", SNAPSHOT, MARK].concat();
    for stream in [counted, marked] {
        for end in (0..stream.len()).step_by(997).chain(stream.len() - 45..stream.len()) {
            let script = Script { answer: RESYNC, stream: stream[..end].to_vec(), piece: 1 << 16, old: None };
            let error = read(script).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Temporary, "{end}: {error}");
        }
    }
}

#[tokio::test]
async fn another_mark_is_no_end() {
    let stream = [b"$EOF:", &MARK[..], b"\r\n", SNAPSHOT, &[b'x'; 40]].concat();
    let error = read(Script { answer: RESYNC, stream, piece: 1 << 16, old: None }).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Truncated, "{error}");
}

#[tokio::test]
async fn refusals_keep_the_words_and_have_a_way_out() {
    for (answer, code, word) in [
        ("-NOAUTH Authentication required.\r\n", 3, "password"),
        ("-NOMASTERLINK Can't SYNC while not connected with my master\r\n", 75, "primary"),
        ("-NOMASTERLINK Can't SYNC while failing over\r\n", 75, "hands its role"),
        (
            "-NOPERM this user has no permissions to run the 'psync' command\r\n",
            3,
            "ACL SETUSER default +psync +sync +replconf +ping",
        ),
        ("-LOADING Redis is loading the dataset in memory\r\n", 75, "again"),
        ("-MISCONF Redis is configured to save RDB snapshots\r\n", 3, "diskless"),
        ("-ERR something new\r\n", 3, "log"),
    ] {
        let error = read(Script { answer, stream: Vec::new(), piece: 64, old: None }).await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(answer[1..].trim_end()), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains(word)), "{:?}", error.hints());
    }
}

/// A server before 6.2 gathers what clients write meanwhile, and ends a replica that is too slow for its buffer.
#[tokio::test]
async fn a_server_that_gathers_changes_and_gives_up_is_told_with_its_limit() {
    let whole = [format!("${}\r\n", SNAPSHOT.len()).as_bytes(), SNAPSHOT].concat();
    for (old, hint) in [(Some("rdb-only"), "client-output-buffer-limit"), (None, "the server's log")] {
        let stream = whole[..whole.len() / 2].to_vec();
        let error = read(Script { answer: RESYNC, stream, piece: 1 << 16, old }).await.unwrap_err();
        assert_eq!(error.exit_code(), 75, "{error}");
        assert!(error.hints().iter().any(|text| text.contains(hint)), "{:?}", error.hints());
    }
    // Commands behind the snapshot are not read, and a server that knows no `rdb-only` is read whole.
    let stream = [&whole[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    let got = read(Script { answer: RESYNC, stream, piece: 4096, old: Some("rdb-only") }).await.unwrap();
    assert!(got == SNAPSHOT);
}

#[test]
fn frames() {
    assert_eq!(Frame::parse("$12"), Some(Frame::Length(12)));
    assert_eq!(Frame::parse(&format!("$EOF:{}", String::from_utf8_lossy(MARK))), Some(Frame::Mark(*MARK)));
    for bad in ["", "$", "$-1", "$EOF:", "$EOF:short", "+OK", "12"] {
        assert_eq!(Frame::parse(bad), None, "{bad}");
    }
}

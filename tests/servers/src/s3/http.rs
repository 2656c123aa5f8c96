//! As much of HTTP/1.1 as an S3 client speaks.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::request::{Answer, Request};
use super::{Fault, Op, Seen, Shared, locked};

/// Longest body: a part of the tests.
const BODY_MAX: usize = 512 << 20;

pub(super) fn serve(connection: &TcpStream, server: &Shared) -> Result<()> {
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut reader = BufReader::with_capacity(256 << 10, connection);
    loop {
        let Some(mut request) = head(&mut reader)? else { return Ok(()) };
        let op = request.op();
        let number = server.requests.fetch_add(1, SeqCst);
        *locked(&server.counts).entry(format!("{op:?}")).or_default() += 1;
        let seen = Seen { number, op, key: request.key.clone() };
        let fault = locked(&server.chooser)(&seen);
        if fault == Some(Fault::Reset) {
            return connection.shutdown(std::net::Shutdown::Both);
        }
        if request.headers.contains_key("expect") {
            let mut connection = connection;
            connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length = request.length().min(BODY_MAX);
        let wanted = if fault == Some(Fault::ResetInside) { length / 2 } else { length };
        request.body = vec![0; wanted];
        reader.read_exact(&mut request.body)?;
        if fault == Some(Fault::ResetInside) {
            return connection.shutdown(std::net::Shutdown::Both);
        }
        let answer = match fault {
            Some(Fault::Status(status, code)) => Answer::error(status, code, "as the test asked"),
            Some(Fault::ErrorInside) => {
                Answer::xml("<Error><Code>InternalError</Code><Message>as the test asked</Message></Error>")
            }
            _ => locked(&server.store).handle(&request, &server.quirks, fault),
        };
        if let Some(Fault::Stall(time)) = fault {
            std::thread::sleep(time);
        }
        if fault == Some(Fault::LostAnswer) {
            return connection.shutdown(std::net::Shutdown::Both);
        }
        write(connection, &request, &answer, fault)?;
        if fault == Some(Fault::CutAnswer) {
            return connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn head(reader: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::new(method, target);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn write(mut connection: &TcpStream, request: &Request, answer: &Answer, fault: Option<Fault>) -> Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\n", answer.status);
    let length = answer.length.unwrap_or(answer.body.len());
    if answer.status != 204 {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    head.push_str("x-amz-request-id: TESTREQUEST\r\n");
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    connection.write_all(head.as_bytes())?;
    if request.method == "HEAD" || answer.status == 204 {
        return Ok(());
    }
    let cut = fault == Some(Fault::CutAnswer) && request.op() == Op::GetObject;
    let body = if cut { &answer.body[..answer.body.len() / 2] } else { &answer.body };
    connection.write_all(body)
}

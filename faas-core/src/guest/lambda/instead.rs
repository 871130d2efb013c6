//! An answer that is given past `lambda_runtime`, while the action holds up the thread that this runs on.
//!
//! # Source
//! "Using the Lambda runtime API for custom runtimes", AWS Lambda Developer Guide: paths and headers.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use lambda_runtime::Diagnostic;

/// The header by which Lambda tells two attempts of an event apart. It is given back.
pub(super) const INVOCATION: &str = "lambda-runtime-invocation-id";

/// The port of an address without one. Source: RFC 9110, section 4.2.1.
const PORT: u16 = 80;

/// What an event is to be answered with.
pub(super) type Answer = Result<Vec<u8>, Diagnostic>;

/// Answers the event of a request over a connection of its own to the Runtime API at this address.
pub(super) fn answer(
    address: &str,
    request: &str,
    invocation: Option<&str>,
    answer: Answer,
) -> io::Result<()> {
    let (authority, path) = located(address);
    let (what, body) = match answer {
        Ok(body) => ("response", body),
        Err(diagnostic) => ("error", serde_json::to_vec(&diagnostic)?),
    };
    let mut head = format!(
        "POST {path}/2018-06-01/runtime/invocation/{request}/{what} HTTP/1.1\r\nhost: {authority}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    if what == "error" {
        head.push_str("lambda-runtime-function-error-type: unhandled\r\n");
    }
    if let Some(invocation) = invocation {
        head.push_str(&format!("{INVOCATION}: {invocation}\r\n"));
    }
    head.push_str("\r\n");
    let mut connection = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => TcpStream::connect(authority)?,
        _ => TcpStream::connect((authority, PORT))?,
    };
    connection.write_all(&[head.as_bytes(), &body].concat())?;
    // Whatever it says, it has heard the answer.
    match connection.read(&mut [0; 1])? {
        0 => Err(io::Error::other("Lambda has hung up instead of taking the answer")),
        _ => Ok(()),
    }
}

/// The authority of an address that may be a URL, and the path that others go on from.
fn located(address: &str) -> (&str, &str) {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    (authority, path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_may_be_a_url() {
        assert_eq!(located("127.0.0.1:9001"), ("127.0.0.1:9001", ""));
        assert_eq!(located("http://localhost/.rt/echo/"), ("localhost", "/.rt/echo"));
        assert_eq!(located("http://[::1]:80"), ("[::1]:80", ""));
    }

    /// What is sent to answer with that.
    fn sent(invocation: Option<&'static str>, with: Answer) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/at", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || answer(&address, "7", invocation, with));
        let (mut connection, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"}") {
            let mut chunk = [0; 1024];
            let length = connection.read(&mut chunk).unwrap();
            read.extend_from_slice(&chunk[..length]);
        }
        connection.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
        drop(connection);
        answering.join().unwrap().unwrap();
        String::from_utf8(read).unwrap()
    }

    #[test]
    fn it_is_sent_as_lambda_takes_it() {
        let response = sent(Some("an-id"), Ok(b"{\"n\":1}".to_vec()));
        assert!(response.starts_with("POST /at/2018-06-01/runtime/invocation/7/response HTTP/1.1\r\n"));
        assert!(response.contains("\r\nlambda-runtime-invocation-id: an-id\r\n"), "{response}");
        assert!(response.contains("\r\ncontent-length: 7\r\n") && response.ends_with("\r\n\r\n{\"n\":1}"));
        let diagnostic = Diagnostic { error_type: "Late".to_owned(), error_message: "so long".to_owned() };
        let error = sent(None, Err(diagnostic));
        assert!(error.starts_with("POST /at/2018-06-01/runtime/invocation/7/error HTTP/1.1\r\n"), "{error}");
        assert!(error.contains("\r\nlambda-runtime-function-error-type: unhandled\r\n"), "{error}");
        assert!(error.ends_with("\r\n\r\n{\"errorType\":\"Late\",\"errorMessage\":\"so long\"}"), "{error}");
    }
}

//! The Runtime API, spoken by hand over a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// An event.
pub(crate) struct Event {
    pub(crate) request: String,
    pub(crate) body: Value,
}

/// A response of the API.
pub(crate) struct Response {
    pub(crate) status: u16,
    request: String,
    body: Vec<u8>,
}

/// The API at an address, and the connection to it if there is one.
pub(crate) struct Api {
    address: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Api {
    pub(crate) fn new(address: String) -> Self {
        Self { address, connection: None }
    }

    /// Closes the connection; the next request makes another one.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    fn connection(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(&self.address)?),
        };
        Ok(self.connection.insert(connection))
    }

    /// Writes as it is.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection()?.get_mut().write_all(bytes)
    }

    /// The head of a request with a body of so many bytes.
    pub(crate) fn head(&self, method: &str, path: &str, length: usize) -> String {
        format!(
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n",
            self.address
        )
    }

    /// Asks for an event.
    pub(crate) fn next(&mut self) -> io::Result<Event> {
        let head = self.head("GET", "invocation/next", 0);
        self.write(head.as_bytes())?;
        let Response { status, request, body } = self.response()?;
        if status != 200 {
            return Err(io::Error::other(format!(
                "no event but {status}: {}",
                String::from_utf8_lossy(&body)
            )));
        }
        Ok(Event { request, body: serde_json::from_slice(&body)? })
    }

    /// Posts a body; the status.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<u16> {
        let mut request = self.head("POST", path, body.len()).into_bytes();
        request.extend_from_slice(body);
        // One that is too large is refused before it is read.
        let _ = self.write(&request);
        Ok(self.response()?.status)
    }

    /// Reads the response to a request.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        let connection = self.connection()?;
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status but {line:?}")))?;
        let (mut length, mut request, mut closes) = (0, String::new(), false);
        loop {
            let mut header = String::new();
            connection.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "lambda-runtime-aws-request-id" => value.trim().clone_into(&mut request),
                "connection" => closes = value.trim() == "close",
                _ => {}
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        if closes {
            self.hang_up();
        }
        Ok(Response { status, request, body })
    }
}

//! Requests and responses.

use std::borrow::Cow;
use std::fmt;

use ::http::{HeaderName, HeaderValue, Method};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::target::Target;
use super::{MAX_BODY, MAX_HEAD};
use crate::error::{Error, ErrorKind};

/// What a header counts beside its name and value.
const HEADER_OVERHEAD: usize = 32;

/// Headers that are the connection's, or that would have a server take the request for one to another host.
///
/// # Source
/// The forbidden request-headers of the Fetch standard, as far as they are about the connection.
const NOT_THE_CALLERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Methods that do not ask for a resource. Source: the forbidden methods of the Fetch standard.
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// A request that an action makes.
///
/// ```
/// use faas_core::HttpRequest;
/// use serde_json::json;
/// let request = HttpRequest::post("https://api.example.com/messages", "")
///     .with_header("authorization", "Bearer …")
///     .with_json(&json!({ "text": "Hello" }))?;
/// assert_eq!(request.headers[1], ("content-type".into(), "application/json".into()));
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// The method, in upper case as a rule.
    pub method: String,
    /// The absolute URL, `http` or `https`.
    pub url: String,
    /// The headers in their order; a name may come more than once.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl HttpRequest {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A `GET` request.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST` request with a body.
    #[must_use]
    pub fn post(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new("POST", url).with_body(body)
    }

    /// The same request with a header more.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same request with another body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same request with a value as JSON for its body, and a `content-type` that says so unless it has one.
    ///
    /// # Errors
    /// `InvalidArgument` when the value cannot be encoded.
    pub fn with_json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.body = json_body(&mut self.headers, value)?;
        Ok(self)
    }

    /// Checks method, URL, headers and sizes.
    ///
    /// # Errors
    /// `InvalidArgument`, saying what is wrong, but showing no secrets: of the URL scheme and host at most, and of
    /// headers the name.
    pub fn check(&self) -> Result<(), Error> {
        self.target().map(drop)
    }

    /// Checks the request, and tells where it goes.
    pub(super) fn target(&self) -> Result<Target, Error> {
        self.check_method().map_err(invalid)?;
        let target = Target::of(&self.url).map_err(invalid)?;
        self.headers.iter().try_for_each(|(name, value)| check_header(name, value)).map_err(invalid)?;
        check_sizes("request", self.method.len() + self.url.len(), &self.headers, &self.body)?;
        Ok(target)
    }

    fn check_method(&self) -> Result<(), String> {
        let method = shown(&self.method);
        if Method::from_bytes(self.method.as_bytes()).is_err() {
            return Err(format!("the method '{method}' is not allowed: it is a word such as GET"));
        }
        if FORBIDDEN_METHODS.iter().any(|forbidden| self.method.eq_ignore_ascii_case(forbidden)) {
            return Err(format!("the method {method} is not allowed: it asks for no resource"));
        }
        Ok(())
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("the header '{}' is not allowed: its name is no word", shown(name)));
    }
    if NOT_THE_CALLERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err(format!("the header '{name}' is not allowed: the connection decides it"));
    }
    if HeaderValue::from_str(value).is_err() {
        return Err(format!("the value of header '{name}' has control characters, which no header has"));
    }
    Ok(())
}

impl fmt::Debug for HttpRequest {
    /// Without the values of headers, the body, and what follows the host in the URL: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host =
            Target::of(&self.url).map_or_else(|_| "(malformed)".to_owned(), |target| target.to_string());
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("host", &host)
            .field("headers", &names(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What an action is answered. A status that tells of a failure is an answer like any other.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The headers in their order; a name may come more than once. Bytes of a value that are no UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, as it was sent: whoever asks for a compressed one unpacks it.
    pub body: Bytes,
}

impl HttpResponse {
    /// A response without headers and body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// The same response with a header more.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same response with another body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same response with a value as JSON for its body, and a `content-type` that says so unless it has one.
    ///
    /// # Errors
    /// `InvalidArgument` when the value cannot be encoded.
    pub fn with_json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.body = json_body(&mut self.headers, value)?;
        Ok(self)
    }

    /// Whether the status tells of a success: 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of the first header of that name, in whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Decodes the body from JSON.
    ///
    /// # Errors
    /// `InvalidArgument` with the decoder's message and the status when it does not fit `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let text = format!("the body of the response, status {}, does not fit: {error}", self.status);
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }

    /// Checks status and sizes.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the size and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        if !(100..1000).contains(&self.status) {
            return Err(invalid(format!(
                "status {} of the response is out of range: 100 to 999",
                self.status
            )));
        }
        check_sizes("response", 0, &self.headers, &self.body)
    }
}

impl fmt::Debug for HttpResponse {
    /// Without the values of headers and the body, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &names(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

fn names(headers: &[(String, String)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_str()).collect()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn json_body<T: Serialize + ?Sized>(headers: &mut Vec<(String, String)>, value: &T) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(value)
        .map_err(|error| invalid("the body cannot be encoded as JSON").with_source(error))?;
    if header(headers, "content-type").is_none() {
        headers.push(("content-type".into(), "application/json".into()));
    }
    Ok(body.into())
}

fn check_sizes(what: &str, line: usize, headers: &[(String, String)], body: &Bytes) -> Result<(), Error> {
    let header = |(name, value): &(String, String)| name.len() + value.len() + HEADER_OVERHEAD;
    let head = line + headers.iter().map(header).sum::<usize>();
    if head > MAX_HEAD {
        return Err(invalid(format!(
            "the head of the {what} takes {head} bytes, over the {MAX_HEAD} allowed"
        )));
    }
    if body.len() > MAX_BODY {
        return Err(body_too_large(what, body.len()));
    }
    Ok(())
}

/// The body of a request or response is over [`MAX_BODY`].
pub(super) fn body_too_large(what: &str, size: impl fmt::Display) -> Error {
    invalid(format!("the body of the {what} has {size} bytes, over the {MAX_BODY} allowed"))
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

/// A text that is wrong, fit for one line.
fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(request: &HttpRequest) -> String {
        let error = request.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    }

    #[test]
    fn requests_that_are_well_formed_are_taken() {
        let urls =
            ["http://a", "https://a.example:1/x%20y?q=1&r#f", "HTTPS://[::1]:8443/", "http://user/a@b"];
        for url in urls {
            HttpRequest::get(url).check().unwrap();
        }
        for method in ["GET", "DELETE", "PROPFIND", "x-y"] {
            HttpRequest::new(method, "http://a").with_header("X-Key", "a b\tgröße").check().unwrap();
        }
    }

    #[test]
    fn a_malformed_url_is_refused_without_showing_its_secrets() {
        let table = [
            ("", "the URL is malformed"),
            ("/secret", "the URL is not absolute"),
            ("a.example", "the URL is not absolute"),
            ("http:///secret", "the URL"),
            ("http://", "the URL"),
            ("ftp://a/secret", "the URL's scheme is 'ftp', but has to be http or https"),
            ("http://me:secret@a/", "the URL has credentials in front of its host"),
            ("http://a b/secret", "the URL is malformed"),
            ("http://a/secr\net", "the URL is malformed"),
            ("http://größe.de/", "the URL is malformed"),
            ("http://a\\secret", "the URL is malformed"),
            ("http://a%2eb/secret", "the URL"),
            ("http://a.:80/secret", "the URL's host 'a.:80': its parts"),
            ("http://a:/secret", "the URL's host 'a:': a port is a number"),
            ("http://a:0/secret", "the URL's host 'a:0': a port is a number"),
            ("http://a:65536/secret", "the URL's host 'a:65536': a port is a number"),
            ("http://[::g]/secret", "the URL"),
        ];
        for (url, expected) in table {
            let problem = problem(&HttpRequest::get(url));
            assert!(problem.starts_with(expected), "{url}: {problem}");
            assert!(!problem.contains("secr"), "{problem}");
        }
    }

    #[test]
    fn methods_and_headers_that_are_not_allowed_are_named() {
        for method in ["", "GET ", "G\r\nX: y", "größe"] {
            assert!(
                problem(&HttpRequest::new(method, "http://a")).contains("it is a word such as GET"),
                "{method:?}"
            );
        }
        for method in ["CONNECT", "TRACE", "trace"] {
            let problem = problem(&HttpRequest::new(method, "http://a"));
            assert_eq!(problem, format!("the method {method} is not allowed: it asks for no resource"));
        }
        let with = |name: &str, value: &str| problem(&HttpRequest::get("http://a").with_header(name, value));
        for name in ["", "a b", "a:", "größe", "a\n"] {
            assert!(with(name, "secret").ends_with("is not allowed: its name is no word"), "{name:?}");
        }
        assert_eq!(with("Host", "b"), "the header 'Host' is not allowed: the connection decides it");
        for value in ["a\r\nhost: b", "\0", "\u{7f}"] {
            let expected = "the value of header 'x' has control characters, which no header has";
            assert_eq!(with("x", value), expected);
        }
    }

    #[test]
    fn what_is_too_large_names_both_sizes() {
        let body = vec![0; MAX_BODY + 1];
        let post = HttpRequest::post("http://a", body.clone());
        assert_eq!(problem(&post), "the body of the request has 8388609 bytes, over the 8388608 allowed");
        let response = HttpResponse::new(200).with_body(body).check().unwrap_err();
        assert_eq!(
            response.message(),
            "the body of the response has 8388609 bytes, over the 8388608 allowed"
        );
        let many = (0..2_000).fold(HttpRequest::get("http://a"), |request, _| request.with_header("a", "b"));
        assert_eq!(problem(&many), "the head of the request takes 68011 bytes, over the 65536 allowed");
        HttpRequest::post("http://a", vec![0; MAX_BODY]).check().unwrap();
        assert!(HttpResponse::new(99).check().is_err() && HttpResponse::new(1000).check().is_err());
    }

    #[test]
    fn bodies_and_headers_are_read_and_written() {
        let request =
            HttpRequest::get("http://a").with_header("Content-Type", "x/y").with_json(&json!([1])).unwrap();
        assert_eq!((request.headers.len(), &request.body[..]), (1, &b"[1]"[..]));
        let response = HttpResponse::new(201).with_json(&json!({ "a": 1 })).unwrap().with_header("X", "1");
        assert_eq!(
            (response.header("Content-Type"), response.header("x")),
            (Some("application/json"), Some("1"))
        );
        assert_eq!((response.header("y"), &*response.text()), (None, r#"{"a":1}"#));
        assert_eq!(response.json::<serde_json::Value>().unwrap(), json!({ "a": 1 }));
        let error = response.json::<Vec<u8>>().unwrap_err();
        assert!(
            error.message().starts_with("the body of the response, status 201, does not fit: "),
            "{error}"
        );
        assert!(response.is_success() && !HttpResponse::new(304).is_success());
    }

    #[test]
    fn debug_shows_no_secrets() {
        let request = HttpRequest::post("https://a.example/botSECRET?key=SECRET", "SECRET")
            .with_header("key", "SECRET");
        let response = HttpResponse::new(200).with_header("set-cookie", "SECRET").with_body("SECRET");
        let text = format!("{request:?} {response:?}");
        assert!(!text.contains("SECRET"), "{text}");
        assert!(
            text.contains("a.example") && text.contains("\"key\"") && text.contains("body_bytes: 6"),
            "{text}"
        );
    }
}

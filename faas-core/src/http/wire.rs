//! The form in which a guest and its host hand each other requests and responses: one line of JSON with the head,
//! and the bytes of the body after it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::message::{HttpRequest, HttpResponse};
use super::{MAX_BODY, MAX_HEAD};
use crate::error::{Error, ErrorKind};

/// The longest line of JSON. A head that is allowed becomes at most four times as long: bytes that are no UTF-8
/// become three, quotes two, and of its headers' share 32 bytes are left for the punctuation.
const MAX_LINE: usize = 4 * MAX_HEAD;

/// The longest text of an error, in bytes. Arbitrary.
const MAX_MESSAGE: usize = 4 << 10;

type Headers<'a> = Cow<'a, [(String, String)]>;

#[derive(Serialize, Deserialize)]
struct RequestHead<'a> {
    method: Cow<'a, str>,
    url: Cow<'a, str>,
    headers: Headers<'a>,
}

/// Either `error`, or the other two.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct ResponseHead<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Failure<'a> {
    kind: Cow<'a, str>,
    message: Cow<'a, str>,
    temporary: bool,
}

/// Encodes a request for the host: `{"method":…,"url":…,"headers":[[name, value],…]}`, a line feed, and the body.
#[must_use]
pub fn encode_request(request: &HttpRequest) -> Vec<u8> {
    let HttpRequest { method, url, headers, body } = request;
    let head = RequestHead { method: method.into(), url: url.into(), headers: headers.into() };
    encode(&head, body)
}

/// Decodes and checks what a guest asks.
///
/// # Errors
/// `InvalidArgument`, saying what is wrong: with the encoding, or with the request as [`HttpRequest::check`] does.
pub fn decode_request(bytes: Bytes) -> Result<HttpRequest, Error> {
    let malformed =
        |problem| Error::new(ErrorKind::InvalidArgument, format!("the encoded request {problem}"));
    let (head, body) = decode::<RequestHead<'_>>(&bytes).map_err(malformed)?;
    let request = HttpRequest {
        method: head.method.into_owned(),
        url: head.url.into_owned(),
        headers: head.headers.into_owned(),
        body,
    };
    request.check()?;
    Ok(request)
}

/// Encodes what became of a request for the guest: `{"status":…,"headers":[[name, value],…]}`, a line feed, and the
/// body; or `{"error":{"kind":…,"message":…,"temporary":…}}` and a line feed.
///
/// A response that is not allowed ([`HttpResponse::check`]) becomes the error that says so.
#[must_use]
pub fn encode_response(result: &Result<HttpResponse, Error>) -> Vec<u8> {
    match result {
        Ok(response) => match response.check() {
            Ok(()) => {
                let HttpResponse { status, headers, body } = response;
                let (status, headers) = (Some(*status), Some(headers.into()));
                encode(&ResponseHead { status, headers, error: None }, body)
            }
            Err(error) => encode_error(&error),
        },
        Err(error) => encode_error(error),
    }
}

fn encode_error(error: &Error) -> Vec<u8> {
    let message = error.message();
    let error = Failure {
        kind: error.kind().as_str().into(),
        message: message[..message.floor_char_boundary(MAX_MESSAGE)].into(),
        temporary: error.is_temporary(),
    };
    encode(&ResponseHead { error: Some(error), ..ResponseHead::default() }, &[])
}

/// Decodes what the host answers.
///
/// # Errors
/// The error that the host encoded, with its kind, its message and whether it is temporary; one of a kind that is
/// not known is `Internal`, and so is an answer that is malformed.
pub fn decode_response(bytes: Bytes) -> Result<HttpResponse, Error> {
    let malformed =
        |problem: String| Error::new(ErrorKind::Internal, format!("the host's encoded response {problem}"));
    let (head, body) = decode::<ResponseHead<'_>>(&bytes).map_err(malformed)?;
    if let Some(Failure { kind, message, temporary }) = head.error {
        return Err(Error::new(kind.parse().unwrap_or(ErrorKind::Internal), message).temporary(temporary));
    }
    let (Some(status), Some(headers)) = (head.status, head.headers) else {
        return Err(malformed("has neither status and headers nor an error".into()));
    };
    let response = HttpResponse { status, headers: headers.into_owned(), body };
    response.check()?;
    Ok(response)
}

fn encode(head: &impl Serialize, body: &[u8]) -> Vec<u8> {
    // Maps with other keys than text cannot be encoded; there are none.
    let mut bytes = serde_json::to_vec(head).unwrap_or_default();
    bytes.reserve_exact(1 + body.len());
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes
}

/// Splits head and body, which shares the bytes, or says what is wrong with them.
fn decode<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Result<(T, Bytes), String> {
    let line = &bytes[..bytes.len().min(MAX_LINE + 1)];
    let Some(end) = line.iter().position(|b| *b == b'\n') else {
        return Err(format!("has no line feed within {MAX_LINE} bytes"));
    };
    let body = bytes.slice(end + 1..);
    if body.len() > MAX_BODY {
        return Err(format!("has a body of {} bytes, over the {MAX_BODY} allowed", body.len()));
    }
    let head =
        serde_json::from_slice(&bytes[..end]).map_err(|error| format!("has a malformed head: {error}"))?;
    Ok((head, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = (String, String)> {
        ("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,20}", "[\t -~äλ]{0,60}")
    }

    fn request() -> impl Strategy<Value = HttpRequest> {
        let url = "https?://[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,3}(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9%~_.-]{0,9}){0,3}(\\?[a-z=&]{0,9})?";
        (
            "[A-Z]{1,9}X",
            url,
            prop::collection::vec(header(), 0..8),
            prop::collection::vec(any::<u8>(), 0..2_000),
        )
            .prop_map(|(method, url, headers, body)| HttpRequest {
                method,
                url,
                headers,
                body: body.into(),
            })
    }

    fn result() -> impl Strategy<Value = Result<HttpResponse, Error>> {
        let headers = prop::collection::vec((".{0,20}", ".{0,60}"), 0..8);
        let response = (100..1_000_u16, headers, prop::collection::vec(any::<u8>(), 0..2_000))
            .prop_map(|(status, headers, body)| Ok(HttpResponse { status, headers, body: body.into() }));
        let error = (prop::sample::select(ErrorKind::ALL), ".{0,200}", any::<bool>())
            .prop_map(|(kind, message, temporary)| Err(Error::new(kind, message).temporary(temporary)));
        prop_oneof![response, error]
    }

    /// What of a result goes over the wire.
    fn seen(result: &Result<HttpResponse, Error>) -> Result<&HttpResponse, (ErrorKind, &str, bool)> {
        result.as_ref().map_err(|error| (error.kind(), error.message(), error.is_temporary()))
    }

    proptest! {
        #[test]
        fn a_request_is_decoded_as_it_was_encoded(request in request()) {
            prop_assert_eq!(decode_request(encode_request(&request).into()).unwrap(), request);
        }

        #[test]
        fn a_response_or_an_error_is_decoded_as_it_was_encoded(result in result()) {
            let decoded = decode_response(encode_response(&result).into());
            prop_assert_eq!(seen(&decoded), seen(&result));
        }

        #[test]
        fn foreign_bytes_are_decoded_to_what_is_allowed_or_refused(bytes in foreign()) {
            if let Ok(request) = decode_request(bytes.clone().into()) {
                request.check().unwrap();
            }
            if let Ok(response) = decode_response(bytes.into()) {
                response.check().unwrap();
            }
        }
    }

    /// Noise, and messages with one byte changed.
    fn foreign() -> impl Strategy<Value = Vec<u8>> {
        let damage = |mut bytes: Vec<u8>, at: prop::sample::Index, byte: u8| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        };
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            (request(), any::<prop::sample::Index>(), any::<u8>())
                .prop_map(move |(request, at, byte)| damage(encode_request(&request), at, byte)),
            (result(), any::<prop::sample::Index>(), any::<u8>()).prop_map(move |(result, at, byte)| damage(
                encode_response(&result),
                at,
                byte
            )),
        ]
    }

    #[test]
    fn the_form_is_the_one_that_the_interface_tells() {
        let request = HttpRequest::post("http://a/\"", "\n{}").with_header("x", "\"");
        let encoded = encode_request(&HttpRequest { url: "http://a/".into(), ..request });
        let expected = "{\"method\":\"POST\",\"url\":\"http://a/\",\"headers\":[[\"x\",\"\\\"\"]]}\n\n{}";
        assert_eq!(String::from_utf8(encoded).unwrap(), expected);
        let response = encode_response(&Ok(HttpResponse::new(200).with_header("a", "b").with_body("c")));
        assert_eq!(response, b"{\"status\":200,\"headers\":[[\"a\",\"b\"]]}\nc");
        let error = encode_response(&Err(Error::new(ErrorKind::Unavailable, "gone")));
        assert_eq!(
            error,
            b"{\"error\":{\"kind\":\"unavailable\",\"message\":\"gone\",\"temporary\":true}}\n"
        );
    }

    #[test]
    fn what_is_malformed_is_refused_with_the_reason() {
        let long = vec![b' '; MAX_LINE + 1];
        let mut large = b"{\"method\":\"GET\",\"url\":\"http://a\",\"headers\":[]}\n".to_vec();
        large.resize(large.len() + MAX_BODY + 1, 0);
        let table: [(&[u8], &str); 6] = [
            (b"", "has no line feed within"),
            (&long, "has no line feed within"),
            (b"{\n", "has a malformed head"),
            (b"{\"method\":\"GET\",\"url\":\"http://a\"}\n", "missing field `headers`"),
            (&large, "has a body of 8388609 bytes, over the 8388608 allowed"),
            (b"{\"method\":\"GET\",\"url\":\"file:///x\",\"headers\":[]}\n", "the URL"),
        ];
        for (bytes, expected) in table {
            let error = decode_request(Bytes::copy_from_slice(bytes)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(expected), "{error}");
        }
        let table: [(&[u8], &str); 3] = [
            (b"{\"status\":200}\n", "has neither status and headers nor an error"),
            (b"{\"status\":70000,\"headers\":[]}\n", "has a malformed head"),
            (b"\n", "has a malformed head"),
        ];
        for (bytes, expected) in table {
            let error = decode_response(Bytes::copy_from_slice(bytes)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.message().contains(expected), "{error}");
        }
        let unknown = b"{\"error\":{\"kind\":\"new\",\"message\":\"m\",\"temporary\":false}}\n";
        assert_eq!(decode_response(Bytes::from_static(unknown)).unwrap_err().kind(), ErrorKind::Internal);
    }

    #[test]
    fn heads_of_the_largest_size_and_long_errors_fit() {
        let headers = vec![("x".to_owned(), "\"".repeat(MAX_HEAD - 64))];
        let request = HttpRequest { headers: headers.clone(), ..HttpRequest::get("http://a/") };
        decode_request(encode_request(&request).into()).unwrap();
        let many = vec![(String::new(), String::new()); MAX_HEAD / 32];
        for headers in [headers, many] {
            let response = HttpResponse { headers, ..HttpResponse::new(200) };
            decode_response(encode_response(&Ok(response)).into()).unwrap();
        }
        let error = Error::new(ErrorKind::Unavailable, "ü".repeat(1 << 20));
        let decoded = decode_response(encode_response(&Err(error)).into()).unwrap_err();
        assert_eq!((decoded.kind(), decoded.message().len()), (ErrorKind::Unavailable, MAX_MESSAGE));
        let large = HttpResponse::new(200).with_body(vec![0; MAX_BODY + 1]);
        let refused = decode_response(encode_response(&Ok(large)).into()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    }
}

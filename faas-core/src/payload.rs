//! Payloads: what goes into an action and comes out of it, as encoded JSON.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// The deepest nesting that a payload may have. Source: the recursion limit of `serde_json`.
pub const MAX_DEPTH: usize = 127;

/// The largest payload that a platform takes unless it is configured otherwise, in bytes. Source: OpenWhisk.
pub const MAX_BYTES: usize = 1 << 20;

/// A JSON object or array, encoded; cloning shares the bytes.
///
/// Actions take and return objects; arrays appear only as results and between members of a sequence.
///
/// ```
/// use faas_core::Payload;
/// use serde_json::json;
/// let payload = Payload::from_value(&json!({"name": "Ada"}))?;
/// assert_eq!(payload.as_str(), r#"{"name":"Ada"}"#);
/// assert!(Payload::from_value(&json!("Ada")).is_err());
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Bytes);

impl Payload {
    /// The empty object, `{}`.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// Encodes a value that becomes a JSON object or array.
    ///
    /// # Errors
    /// `InvalidArgument` when it becomes anything else, cannot be encoded or nests deeper than [`MAX_DEPTH`].
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, "the payload cannot be encoded as JSON").with_source(error)
        })?;
        Self::from_encoded(bytes)
            .map_err(|bytes| malformed(&bytes).unwrap_or_else(|| not_object_or_array(&bytes)))
    }

    /// Encodes an action's typed input, of which `()` stands for `{}`.
    #[cfg(feature = "host")]
    pub(crate) fn from_typed<T: Serialize + 'static>(input: &T) -> Result<Self, Error> {
        if std::any::TypeId::of::<T>() == std::any::TypeId::of::<()>() {
            return Ok(Self::empty());
        }
        Self::encode(input)
    }

    /// Encodes a [`Value`].
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Object(map) if map.is_empty() => Ok(Self::empty()),
            value => Self::encode(value),
        }
    }

    /// Takes bytes from elsewhere after checking that they are one JSON object or array.
    ///
    /// # Errors
    /// `InvalidArgument`, saying where the text stops being JSON or what it is instead.
    pub fn from_json(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if let Some(error) = malformed(&bytes) {
            return Err(error);
        }
        let start = bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
        match bytes.get(start) {
            Some(b'{' | b'[') => Ok(Self(bytes.slice(start..))),
            _ => Err(not_object_or_array(&bytes)),
        }
    }

    /// Takes what a JSON encoder wrote, or gives it back when it is no object or array or nests too deeply.
    pub(crate) fn from_encoded(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        match bytes.as_slice() {
            b"{}" => Ok(Self::empty()),
            // A payload may be kept for long: without what the encoder allotted beyond its end.
            [b'{' | b'[', ..] if depth(&bytes) <= MAX_DEPTH => Ok(Self(bytes.into_boxed_slice().into())),
            _ => Err(bytes),
        }
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// `InvalidArgument` with the decoder's message when it does not fit `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.0).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, format!("the payload does not fit: {error}"))
        })
    }

    /// The payload as a [`Value`].
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The encoded text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether the payload is an object (else it is an array).
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// The length of the encoded payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the payload is the empty object or array.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&*self.0, b"{}" | b"[]")
    }
}

/// The error of bytes that are not one JSON text, or nest too deeply.
fn malformed(bytes: &[u8]) -> Option<Error> {
    let text = match std::str::from_utf8(bytes) {
        Err(error) => format!("the payload is not UTF-8: {error}"),
        Ok(_) if depth(bytes) > MAX_DEPTH => format!("the payload nests deeper than {MAX_DEPTH} levels"),
        Ok(text) => format!("the payload is not JSON: {}", serde_json::from_str::<IgnoredAny>(text).err()?),
    };
    Some(Error::new(ErrorKind::InvalidArgument, text))
}

fn not_object_or_array(bytes: &[u8]) -> Error {
    // Not the value itself, which may be a secret: errors are logged.
    let what = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    Error::new(
        ErrorKind::InvalidArgument,
        format!("the payload must be a JSON object, or an array, but is {what}"),
    )
}

/// The nesting of encoded JSON: brackets outside of strings.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl Default for Payload {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Payload {
    /// Its kind and size: what describes work, such as an invocation or a job, is logged, and the payload may hold
    /// secrets. [`as_str`](Self::as_str) is the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_object() { "object" } else { "array" };
        write!(f, "{kind} of {} bytes", self.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(&value).map_err(serde::de::Error::custom)
    }
}

/// What the dynamic calls take as a payload: a [`Payload`], a [`Value`], JSON text, or `()` for `{}`.
///
/// # Behavior
/// - What is neither object nor array, or nests too deeply, is refused, whatever form it has.
pub trait IntoPayload {
    /// Turns the value into a payload.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no JSON object or array.
    fn into_payload(self) -> Result<Payload, Error>;
}

impl IntoPayload for Payload {
    fn into_payload(self) -> Result<Payload, Error> {
        Ok(self)
    }
}

impl IntoPayload for Value {
    fn into_payload(self) -> Result<Payload, Error> {
        Payload::from_value(&self)
    }
}

impl IntoPayload for &Value {
    fn into_payload(self) -> Result<Payload, Error> {
        Payload::from_value(self)
    }
}

impl IntoPayload for &str {
    fn into_payload(self) -> Result<Payload, Error> {
        Payload::from_json(self.as_bytes().to_vec())
    }
}

impl IntoPayload for () {
    fn into_payload(self) -> Result<Payload, Error> {
        Ok(Payload::empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_objects_and_arrays_are_payloads() {
        for good in ["{}", " {\"a\":1}", "[1,2]", "{\"a\":\"}}]]\\\"{\"}"] {
            assert!(Payload::from_json(good.as_bytes().to_vec()).is_ok(), "{good}");
        }
        for bad in ["", "null", "1", "\"x\"", "{", "{\"a\":}", "{} {}", "[1,]"] {
            let error = Payload::from_json(bad.as_bytes().to_vec()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
        assert!(Payload::from_json(b"{\"a\":\"\xff\"}".to_vec()).is_err());
    }

    #[test]
    fn the_deepest_nesting_is_taken_and_one_more_refused() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(nested(MAX_DEPTH).as_str().into_payload().unwrap().decode::<Value>().is_ok());
        let error = nested(MAX_DEPTH + 1).as_str().into_payload().unwrap_err();
        assert!(error.to_string().contains("deeper than 127 levels"), "{error}");
        let mut value = json!({});
        for _ in 0..MAX_DEPTH {
            value = json!({ "a": value });
        }
        assert!(value.into_payload().unwrap_err().to_string().contains("deeper than 127"));
    }
}

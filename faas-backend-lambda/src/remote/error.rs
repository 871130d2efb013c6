//! From AWS's errors to the one of this library.
//!
//! # Source
//! "Invoke" and "Common errors", AWS Lambda API reference.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::types::TagsError;
use faas_core::{Error, ErrorKind};
use hyper_util::client::legacy::Error as HttpError;

/// Refusals after which nothing has run and something may soon: too much at once, or an environment that could not be
/// made.
const NOT_YET: [&str; 12] = [
    "TooManyRequestsException",
    "ThrottlingException",
    "Throttling",
    "EC2ThrottledException",
    "EC2UnexpectedException",
    "ENILimitReachedException",
    "ENINotReadyException",
    "SubnetIPAddressLimitReachedException",
    "ResourceNotReadyException",
    "EFSMountTimeoutException",
    "EFSMountConnectivityException",
    "SnapStartNotReadyException",
];

/// Refusals of who asks, or of what the function's role may do.
const NOT_ALLOWED: [&str; 11] = [
    "AccessDeniedException",
    "EC2AccessDeniedException",
    "KMSAccessDeniedException",
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "InvalidClientTokenId",
    "IncompleteSignature",
    "OptInRequired",
];

/// Refusals of functions that cannot be started as they are: nothing has run, and nothing will before somebody changes
/// them.
const NOT_STARTABLE: [&str; 12] = [
    "EFSIOException",
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "RecursiveInvocationException",
    "SerializedRequestEntityTooLargeException",
    "SnapStartException",
    "SnapStartTimeoutException",
];

/// What a call of the control plane failed with. `what` is what was to be done, such as `create function 'x'`.
///
/// It runs nothing, and may be made again whether it had an effect or not.
pub(super) fn of_call<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match of_invocation(what, error) {
        unknown if unknown.kind() == ErrorKind::SandboxLost => {
            Error::new(ErrorKind::Unavailable, unknown.message())
        }
        error => error,
    }
}

/// What an invocation failed with: temporary only where nothing has run.
pub(super) fn of_invocation<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(failed) => of_refusal(what, failed.err(), failed.raw().status().as_u16()),
        SdkError::TimeoutError(_) => unknown(format!("AWS does not answer in time to {what}")),
        SdkError::ResponseError(failed) => {
            let status = failed.raw().status().as_u16();
            unknown(format!("AWS's answer to the call to {what} cannot be read (status {status})"))
        }
        other if is_unmade(other) => {
            let text = format!("no call can be made to {what}: {}", reason(error));
            Error::new(ErrorKind::InvalidArgument, text)
        }
        other => of_dispatch(what, other),
    }
}

/// Why AWS told of a function and not of its tags.
pub(super) fn of_tags(name: &str, withheld: &TagsError) -> Error {
    let (code, message) = (withheld.error_code(), shown(withheld.message()));
    if NOT_YET.contains(&code) {
        let text = format!("AWS does not tell the tags of function '{name}' yet: {code} {message}");
        return Error::new(ErrorKind::Throttled, text.trim_end()).temporary(true);
    }
    let text = format!(
        "AWS withholds the tags of function '{name}', which tell whose it is; that needs the permission lambda:ListTags: \
         {code} {message}"
    );
    Error::new(ErrorKind::PermissionDenied, text.trim_end())
}

/// How long AWS asks to wait before the call is made again.
pub(super) fn retry_after<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let told = error.raw_response()?.headers().get("retry-after")?;
    told.trim().parse().ok().map(Duration::from_secs)
}

/// What a call to AWS answered; none where it is not there.
pub(super) fn present<T, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    what: &str,
) -> Result<Option<T>, Error>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match of_call(what, &error) {
            error if error.kind() == ErrorKind::NotFound => Ok(None),
            error => Err(error),
        },
    }
}

fn of_refusal(what: &str, error: &impl ProvideErrorMetadata, status: u16) -> Error {
    let code = error.code().unwrap_or("no code");
    let message = shown(error.message().unwrap_or_default());
    let text = format!("AWS refuses to {what}: {code} (status {status}) {message}");
    let text = text.trim_end();
    let refused = |kind| Error::new(kind, text);
    match code {
        code if NOT_YET.contains(&code) => {
            let kind = if status == 429 { ErrorKind::Throttled } else { ErrorKind::Unavailable };
            refused(kind).temporary(true)
        }
        code if NOT_ALLOWED.contains(&code) => refused(ErrorKind::PermissionDenied),
        code if NOT_STARTABLE.contains(&code) => refused(ErrorKind::Internal),
        "ResourceNotFoundException" => refused(ErrorKind::NotFound),
        "ResourceConflictException" | "PreconditionFailedException" => refused(ErrorKind::Conflict),
        "RequestTooLargeException" | "RequestEntityTooLargeException" => refused(ErrorKind::InvalidArgument),
        "InvalidParameterValueException" | "ValidationException" | "InvalidRequestContentException" => {
            refused(ErrorKind::InvalidArgument)
        }
        // Not before somebody deletes something.
        "CodeStorageExceededException" | "ServiceQuotaExceededException" => {
            refused(ErrorKind::Exhausted).temporary(false)
        }
        _ => match status {
            429 => refused(ErrorKind::Throttled).temporary(true),
            401 | 403 => refused(ErrorKind::PermissionDenied),
            404 => refused(ErrorKind::NotFound),
            // Whether the function has run is known by nobody.
            500.. => unknown(text.to_owned()),
            _ => refused(ErrorKind::Internal),
        },
    }
}

/// The error of a call that did not reach AWS, or whose answer did not arrive.
fn of_dispatch(what: &str, error: &(dyn StdError + 'static)) -> Error {
    if let Some(cause) = credentials(error) {
        let reason = reason(cause);
        // What was attempted is in the lines after the first.
        let reason = reason.trim_end_matches(". Attempted:");
        let text = format!("there are no AWS credentials to {what}: {reason}");
        return Error::new(ErrorKind::PermissionDenied, text);
    }
    let connecting =
        causes(error).any(|cause| cause.downcast_ref::<HttpError>().is_some_and(HttpError::is_connect));
    let reason = reason(error);
    if connecting {
        let text = format!("AWS cannot be reached to {what}: {reason}");
        return Error::new(ErrorKind::Unavailable, text).temporary(true);
    }
    unknown(format!("the connection to AWS broke while it was asked to {what}: {reason}"))
}

/// Whether there was no call to send, such as for want of a region. The SDK tells what fails before a connection is used in
/// the same way as what fails in it, but for the error of that.
fn is_unmade<E: StdError + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    let may_be = match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(failed) => failed.is_other(),
        _ => false,
    };
    may_be && !causes(error).any(|cause| cause.is::<HttpError>() || cause.is::<CredentialsError>())
}

/// What was wrong with the credentials, if that was it.
fn credentials<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    causes(error).find(|cause| cause.is::<CredentialsError>())
}

/// The words of the innermost cause.
fn reason(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(|cause| shown(&cause.to_string())).unwrap_or_default()
}

/// The error and all that led to it.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let cause = |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    };
    std::iter::successors(Some(error), cause)
}

/// The error of a call of which nobody knows what came.
fn unknown(text: String) -> Error {
    Error::new(ErrorKind::SandboxLost, text).temporary(false)
}

/// The most that is shown of what AWS says, in bytes. Arbitrary.
const SHOWN: usize = 1 << 10;

/// The first line, as far as it is shown, without the objects in it. AWS repeats what it was told: the variables of a
/// function that are too large, an event, and in more lines what was signed, with the session's token.
fn shown(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let mut text = match line.split_once('{') {
        Some((before, object)) => {
            let after = object.rsplit_once('}').map_or("", |(_, after)| after);
            format!("{before}{{...}}{after}")
        }
        None => line.to_owned(),
    };
    let mut end = SHOWN.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_aws_repeats_is_not_shown() {
        for (message, expected) in [
            ("too large. String measured: {\"A\":{\"b\":1}}", "too large. String measured: {...}"),
            ("Value '{A=secret}' at 'x' is wrong", "Value '{...}' at 'x' is wrong"),
            ("Value '{A=two\nlines}' at 'x'", "Value '{...}"),
            ("it does not match\nsigned: secret", "it does not match"),
            ("", ""),
        ] {
            assert_eq!(shown(message), expected);
        }
        assert_eq!(shown(&"\u{e4}".repeat(1000)).len(), 1 << 10);
        assert_eq!(shown(&format!("x{}", "\u{e4}".repeat(1000))).len(), (1 << 10) - 1);
    }
}

//! Invoking functions.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::http::{Request, Response};
use super::{Invoked, Reply, Shared, control, lock};

/// The largest event and the largest answer, in bytes.
const LARGEST: usize = 6 << 20;

/// How much of a log is told, in bytes.
const TAIL: usize = 4 << 10;

pub(super) async fn invoke(shared: &Arc<Shared>, request: &Request) -> Response {
    let invoked = match begin(shared, request) {
        Ok(invoked) => invoked,
        Err(refused) => return refused,
    };
    let (name, version) = (invoked.function.clone(), invoked.version.clone());
    let reply = (shared.run)(invoked).await;
    if let Some(function) = lock(&shared.plane).functions.get_mut(&name) {
        function.running = function.running.saturating_sub(1);
    }
    told(request, reply, &version)
}

/// What is to be run, if it can be.
fn begin(shared: &Shared, request: &Request) -> Result<Invoked, Response> {
    if request.body.len() > LARGEST {
        let text = format!(
            "{} byte payload is too large for the RequestResponse invocation type (limit {LARGEST} bytes)",
            request.body.len()
        );
        return Err(Response::refusal(413, "RequestTooLargeException", &text));
    }
    // An event that is queued is delivered again by itself, which no test here expects.
    let kind = request.headers.get("x-amz-invocation-type").map_or("RequestResponse", String::as_str);
    if kind != "RequestResponse" {
        let text = format!("invocation type '{kind}': this service runs only what is waited for");
        return Err(Response::refusal(400, "InvalidParameterValueException", &text));
    }
    // However deep it nests.
    if serde_json::from_slice::<serde::de::IgnoredAny>(&request.body).is_err() {
        let text = "Could not parse request body into json: Could not parse payload into json";
        return Err(Response::refusal(400, "InvalidRequestContentException", text));
    }
    let mut plane = lock(&shared.plane);
    let function = plane.function(request)?;
    if function.reserved.is_some_and(|reserved| function.running >= reserved) {
        let body = serde_json::json!({
            "Type": "User", "message": "Rate Exceeded.",
            "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"
        });
        return Err(Response::json(429, &body).with_header("X-Amzn-ErrorType", "TooManyRequestsException"));
    }
    let qualifier = request.asked("Qualifier").or_else(|| control::name(request).1);
    let configuration = function.configuration(qualifier)?.clone();
    configuration.busy().map_or(Ok(()), Err)?;
    function.running += 1;
    let is_provisioned = function.provisioned.contains_key(&configuration.version);
    Ok(Invoked {
        function: configuration.name,
        version: configuration.version,
        variables: configuration.variables,
        memory: configuration.memory,
        timeout: configuration.timeout,
        zip: configuration.zip,
        sha256: configuration.sha256,
        revision: configuration.revision,
        is_provisioned,
        payload: request.body.clone(),
    })
}

fn told(request: &Request, reply: Reply, version: &str) -> Response {
    let reply = match reply.payload.len() {
        size if size > LARGEST => Reply {
            log: reply.log,
            ..Reply::failure(
                "Unhandled",
                "Function.ResponseSizeTooLarge",
                &format!("Response payload size exceeded maximum allowed payload size ({LARGEST} bytes)."),
            )
        },
        _ => reply,
    };
    let mut response = Response::new(reply.status, reply.payload)
        .with_header("Content-Type", "application/json")
        .with_header("X-Amz-Executed-Version", version);
    if let Some(class) = &reply.function_error {
        response = response.with_header("X-Amz-Function-Error", class);
    }
    if request.headers.get("x-amz-log-type").is_some_and(|kind| kind == "Tail") && !reply.log.is_empty() {
        let tail = &reply.log[reply.log.len().saturating_sub(TAIL)..];
        response = response.with_header("X-Amz-Log-Result", &STANDARD.encode(tail));
    }
    response
}

//! Invoking functions, and what comes of it.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use bytes::Bytes;
use faas_core::activation::Usage;
use faas_core::guest::Reply;
use faas_core::log::LogLine;
use faas_core::outcome::MAX_RESULT;
use faas_core::{
    ActionSpec, Completion, Entropy, Error, ErrorKind, Invocation, Outcome, StartKind, Timestamp,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::{of_invocation, retry_after};
use super::pause::Pauses;
use crate::message::{self, Failure, Heard};
use crate::report::Tail;

/// How long after the timeout of an action, or of its function, its answer is waited for: environments take up to ten seconds to be made, and may
/// be made twice. Arbitrary beyond that.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first and the longest pause before a call is made again that had no effect. Arbitrary.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often an environment may refuse in a row before the invocation is given back. Arbitrary.
const REFUSALS: u32 = 5;

/// A function that can be invoked.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its name or ARN.
    pub(super) name: String,
    /// Its version or alias; none for what a name or ARN says by itself.
    pub(super) qualifier: Option<String>,
    /// Whether it is one of this library, and not only adopted.
    pub(super) is_own: bool,
    /// Its memory in MB.
    pub(super) memory: u64,
    /// How long Lambda lets it run: of its own longer than its action, of an adopted one what somebody else has set.
    pub(super) timeout: Duration,
}

/// What Lambda answered.
struct Answered {
    output: InvokeOutput,
    tail: Tail,
    /// When it was asked, and how long it took.
    began: Timestamp,
    took: Duration,
}

/// Runs an invocation.
///
/// # Errors
/// As from [`Backend::invoke`](faas_core::Backend::invoke): temporary only where nothing has run.
pub(super) async fn invoke(
    client: &Client,
    target: &Target,
    spec: &ActionSpec,
    invocation: &Invocation,
    entropy: &Entropy,
) -> Result<Completion, Error> {
    let event = match target.is_own {
        true => message::event(spec, invocation, entropy.next_u64()),
        false => invocation.payload.as_bytes().clone(),
    };
    let mut refusals = 0;
    loop {
        let answered = ask(client, target, spec, event.clone(), invocation.start_by, entropy).await?;
        match completion(target, spec, invocation, answered) {
            Ok(completion) => return Ok(completion),
            Err(error) => {
                refusals += 1;
                if refusals >= REFUSALS {
                    return Err(error);
                }
            }
        }
    }
}

/// Asks what came of the initialisation of a function of this library.
///
/// # Errors
/// `InitFailed` with the text of the developer error; else as from [`invoke`].
pub(super) async fn probe(
    client: &Client,
    target: &Target,
    spec: &ActionSpec,
    until: Instant,
    entropy: &Entropy,
) -> Result<(), Error> {
    let Answered { output, .. } = ask(client, target, spec, message::probe(), until, entropy).await?;
    let body = payload(&output);
    let init_failed =
        |outcome: &Outcome| Err(Error::new(ErrorKind::InitFailed, outcome.error().unwrap_or_default()));
    if output.function_error().is_some() {
        return init_failed(&Outcome::init_failed(&Failure::read(&body).text()));
    }
    match message::heard(&body) {
        Heard::Ran(..) => Ok(()),
        Heard::Uninitialized(_, Reply { outcome, .. }) | Heard::Garbage(outcome) => init_failed(&outcome),
        Heard::Refused(reason) => Err(refused(&reason)),
    }
}

/// Calls a function; again where it was not run, as long as there is time for that.
async fn ask(
    client: &Client,
    target: &Target,
    spec: &ActionSpec,
    event: Bytes,
    start_by: Instant,
    entropy: &Entropy,
) -> Result<Answered, Error> {
    let what = format!("invoke function '{}'", target.name);
    let mut pauses = Pauses::new(PAUSES);
    loop {
        let call = client
            .invoke()
            .function_name(&target.name)
            .set_qualifier(target.qualifier.clone())
            .invocation_type(InvocationType::RequestResponse)
            .log_type(LogType::Tail)
            .payload(Blob::new(event.to_vec()));
        let (began, start) = (entropy.wall_clock(), Instant::now());
        let latest = start + spec.limits.timeout.max(target.timeout) + PATIENCE;
        let answer = timeout_at(latest, call.send()).await;
        let (error, after) = match answer {
            Ok(Ok(output)) => {
                let tail = Tail::read(output.log_result());
                return Ok(Answered { output, tail, began, took: start.elapsed() });
            }
            Ok(Err(error)) => (not_run(of_invocation(&what, &error)), retry_after(&error)),
            Err(_) => {
                let text = format!("function '{}' does not answer; whether it ran is not known", target.name);
                return Err(Error::new(ErrorKind::SandboxLost, text).temporary(false));
            }
        };
        let wait = pauses.next().max(after.unwrap_or_default());
        // AWS may ask for more time than a clock has.
        let again = Instant::now().checked_add(wait).filter(|again| *again < start_by);
        let Some(again) = again.filter(|_| error.is_temporary()) else { return Err(error) };
        tracing::debug!(%error, "a call that had no effect is made again");
        sleep_until(again).await;
    }
}

/// A function that is being changed runs nothing, and soon does again.
fn not_run(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Conflict => Error::new(ErrorKind::Unavailable, error.message()),
        _ => error,
    }
}

/// What an answer means; an error where nothing was run.
fn completion(
    target: &Target,
    spec: &ActionSpec,
    invocation: &Invocation,
    answered: Answered,
) -> Result<Completion, Error> {
    let body = payload(&answered.output);
    let usage = answered.tail.usage();
    if answered.output.function_error().is_some() {
        let (outcome, in_init) = failed(target, spec, &answered, &Failure::read(&body));
        let ran = Ran { in_init, ..Ran::unmeasured(&answered, usage) };
        let logs = logs(target, spec, invocation, &answered);
        return Ok(ran.completion(outcome, logs, usage));
    }
    if !target.is_own {
        let ran = Ran::unmeasured(&answered, usage);
        let logs = logs(target, spec, invocation, &answered);
        return Ok(ran.completion(foreign(&body), logs, usage));
    }
    match message::heard(&body) {
        Heard::Ran(told, reply) => {
            let ran = Ran {
                cold: told.cold,
                in_init: false,
                init: Duration::from_nanos(told.init),
                run: Duration::from_nanos(told.run),
                took: answered.took,
            };
            let mut completion = ran.completion(reply.outcome, reply.logs, usage);
            completion.emitted = reply.emitted;
            Ok(completion)
        }
        Heard::Uninitialized(told, reply) => {
            let init = Duration::from_nanos(told.init);
            let ran = Ran { cold: true, in_init: true, init, run: Duration::ZERO, took: answered.took };
            let logs = match reply.logs.is_empty() {
                true => logs(target, spec, invocation, &answered),
                false => reply.logs,
            };
            Ok(ran.completion(reply.outcome, logs, usage))
        }
        Heard::Refused(reason) => Err(refused(&reason)),
        Heard::Garbage(outcome) => {
            let ran = Ran::unmeasured(&answered, usage);
            Ok(ran.completion(outcome, logs(target, spec, invocation, &answered), usage))
        }
    }
}

fn refused(reason: &str) -> Error {
    Error::new(ErrorKind::SandboxLost, format!("the environment took no work: {reason}")).temporary(true)
}

/// Where the time of an answer went.
struct Ran {
    cold: bool,
    in_init: bool,
    init: Duration,
    run: Duration,
    took: Duration,
}

impl Ran {
    /// Of a function that did not measure it: what Lambda bills, else what the call took.
    fn unmeasured(answered: &Answered, usage: Usage) -> Self {
        let init = usage.billed_init.unwrap_or_default();
        let took = answered.took;
        let run = usage.billed.unwrap_or_else(|| took.saturating_sub(init)).min(took);
        Self { cold: usage.billed_init.is_some(), in_init: false, init, run, took }
    }

    fn completion(self, outcome: Outcome, logs: Vec<LogLine>, usage: Usage) -> Completion {
        let Self { cold, in_init, init, run, took } = self;
        let (init, run) = match (cold, in_init) {
            (_, true) => (init.max(Duration::from_nanos(1)), Duration::ZERO),
            (true, false) => (init, run),
            (false, false) => (Duration::ZERO, run),
        };
        let (start_kind, create) = match cold {
            true => (StartKind::Cold, took.saturating_sub(init).saturating_sub(run)),
            false => (StartKind::Warm, Duration::ZERO),
        };
        let wait = Duration::ZERO;
        Completion { outcome, start_kind, wait, create, init, run, logs, emitted: Vec::new(), usage }
    }
}

fn payload(output: &InvokeOutput) -> Bytes {
    output.payload().map(|payload| Bytes::copy_from_slice(payload.as_ref())).unwrap_or_default()
}

/// The log of a run that did not bring its own.
fn logs(target: &Target, spec: &ActionSpec, invocation: &Invocation, answered: &Answered) -> Vec<LogLine> {
    match target.is_own {
        true => answered.tail.of(invocation.id, spec.limits.logs, answered.began),
        false => answered.tail.all(spec.limits.logs, answered.began),
    }
}

/// What a function that is none of this library's answered.
fn foreign(body: &Bytes) -> Outcome {
    if body.len() > MAX_RESULT {
        return Outcome::oversized(body, body.len(), MAX_RESULT);
    }
    match body.as_ref() {
        // What functions answer that have nothing to say.
        b"null" | b"" => Outcome::success(faas_core::Payload::empty()),
        body => Outcome::from_foreign_reply(body.to_vec()),
    }
}

/// What a failure means that Lambda tells of, and whether it was while the function initialised.
///
/// # Source
/// The types and texts are those that Lambda answers with; they are in no list.
fn failed(target: &Target, spec: &ActionSpec, answered: &Answered, failure: &Failure) -> (Outcome, bool) {
    // Of this library's functions it is the action's own limit that ends a run.
    let limit = if target.is_own { spec.limits.timeout } else { target.timeout };
    let (kind, text) = (failure.error_type.as_str(), failure.error_message.as_str());
    let timed_out = kind == "Sandbox.Timedout" || text.contains("Task timed out after");
    let exited = matches!(kind, "Runtime.ExitError" | "Runtime.Unknown")
        || text.contains("Runtime exited")
        || text.contains("exited without providing a reason");
    let used_up = kind == "Runtime.OutOfMemory"
        || exited && text.contains("signal: killed") && answered.tail.is_memory_used_up(target.memory);
    let in_init = matches!(
        kind,
        "Runtime.InitError"
            | "Runtime.InvalidEntrypoint"
            | "Runtime.ImportModuleError"
            | "Runtime.HandlerNotFound"
    ) || kind.starts_with("Extension.");
    if timed_out {
        (Outcome::timed_out(limit), false)
    } else if used_up {
        (Outcome::memory_exhausted(), false)
    } else if kind == "Function.ResponseSizeTooLarge" {
        let length = text.split(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse().ok());
        (Outcome::oversized(&[], length.unwrap_or(MAX_RESULT + 1), MAX_RESULT), false)
    } else if in_init {
        (Outcome::init_failed(&failure.text()), true)
    } else if exited {
        (Outcome::exited(), false)
    } else if answered.output.function_error() == Some("Handled") {
        (Outcome::application_error(failure.text()), false)
    } else {
        (Outcome::developer_error(failure.text()), false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use faas_core::{ActivationId, Payload};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::remote::client;
    use crate::remote::config::{Config, Credentials};

    /// What an invocation comes to at that address, which may wait so long for its start.
    async fn failed(endpoint: String, limit: Duration) -> Error {
        let credentials =
            Credentials { id: "AKIDEXAMPLE".to_owned(), secret: "a-secret".to_owned(), token: None };
        let config = Config {
            endpoint: Some(endpoint),
            region: Some("eu-west-1".to_owned()),
            credentials: Some(credentials),
            ..Config::default()
        };
        let client = Client::new(&client::connect(&config).await);
        let timeout = Duration::from_secs(1);
        let target = Target { name: "f".to_owned(), qualifier: None, is_own: true, memory: 128, timeout };
        let mut invocation = Invocation::detached(ActivationId::from_u128(7), Payload::empty());
        invocation.start_by = Instant::now() + limit;
        invoke(&client, &target, &ActionSpec::new("f").unwrap(), &invocation, &Entropy::default())
            .await
            .unwrap_err()
    }

    #[track_caller]
    fn assert_unreachable(error: &Error) {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
        assert!(error.message().starts_with("AWS cannot be reached to invoke function 'f': "), "{error}");
    }

    #[tokio::test]
    async fn a_host_without_an_address_or_a_listener_is_unreachable() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().map(|address| address.port());
        for endpoint in
            ["http://no-such-host.invalid".to_owned(), format!("http://127.0.0.1:{}", port.unwrap())]
        {
            assert_unreachable(&failed(endpoint, Duration::from_millis(200)).await);
        }
    }

    #[tokio::test]
    async fn a_host_that_never_takes_the_connection_is_unreachable() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(connected.unwrap());
        }
        assert_unreachable(&failed(format!("http://{address}"), Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn a_host_that_speaks_no_tls_is_unreachable_and_asked_again() {
        for greeting in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", b"\x15\x03\x03\0\x02\x02\x28"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
            let count = Arc::clone(&asked);
            let serving = tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.write_all(greeting).await;
                }
            });
            assert_unreachable(&failed(format!("https://{address}"), Duration::from_millis(400)).await);
            assert!((2..=6).contains(&asked.load(Ordering::Relaxed)), "asked {asked:?} times");
            serving.abort();
        }
    }
}

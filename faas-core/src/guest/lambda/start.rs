//! The program: how it starts, and how it begins anew.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{env, io};

use lambda_runtime::tower::util::{MapRequestLayer, MapResponseLayer};
use lambda_runtime::{LambdaInvocation, Runtime, service_fn};
use tokio::runtime;

use super::function::Function;
use super::instead::{self, Answer, INVOCATION};
use super::{ABI, SPEC, leftovers};
use crate::action::{ActionSet, BoxFuture};
use crate::error::Error;
use crate::guest::process::{self, Output, ProcessHost};
use crate::http::{HttpClient, HttpRequest, HttpResponse, NetworkClient};
use crate::log::Stream;

/// The variable that has the address of the Runtime API.
const ADDRESS: &str = "AWS_LAMBDA_RUNTIME_API";

/// The variables without which `lambda_runtime` does not start. Source: Lambda's environment of functions.
const NEEDED: [&str; 4] =
    [ADDRESS, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"];

/// The variable that says why this environment was made, and its value where that was ahead of any event. Source:
/// Lambda's environment of functions.
const MADE_FOR: (&str, &str) = ("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency");

/// Serves the function until the program is ended. It is called once, first thing in `main`.
#[must_use]
pub fn main(actions: fn() -> ActionSet) -> ExitCode {
    process::main(actions, ABI, serve)
}

fn serve(actions: fn() -> ActionSet) -> io::Result<()> {
    if let Some(missing) = NEEDED.iter().find(|name| env::var_os(name).is_none()) {
        let text = format!("this program is the bootstrap of an AWS Lambda function: {missing} is not set");
        return Err(io::Error::other(text));
    }
    let (folder, files) = (env::current_dir()?, leftovers::inherited());
    let output = process::take_output()?;
    let variables = env::vars_os().collect();
    let origin = Arc::new(Origin { variables, folder, files, output, invocation: Mutex::default() });
    let told = env::var(SPEC).ok();
    let ahead = env::var(MADE_FOR.0).is_ok_and(|reason| reason == MADE_FOR.1);
    let served = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let host = ProcessHost::new(output, Some(Arc::new(Client::default())));
        let own = Arc::clone(&origin);
        let function = Arc::new(Function::init(actions(), told.as_deref(), ahead, host, own).await?);
        let handler = Arc::clone(&function);
        let handler = service_fn(move |event| {
            let function = Arc::clone(&handler);
            async move { function.answer(event).await }
        });
        let own = Arc::clone(&origin);
        let asked = MapRequestLayer::new(move |invocation: LambdaInvocation| {
            own.note(&invocation);
            invocation
        });
        // It sees that an answer has arrived.
        let answered = MapResponseLayer::new(|()| {
            if function.is_spent() {
                origin.renew();
            }
        });
        Runtime::new(handler).layer(asked).layer(answered).run().await.map_err(io::Error::other)
    });
    if let Err(error) = &served {
        output.write(Stream::Stderr, format!("error: {error}\n").as_bytes());
    }
    // What still blocks a thread is not waited for.
    std::process::exit(i32::from(served.is_err()));
}

/// The program that runs, wherever it is. Source: proc(5).
const PROGRAM: &str = "/proc/self/exe";

/// What the program began with.
pub(super) struct Origin {
    variables: Vec<(OsString, OsString)>,
    folder: PathBuf,
    files: Vec<RawFd>,
    pub(super) output: &'static Output,
    /// What Lambda calls the attempt at the last event, if it says that.
    invocation: Mutex<Option<String>>,
}

impl Origin {
    fn note(&self, invocation: &LambdaInvocation) {
        let told = invocation.parts.headers.get(INVOCATION).and_then(|told| told.to_str().ok());
        *self.invocation.lock().unwrap_or_else(PoisonError::into_inner) = told.map(str::to_owned);
    }

    /// Answers the event of a request, and replaces the program, while its own thread is held up.
    pub(super) fn renew_after(&self, request: &str, answer: Answer) -> ! {
        let invocation = self.invocation.lock().unwrap_or_else(PoisonError::into_inner).take();
        // As it was in the beginning: the action may have changed its own.
        let address = self.variables.iter().find(|(name, _)| name == ADDRESS);
        let address = address.map_or_else(String::new, |(_, address)| address.to_string_lossy().into_owned());
        if let Err(error) = instead::answer(&address, request, invocation.as_deref(), answer) {
            self.output.write(Stream::Stderr, format!("error: {error}\n").as_bytes());
            std::process::exit(1);
        }
        self.renew()
    }

    /// Replaces the program by a new one, which is to Lambda the same: it asks for the next event.
    fn renew(&self) -> ! {
        let given_back = self.output.give_back();
        leftovers::clear(&self.files);
        leftovers::empty_own_folder();
        let variables = self.variables.iter().cloned();
        let error = match given_back {
            Ok(()) => Command::new(PROGRAM).env_clear().envs(variables).current_dir(&self.folder).exec(),
            Err(error) => error,
        };
        // Lambda makes another environment instead.
        self.output.write(Stream::Stderr, format!("error: cannot begin anew: {error}\n").as_bytes());
        std::process::exit(1);
    }
}

/// The client for the action's requests, made for the first one: reading the system's certificates takes a while.
#[derive(Default)]
struct Client(OnceLock<NetworkClient>);

impl HttpClient for Client {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Error>> {
        self.0.get_or_init(NetworkClient::new).send(request)
    }
}

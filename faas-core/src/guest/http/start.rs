//! The program: how it starts, what it listens on, and how it ends.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::host::GuestHost;
use super::output::Output;
use super::server::Server;
use super::{EGRESS, PORT, SOCKET, VERSION, ending};
use crate::action::ActionSet;
use crate::artifact::Description;
use crate::log::Stream;

/// The flag that has the program print what it contains, as a [`Description`] in JSON, and end.
const DESCRIBE: &str = "--describe";

/// Serves the actions until the program is told to stop. It is called once, first thing in `main`.
#[must_use]
pub fn main(actions: fn() -> ActionSet) -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let done = match (arguments.next(), arguments.next()) {
        (None, _) => serve(actions),
        (Some(flag), None) if flag == DESCRIBE => describe(actions),
        _ => Err(io::Error::other(format!("the only argument that is known is {DESCRIBE}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn describe(actions: fn() -> ActionSet) -> io::Result<()> {
    let description = Description::of(actions(), VERSION.parse().unwrap_or_default());
    let mut text = serde_json::to_vec(&description)?;
    text.push(b'\n');
    io::stdout().write_all(&text)
}

fn serve(actions: fn() -> ActionSet) -> io::Result<()> {
    let output = Output::take()?;
    ending::arrange(output)?;
    let hook = Box::new(move |panic: &std::panic::PanicHookInfo<'_>| {
        // The record has the message; whoever looks at the container sees the place as well.
        output.write(Stream::Stderr, format!("{panic}\n").as_bytes());
    });
    std::panic::set_hook(hook);
    let served = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let server = Server::new(actions, GuestHost::new(output, variable(EGRESS)), output);
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            served = listen(Arc::new(server), variable(SOCKET)) => served,
            _ = terminated.recv() => Ok(()),
        }
    });
    if let Err(error) = &served {
        output.write(Stream::Stderr, format!("error: {error}\n").as_bytes());
    }
    // What still blocks a thread is not waited for.
    std::process::exit(i32::from(served.is_err()));
}

async fn listen(server: Arc<Server>, socket: Option<PathBuf>) -> io::Result<()> {
    let Some(path) = socket else {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        loop {
            let (connection, _) = listener.accept().await?;
            connection.set_nodelay(true)?;
            tokio::spawn(Arc::clone(&server).attend(connection));
        }
    };
    let listener = UnixListener::bind(&path)
        .map_err(|error| io::Error::other(format!("cannot listen on {}: {error}", path.display())))?;
    // The folder tells who may connect; within it the host may be another user than this program.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(Arc::clone(&server).attend(connection));
    }
}

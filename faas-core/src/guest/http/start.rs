//! The program: what it listens on, and how it ends.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs, io};

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::egress::Egress;
use super::server::Server;
use super::{ABI, EGRESS, PORT, SOCKET};
use crate::action::ActionSet;
use crate::guest::process::{self, ProcessHost};
use crate::http::HttpClient;
use crate::log::Stream;

/// Serves the actions until the program is told to stop. It is called once, first thing in `main`.
#[must_use]
pub fn main(actions: fn() -> ActionSet) -> ExitCode {
    process::main(actions, ABI, serve)
}

fn serve(actions: fn() -> ActionSet) -> io::Result<()> {
    let output = process::take_output()?;
    let served = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let client = variable(EGRESS).map(|path| Arc::new(Egress(path)) as Arc<dyn HttpClient>);
        let server = Server::new(actions, ProcessHost::new(output, client), output);
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

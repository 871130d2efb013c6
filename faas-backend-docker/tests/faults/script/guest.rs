//! The guest in a container of a scripted engine: it gives its input back, or holds it until it is ended.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use faas_core::guest::Reply;
use faas_core::guest::http::wire::{Envelope, Run};
use faas_core::guest::http::{ENVELOPE, GUEST, PORT, VERSION};
use faas_core::{Outcome, Payload};
use tokio::io::BufStream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::http::{Asked, Socket, answer, left, write};

/// An input that is held.
pub(crate) const HELD: &str = r#"{"held":true}"#;

/// A guest that runs. Dropped, it and its connections end.
pub(super) struct Guest {
    task: JoinHandle<()>,
    holds: Arc<AtomicBool>,
    paused: watch::Sender<bool>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Guest {
    /// Starts one that listens on a socket in the folder or, without one, at the address.
    pub(super) fn start(folder: Option<&Path>, address: Ipv4Addr) -> io::Result<Self> {
        let holds = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&holds);
        let paused = watch::Sender::new(false);
        let pauses = paused.subscribe();
        let task = match folder {
            Some(folder) => {
                let listener = UnixListener::bind(folder.join("guest"))?;
                tokio::spawn(async move {
                    let mut connections = JoinSet::new();
                    while let Ok((stream, _)) = listener.accept().await {
                        connections.spawn(attend(Box::new(stream), Arc::clone(&shared), pauses.clone()));
                    }
                })
            }
            None => {
                let listener = std::net::TcpListener::bind((address, PORT))?;
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                tokio::spawn(async move {
                    let mut connections = JoinSet::new();
                    while let Ok((stream, _)) = listener.accept().await {
                        connections.spawn(attend(Box::new(stream), Arc::clone(&shared), pauses.clone()));
                    }
                })
            }
        };
        Ok(Self { task, holds, paused })
    }

    /// Has it do nothing, or go on.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Whether it holds an input.
    pub(super) fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }
}

async fn attend(stream: Box<dyn Socket>, holds: Arc<AtomicBool>, mut paused: watch::Receiver<bool>) {
    let mut host = BufStream::new(stream);
    while let Ok(Some(asked)) = Asked::read(&mut host).await {
        let reply = match asked.path.as_str() {
            "/init" => answer(200, &format!("{GUEST}: {VERSION}\r\n"), b"{\"ok\":true}"),
            _ => {
                let run: Run<'_> = serde_json::from_slice(&asked.body).unwrap();
                let input = run.value.map_or("{}", |value| value.get()).to_owned();
                if input == HELD {
                    holds.store(true, Ordering::Release);
                    return left(&mut host).await;
                }
                let outcome = Outcome::success(Payload::from_json(input).unwrap());
                let (header, body) = Envelope::pack(Reply { outcome, logs: vec![], emitted: vec![] });
                answer(200, &format!("{ENVELOPE}: {header}\r\n"), &body)
            }
        };
        if paused.wait_for(|paused| !paused).await.is_err() {
            return;
        }
        if write(&mut host, &reply).await.is_err() {
            return;
        }
    }
}

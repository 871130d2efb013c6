//! Shutting down when the operating system asks for it.

use std::time::Duration;

use super::{Platform, Shutdown};
use crate::error::{Error, ErrorKind};

impl Platform {
    /// Waits until the process is asked to end, and then shuts down with that grace: a `main` that ends with this call
    /// ends cleanly. A second request ends the grace at once.
    ///
    /// Requests are SIGTERM and SIGINT on Unix, and Ctrl-C, Ctrl-Break, closing the console and shutting down on
    /// Windows. They end the process no more once this was called.
    ///
    /// ```no_run
    /// # use faas_core::prelude::*;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let app = Platform::builder().backend(LocalBackend::new()).build().await?;
    /// let shut = app.shutdown_on_signal(Duration::from_secs(30)).await?;
    /// println!("{} activations are left for the next start", shut.left);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unavailable` when signals cannot be listened to; as [`shutdown`](Self::shutdown).
    ///
    /// # Cancel safety
    /// As [`shutdown`](Self::shutdown), once a signal has come; before, dropping it changes nothing but that signals
    /// have no effect any more.
    pub async fn shutdown_on_signal(&self, grace: Duration) -> Result<Shutdown, Error> {
        let listen =
            |error| Error::new(ErrorKind::Unavailable, "signals cannot be listened to").with_source(error);
        let mut signals = Signals::new().map_err(listen)?;
        signals.next().await;
        tracing::info!(?grace, "shutting down as asked");
        tokio::select! {
            biased;
            done = self.shutdown(grace) => done,
            () = signals.next() => {
                tracing::info!("shutting down at once, as asked again");
                self.shutdown(Duration::ZERO).await
            }
        }
    }
}

/// Requests to end, from the moment on when this is made.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Requests to end, from the moment on when this is made.
#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    stop: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self {
            interrupt: ctrl_c()?,
            stop: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.stop.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}

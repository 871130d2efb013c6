//! A backend of one's own: each activation runs on a thread that it may block.

#![allow(clippy::print_stdout, reason = "a program that talks to its user")]

use std::sync::{Arc, OnceLock};

use faas_core::backend::{Backend, BackendInfo, Capacity, Completion, Deployment, Health, Invocation};
use faas_core::guest::{Call, Guest};
use faas_core::{ActionSpec, Entropy, Error, ErrorKind, LocalBackend, Outcome, Platform, StartKind};
use tokio::time::{Instant, timeout};

struct Threads {
    info: BackendInfo,
    entropy: OnceLock<Arc<Entropy>>,
}

#[async_trait::async_trait]
impl Backend for Threads {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.entropy.get_or_init(|| Arc::clone(entropy));
    }

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        let host = Arc::<Entropy>::clone(self.entropy.get_or_init(Arc::default));
        let guest = Guest::new(Arc::clone(&spec), host)?;
        guest.init().await.map_err(|it| Error::new(ErrorKind::InitFailed, format!("{:?}", it.outcome)))?;
        Ok(Deployment::new(spec, Arc::new(guest)))
    }

    async fn invoke(&self, deployment: &Deployment, invocation: Invocation) -> Result<Completion, Error> {
        let foreign = || Error::new(ErrorKind::InvalidArgument, "the deployment is of another backend");
        let guest = Arc::clone(deployment.state::<Arc<Guest>>().ok_or_else(foreign)?);
        let (began, limit) = (Instant::now(), deployment.spec.limits.timeout);
        let deadline = self.entropy.get_or_init(Arc::default).since_base(began + limit);
        let thread = tokio::task::spawn_blocking(move || {
            // The permit goes with the thread, which may outlive whoever waits for it.
            let Invocation { id, attempt, payload, log_level, permit: _permit, .. } = invocation;
            let mut run = guest.run(Call { id, attempt, deadline, payload, log_level });
            let reply = tokio::runtime::Handle::current().block_on(timeout(limit, &mut run));
            reply.unwrap_or_else(|_| run.abandon(Outcome::timed_out(limit)))
        });
        let reply = thread.await.map_err(|lost| Error::new(ErrorKind::SandboxLost, lost.to_string()))?;
        Ok(Completion::new(reply, StartKind::Warm, began.elapsed()))
    }

    async fn ready(&self) {}

    async fn warm(&self, _: &Deployment, _: usize) -> Result<usize, Error> {
        Ok(0)
    }

    async fn remove(&self, _: &Deployment) -> Result<(), Error> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::default()
    }

    async fn shutdown(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (capability, capacity) = (LocalBackend::CAPABILITY, Capacity::Slots(8));
    let info = BackendInfo { name: "threads".to_owned(), capability, capacity };
    let backend = Threads { info, entropy: OnceLock::new() };
    let app = Platform::builder().backend(backend).actions(faas_examples::actions()).build().await?;
    let quake = faas_examples::catalogue::week()?.remove(0);
    println!("{:?}", app.call::<faas_examples::earthquakes::aggregate>(quake).await?);
    app.shutdown(std::time::Duration::from_secs(1)).await?;
    Ok(())
}

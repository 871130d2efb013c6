//! Environments made ahead: provisioned concurrency.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_provisioned_concurrency_config::GetProvisionedConcurrencyConfigOutput;
use aws_sdk_lambda::types::ProvisionedConcurrencyStatusEnum as Status;
use faas_core::{Error, ErrorKind};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{of_call, present};
use super::invoke::Target;
use super::pause::{LOOKS, Pauses};
use super::remove::Uses;

/// Finds environments that were ordered before, by a process that may have been killed, so that they are ended with those
/// of this one. Where AWS does not tell, there may be some.
pub(super) async fn find(client: &Client, uses: &Uses, target: &Target, deadline: Instant) {
    if !matches!(timeout_at(deadline, look(client, target)).await, Ok(Ok(None))) {
        uses.ordered(target);
    }
}

/// What is ordered for the version.
async fn look(
    client: &Client,
    target: &Target,
) -> Result<Option<GetProvisionedConcurrencyConfigOutput>, Error> {
    let (name, version) = (&target.name, target.qualifier.as_deref().unwrap_or_default());
    let call = client.get_provisioned_concurrency_config().function_name(name).qualifier(version);
    present(call.send().await, &format!("look at the provisioned concurrency of '{name}'"))
}

/// Has so many environments be ready, if there are not as many. Answers with how many of them are.
///
/// # Errors
/// `DeadlineExceeded` when they are not ready in time; `InitFailed` when Lambda cannot make them; else as AWS tells.
pub(super) async fn warm(
    client: &Client,
    uses: &Uses,
    target: &Target,
    count: usize,
    deadline: Instant,
) -> Result<usize, Error> {
    let (name, version) = (&target.name, target.qualifier.as_deref().unwrap_or_default());
    let wanted = i32::try_from(count).unwrap_or(i32::MAX);
    let (mut ordered, mut pauses) = (false, Pauses::new(LOOKS));
    loop {
        let found = look(client, target).await?;
        if found.is_some() {
            uses.ordered(target);
        }
        let requested = found.as_ref().and_then(|found| found.requested_provisioned_concurrent_executions());
        if requested.unwrap_or(0) < wanted && !ordered {
            // Noted before: the order may arrive though the answer does not.
            uses.ordered(target);
            let call = client.put_provisioned_concurrency_config().function_name(name).qualifier(version);
            let put = call.provisioned_concurrent_executions(wanted).send().await;
            put.map_err(|error| of_call(&format!("provision concurrency for '{name}'"), &error))?;
            ordered = true;
            continue;
        }
        match found.as_ref().and_then(|found| found.status()) {
            Some(Status::Ready) => {
                let ready = found.and_then(|found| found.available_provisioned_concurrent_executions());
                return Ok(usize::try_from(ready.unwrap_or(0)).unwrap_or(0).min(count));
            }
            Some(Status::Failed) => {
                let reason = found.and_then(|found| found.status_reason).unwrap_or_default();
                let text = format!("AWS cannot make environments of function '{name}' ready: {reason}");
                return Err(Error::new(ErrorKind::InitFailed, text));
            }
            _ if Instant::now() >= deadline => {
                let text = format!("the environments of function '{name}' were not ready in time");
                return Err(Error::new(ErrorKind::DeadlineExceeded, text));
            }
            _ => sleep(pauses.next()).await,
        }
    }
}

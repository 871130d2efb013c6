//! Environments made ahead: provisioned concurrency.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::ProvisionedConcurrencyStatusEnum as Status;
use faas_core::{Error, ErrorKind};
use tokio::time::{Instant, sleep};

use super::error::of_call;
use super::invoke::Target;

/// How often the environments in the making are looked at. Arbitrary.
const LOOK: Duration = Duration::from_millis(500);

/// Has so many environments be ready, if there are not as many. Answers with how many of them are.
///
/// # Errors
/// `DeadlineExceeded` when they are not ready in time; `InitFailed` when Lambda cannot make them; else as AWS tells.
pub(super) async fn warm(
    client: &Client,
    target: &Target,
    count: usize,
    deadline: Instant,
) -> Result<usize, Error> {
    let (name, version) = (&target.name, target.qualifier.as_deref().unwrap_or_default());
    let wanted = i32::try_from(count).unwrap_or(i32::MAX);
    let mut ordered = false;
    loop {
        let call = client.get_provisioned_concurrency_config().function_name(name).qualifier(version);
        let found = match call.send().await {
            Ok(found) => Some(found),
            Err(error) => {
                match of_call(&format!("look at the provisioned concurrency of '{name}'"), &error) {
                    error if error.kind() == ErrorKind::NotFound => None,
                    error => return Err(error),
                }
            }
        };
        let requested = found.as_ref().and_then(|found| found.requested_provisioned_concurrent_executions());
        if requested.unwrap_or(0) < wanted && !ordered {
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
            _ => sleep(LOOK).await,
        }
    }
}

use std::time::Duration;

use faas_core::{Action, action};

#[action(memory = "1MiB", timeout = "1ms", concurrency = 1, retries = 0)]
async fn least() {}

#[action(memory = "10GiB", timeout = "24h", concurrency = 1000, retries = 100)]
async fn most() {}

fn main() {
    let spec = Action::spec(&least {});
    spec.check().expect("in range");
    assert_eq!((spec.limits.memory.mib(), spec.limits.timeout), (1, Duration::from_millis(1)));
    assert_eq!((spec.limits.concurrency, spec.retry.retries), (1, 0));

    let spec = Action::spec(&most {});
    spec.check().expect("in range");
    assert_eq!((spec.limits.memory.mib(), spec.limits.timeout), (10_240, Duration::from_secs(86_400)));
    assert_eq!((spec.limits.concurrency, spec.retry.retries), (1000, 100));
}

use faas_core::action;

#[action(concurrency = 0)]
async fn nobody() {}

#[action(concurrency = 1001)]
async fn everybody() {}

#[action(retries = 101)]
async fn stubborn() {}

#[action(retries = -1)]
async fn negative() {}

fn main() {}

use faas_core::action;

#[action(name = "orders/charge")]
async fn two_segments() {}

#[action(name = "")]
async fn empty() {}

#[action(name = "-charge")]
async fn bad_start() {}

#[action(package = "orders ")]
async fn bad_end() {}

#[action]
async fn grüße() {}

fn main() {}

use faas_core::action;

#[action(egress = "https://api.example.com/v1")]
async fn url() {}

#[action(egress = "api.example.com, *")]
async fn any() {}

#[action(egress = "api.example.com, *.127.0.0.1")]
async fn second_is_wrong() {}

#[action(egress("api.example.com"))]
async fn no_value() {}

fn main() {}

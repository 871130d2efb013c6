use faas_core::action;

#[action]
async fn number(input: u32) {
    let _ = input;
}

#[action]
async fn text(input: String) {
    let _ = input;
}

fn main() {}

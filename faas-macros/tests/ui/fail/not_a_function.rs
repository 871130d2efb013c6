use faas_core::action;

#[action]
struct Greet;

#[action]
mod greet {}

trait Shop {
    #[action]
    fn charge();
}

fn main() {}

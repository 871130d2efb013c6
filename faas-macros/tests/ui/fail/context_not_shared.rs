use faas_core::action;

use faas_core::Context;

#[action]
async fn by_value(cx: Context) {
    let _ = cx;
}

#[action]
async fn mutable(cx: &mut Context) {
    let _ = cx;
}

#[action]
async fn forever(cx: &'static Context) {
    let _ = cx;
}

fn main() {}

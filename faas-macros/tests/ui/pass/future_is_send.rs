use faas_core::{Action, Context, action};
use serde_json::Value;

#[action]
async fn greet(cx: &Context, input: Value) -> Value {
    let text = input.to_string();
    cx.sleep(std::time::Duration::from_secs(1)).await;
    Value::Array(vec![text.into()])
}

fn needs_send<T: Send + 'static>(_: &T) {}

/// The action as a value goes anywhere, and so does the future of a call.
fn spawnable(cx: Context) -> impl Future<Output = Result<Value, faas_core::BoxError>> + Send {
    let action = greet {};
    needs_send(&action);
    async move { action.call(cx, Value::Null).await }
}

fn main() {
    assert_eq!(size_of::<greet>(), 0);
    let (one, two) = (greet {}, greet {}.clone());
    let copied = one;
    assert_eq!(format!("{one:?} {two:?} {copied:?}"), "greet greet greet");
    let _: fn(Context) -> _ = spawnable;
    let erased: &dyn faas_core::ErasedAction = &one;
    assert_eq!(erased.spec().name.name(), "greet");
}

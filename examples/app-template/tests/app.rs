//! The app as a whole: its actions on a platform.

use app_template::{Greet, actions, greet};
use faas_core::{LocalBackend, Platform, Status};

async fn app() -> Platform {
    let mut specs = actions().into_specs();
    specs[0].env.insert("SALUTATION".to_owned(), "Welcome".to_owned());
    let builder = Platform::builder().backend(LocalBackend::new());
    specs.into_iter().fold(builder, |app, spec| app.spec(spec)).build().await.expect("a platform")
}

#[tokio::test]
async fn whoever_has_a_name_is_greeted() {
    let greeting = app().await.call::<greet>(Greet { name: " Ada ".to_owned() }).await.expect("a greeting");
    assert_eq!(greeting.text, "Welcome, Ada!");
}

#[tokio::test]
async fn without_a_name_there_is_a_record_of_the_failure() {
    let activation = app().await.invoke("greet", r#"{"name":" "}"#).await.expect("a record");
    assert_eq!(activation.status(), Status::ApplicationError);
    assert_eq!(activation.outcome.error().as_deref(), Some("a name is needed"));
}

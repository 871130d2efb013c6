//! The lines of the README that make an app durable.

use std::time::Duration;

use faas_core::{ActivationQuery, BoxError, LocalBackend, Platform, Store, SubmitOptions, action, actions};
use faas_store_sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::made::Folder;

#[action]
async fn greet(visitor: Value) -> Result<Value, BoxError> {
    Ok(visitor)
}
actions![greet];

/// The lines, as the README has them.
#[rustfmt::skip]
async fn durable(data: std::path::PathBuf) -> Result<(), BoxError> {
    let store = SqliteStore::open(&data)?;
    let app = Platform::builder()
        .backend(LocalBackend::new())
        .store(store)
        .actions(actions())
        .build()
        .await?;
    let options = SubmitOptions::new().with_key("order-42").run_after(Duration::from_millis(20));
    let id = app.submit_with("greet", json!({ "name": "Ada" }), options).await?;
    app.activation(id).await?.into_result()?;
    Ok(())
}

#[test]
fn the_lines_of_the_readme_make_an_app_durable() {
    let folder = Folder::new();
    // By its key it is the same piece of work in the second process as in the first.
    for _ in 0..2 {
        tokio::runtime::Runtime::new().unwrap().block_on(durable(folder.path())).unwrap();
    }
    let (store, query) = (folder.open(), ActivationQuery::default());
    let count = tokio::runtime::Runtime::new().unwrap().block_on(store.count_activations(&query));
    assert_eq!(count.unwrap(), 1);

    let readme = include_str!("../../../README.md");
    let own = include_str!("readme.rs");
    let lines = own.split_once("-> Result<(), BoxError> {\n").unwrap().1.split_once("    Ok(())").unwrap().0;
    let lines: String =
        lines.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap())).collect();
    assert!(readme.contains(&lines), "README.md lacks these lines:\n{lines}");
}

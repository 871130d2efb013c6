//! Folders that no cache is kept in, which a warning tells.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use faas_core::ErrorKind;

use crate::cached::{compiled, files, kept, load, no_time, run, with};

/// The messages and errors of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl tracing::field::Visit for Text<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// The folder is not used, which a warning tells, and modules run all the same.
async fn is_not_used(module: &Path, cache: &Path, why: &str) {
    let warnings = Warnings::default();
    let before = kept(cache, "cwasm");
    tracing::subscriber::with_default(warnings.clone(), || with(module, cache).build().unwrap());
    let text = warnings.0.lock().unwrap().clone();
    assert!(text.contains("compiled modules are not kept") && text.contains(why), "{why}: {text}");
    run(module, cache).await;
    assert_eq!(kept(cache, "cwasm"), before);
    assert_eq!(load(no_time(module, cache)).await, Err(ErrorKind::DeadlineExceeded), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_none_is_not_used() {
    let (module, cache) = files("cache-none");
    fs::write(&cache, b"a file").unwrap();
    is_not_used(&module, &cache, "exists").await;
    is_not_used(&module, &cache.join("below"), "").await;
    fs::remove_file(&cache).unwrap();
    fs::create_dir_all(cache.join("key")).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    is_not_used(&module, &cache, "").await;
    fs::remove_dir(cache.join("key")).unwrap();
    fs::write(cache.join("key"), b"short").unwrap();
    #[cfg(unix)]
    fs::set_permissions(cache.join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    is_not_used(&module, &cache, "").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_or_key_that_is_not_this_users_alone_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let (module, cache) = files("cache-rights");
    run(&module, &cache).await;
    let set = |path: &Path, mode: u32| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let key = cache.join("key");
    for mode in [0o777, 0o720, 0o702, 0o1777] {
        set(&cache, mode);
        is_not_used(&module, &cache, "may be written to by others").await;
    }
    set(&cache, 0o755);
    for mode in [0o644, 0o640, 0o604] {
        set(&key, mode);
        is_not_used(&module, &cache, "may be read by others").await;
    }
    set(&key, 0o600);
    load(no_time(&module, &cache)).await.unwrap();
    // Only the system's administrator can give a file away.
    for path in [&cache, &key] {
        let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
        if chown(path, Some(12_345), None).is_ok() {
            is_not_used(&module, &cache, "belongs to another user").await;
            chown(path, Some(own), None).unwrap();
        }
    }
    load(no_time(&module, &cache)).await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_written_to_is_read() {
    let (module, cache) = files("cache-read-only");
    run(&module, &cache).await;
    fs::remove_file(compiled(&cache)).unwrap();
    let set =
        |mode: u32| fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    set(0o500);
    run(&module, &cache).await;
    // The system's administrator writes all the same.
    let writes = fs::write(cache.join("probe"), b"").is_ok();
    assert_eq!(load(no_time(&module, &cache)).await.is_ok(), writes);
    set(0o700);
}

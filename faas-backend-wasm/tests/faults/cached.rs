//! The cache on disk: what is there is used, what is damaged or foreign never.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faas_backend_wasm::{ModuleLimits, WasmBuilder};
use faas_core::{Backend, ErrorKind};
use serde_json::json;

use crate::guests::{self, OK};
use crate::site::{Site, backend, folder, spec};

/// A guest that takes longer to compile than [`no_time`] is.
fn slow() -> Vec<u8> {
    let round = "(local.set $i (i32.mul (i32.add (local.get $i) (i32.const 3)) (i32.load (i32.const 0))))";
    guests::run(&format!("{} {OK}", round.repeat(6_000)))
}

/// A module on disk and the folder of a cache.
fn files(test: &str) -> (PathBuf, PathBuf) {
    let folder = folder(test);
    fs::create_dir_all(&folder).unwrap();
    let module = folder.join("a.wasm");
    fs::write(&module, slow()).unwrap();
    (module, folder.join("cache"))
}

fn with(module: &Path, cache: &Path) -> WasmBuilder {
    backend().cache(cache).module("a", module)
}

/// A backend that has no time to compile anything: what it runs, it has loaded.
fn no_time(module: &Path, cache: &Path) -> WasmBuilder {
    with(module, cache).compile_timeout(Duration::from_millis(1))
}

/// Loads the module, or tells why not.
async fn load(builder: WasmBuilder) -> Result<(), ErrorKind> {
    let backend = builder.build().unwrap();
    let deployment = backend.deploy(Arc::new(spec("a"))).await.map_err(|error| error.kind())?;
    backend.warm(&deployment, 1).await.map(|_| ()).map_err(|error| error.kind())
}

/// Runs the module, which is right whatever is in the cache.
async fn run(module: &Path, cache: &Path) {
    let site = Site::on(with(module, cache), [spec("a")]).await;
    let outcome = site.outcome().await;
    assert!(outcome.is_success(), "{outcome:?}");
    site.end(2).await;
}

/// Puts other bytes in the place of a file. The file itself stays as it is for whoever still has it mapped.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let new = path.with_extension("put");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

fn kept(cache: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(cache)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|file: &PathBuf| file.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

/// The largest compiled module, which is that of `a`.
fn compiled(cache: &Path) -> PathBuf {
    kept(cache, "cwasm").into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).expect("a module")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_backend_neither_compiles_nor_reads_the_module() {
    let (module, cache) = files("cache-next");
    assert_eq!(load(no_time(&module, &cache)).await, Err(ErrorKind::DeadlineExceeded));
    run(&module, &cache).await;
    load(no_time(&module, &cache)).await.unwrap();
    // An artifact that the index knows by its digest is not even read.
    let digest = crate::manifests::artifact_of(module.parent().unwrap(), "a.wasm");
    load(backend().cache(&cache).artifact(&digest)).await.unwrap();
    fs::remove_file(&module).unwrap();
    load(backend().cache(&cache).artifact(&digest).compile_timeout(Duration::from_millis(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_compiled_again_and_never_loaded() {
    let (module, cache) = files("cache-damaged");
    run(&module, &cache).await;
    let whole = fs::read(compiled(&cache)).unwrap();
    let damage = |what: &str| match what {
        "empty" => Vec::new(),
        "short" => whole[..whole.len() / 2].to_vec(),
        "without its last byte" => whole[..whole.len() - 1].to_vec(),
        "zeros" => vec![0; whole.len()],
        "longer" => [&whole[..], b"x"].concat(),
        "a tag alone" => whole[whole.len() - 32..].to_vec(),
        "text" => b"not a module".to_vec(),
        _ => {
            let mut bytes = whole.clone();
            let at = bytes.len() / 3;
            bytes[at] ^= 1;
            bytes
        }
    };
    for what in
        ["empty", "short", "without its last byte", "zeros", "longer", "a tag alone", "text", "a flipped bit"]
    {
        let file = compiled(&cache);
        put(&file, damage(what));
        assert_eq!(load(no_time(&module, &cache)).await, Err(ErrorKind::DeadlineExceeded), "{what}");
        put(&file, damage(what));
        run(&module, &cache).await;
        load(no_time(&module, &cache))
            .await
            .unwrap_or_else(|error| panic!("{what} was not replaced: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_module_or_another_key_is_never_loaded() {
    let (module, cache) = files("cache-foreign");
    run(&module, &cache).await;
    let (own, whole) = (compiled(&cache), fs::read(compiled(&cache)).unwrap());
    // The file of the neighbour under this one's name.
    let other = kept(&cache, "cwasm").into_iter().find(|file| *file != own).expect("the neighbour's");
    put(&own, fs::read(&other).unwrap());
    assert_eq!(load(no_time(&module, &cache)).await, Err(ErrorKind::DeadlineExceeded));
    run(&module, &cache).await;
    // A file that was made with another key, which is in another cache.
    let elsewhere = cache.with_file_name("elsewhere");
    run(&module, &elsewhere).await;
    put(&own, fs::read(compiled(&elsewhere)).unwrap());
    assert_eq!(load(no_time(&module, &cache)).await, Err(ErrorKind::DeadlineExceeded));
    put(&own, whole);
    load(no_time(&module, &cache)).await.unwrap();
    // The key itself is replaced: nothing that is there has a right tag any more.
    fs::copy(elsewhere.join("key"), cache.join("key")).unwrap();
    assert_eq!(load(no_time(&module, &cache)).await, Err(ErrorKind::DeadlineExceeded));
    run(&module, &cache).await;
    load(no_time(&module, &cache)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_is_made_again() {
    let (module, cache) = files("cache-index");
    run(&module, &cache).await;
    let index = kept(&cache, "index").pop().expect("an index");
    let whole = fs::read(&index).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bytes in [Vec::new(), vec![0; 32], whole[..whole.len() / 2].to_vec(), flipped, b"{}".to_vec()] {
        fs::write(&index, bytes).unwrap();
        load(no_time(&module, &cache)).await.unwrap();
        assert!(fs::read(&index).unwrap().len() > 100, "the index was made again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_of_a_module_does_not_get_it_past_smaller_limits() {
    let (module, cache) = files("cache-limits");
    run(&module, &cache).await;
    let mut limits = ModuleLimits::default();
    limits.function_bytes = 1_000;
    assert_eq!(load(with(&module, &cache).limits(limits)).await, Err(ErrorKind::InvalidArgument));
    load(no_time(&module, &cache)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_left_in_the_folder_is_harmless() {
    let (module, cache) = files("cache-left");
    run(&module, &cache).await;
    for name in ["a.1-1.tmp", "key.999.new", "notes.txt", "0000.cwasm"] {
        fs::write(cache.join(name), b"half").unwrap();
    }
    fs::create_dir(cache.join("folder.cwasm")).unwrap();
    load(no_time(&module, &cache)).await.unwrap();
    run(&module, &cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_changed_is_the_new_one_for_the_next_backend() {
    let (module, cache) = files("cache-changed");
    let deployed = with(&module, &cache).build().unwrap();
    let deployment = deployed.deploy(Arc::new(spec("a"))).await.unwrap();
    let told = guests::replies(0, br#"{"new":true}"#);
    fs::write(&module, &told).unwrap();
    let error = deployed.warm(&deployment, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("the module has the digest "), "{error}");
    let site = Site::on(with(&module, &cache), [spec("a")]).await;
    assert_eq!(site.outcome().await.result().to_value(), json!({ "new": true }));
    // What runs goes on with what it has.
    fs::write(&module, slow()).unwrap();
    assert_eq!(site.outcome().await.result().to_value(), json!({ "new": true }));
    site.end(4).await;
    run(&module, &cache).await;
}

#[test]
fn backends_that_fill_one_cache_at_once_are_all_right() {
    let (module, cache) = files("cache-many");
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let (module, cache) = (module.clone(), cache.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(run(&module, &cache));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(load(no_time(&module, &cache))).unwrap();
    for extension in ["tmp", "new"] {
        assert_eq!(kept(&cache, extension), Vec::<PathBuf>::new());
    }
}

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

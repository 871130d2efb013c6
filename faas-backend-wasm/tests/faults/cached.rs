//! The cache on disk: what is there is used, by all who share it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_backend_wasm::{ModuleLimits, WasmBuilder};
use faas_core::{Backend, ErrorKind};
use serde_json::json;

use crate::guests::{self, OK};
use crate::site::{Site, backend, folder, spec};

/// A guest that takes longer to compile than [`no_time`] is. What it computes it keeps, so that its code is not optimised
/// away and its compiled module is the largest.
pub(crate) fn slow() -> Vec<u8> {
    let round = "(local.set $i (i32.mul (i32.add (local.get $i) (i32.const 3)) (i32.load (i32.const 0))))";
    let kept = "(i32.store (i32.const 0) (local.get $i))";
    guests::run(&format!("{} {kept} {OK}", round.repeat(6_000)))
}

/// A module on disk and the folder of a cache.
pub(crate) fn files(test: &str) -> (PathBuf, PathBuf) {
    let folder = folder(test);
    fs::create_dir_all(&folder).unwrap();
    let module = folder.join("a.wasm");
    fs::write(&module, slow()).unwrap();
    (module, folder.join("cache"))
}

pub(crate) fn with(module: &Path, cache: &Path) -> WasmBuilder {
    backend().cache(cache).module("a", module)
}

/// A backend that has no time to compile anything: what it runs, it has loaded.
pub(crate) fn no_time(module: &Path, cache: &Path) -> WasmBuilder {
    with(module, cache).compile_timeout(Duration::from_millis(1))
}

/// Loads the module, or tells why not.
pub(crate) async fn load(builder: WasmBuilder) -> Result<(), ErrorKind> {
    let backend = builder.build().unwrap();
    let deployment = backend.deploy(Arc::new(spec("a"))).await.map_err(|error| error.kind())?;
    backend.warm(&deployment, 1).await.map(|_| ()).map_err(|error| error.kind())
}

/// Runs the module, which is right whatever is in the cache.
pub(crate) async fn run(module: &Path, cache: &Path) {
    let site = Site::on(with(module, cache), [spec("a")]).await;
    let outcome = site.outcome().await;
    assert!(outcome.is_success(), "{outcome:?}");
    site.end(2).await;
}

/// Puts other bytes in the place of a file. The file itself stays as it is for whoever still has it mapped.
pub(crate) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let new = path.with_extension("put");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

pub(crate) fn kept(cache: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(cache)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|file: &PathBuf| file.extension().is_some_and(|it| it == extension));
    files.sort();
    files
}

/// The largest compiled module, which is that of `a`: by far, since the neighbour's would be no test of anything.
pub(crate) fn compiled(cache: &Path) -> PathBuf {
    let size = |file: &PathBuf| fs::metadata(file).unwrap().len();
    let mut files = kept(cache, "cwasm");
    files.sort_by_key(size);
    let largest = files.pop().expect("a module");
    assert!(files.iter().all(|file| size(file) * 2 < size(&largest)), "{files:?} {largest:?}");
    largest
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

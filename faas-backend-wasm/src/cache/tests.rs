use std::sync::{Arc, Barrier};

use super::*;
use crate::config::WasmConfig;

/// A folder that is not there yet, below the one for temporary files.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("faas-wasm-cache-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn open(&self, engine: &Engine) -> Cache {
        Cache::open(&CacheConfig::Folder(self.0.clone()), engine).expect("a cache")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn engine(fuel: bool) -> Engine {
    let config = WasmConfig { instances: 1, fuel, ..WasmConfig::default() };
    crate::engine::make(&config).unwrap()
}

fn compiled(engine: &Engine) -> Vec<u8> {
    let module = wat::parse_str(r#"(module (func (export "answer") (result i32) (i32.const 42)))"#).unwrap();
    engine.precompile_module(&module).unwrap()
}

#[test]
fn a_byte_that_is_flipped_anywhere_is_noticed() {
    let (engine, scratch) = (engine(false), Scratch::new("flip"));
    let cache = scratch.open(&engine);
    cache.store("digest", &compiled(&engine));
    let (path, _) = cache.file("digest");
    let whole = fs::read(&path).unwrap();
    assert!(cache.load(&engine, "digest").is_some());
    let step = (whole.len() / 400).max(1);
    let last = whole.len() - TAG;
    for at in (0..last).step_by(step).chain(last..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        assert!(cache.load(&engine, "digest").is_none(), "byte {at}");
        assert!(!path.exists(), "what is damaged is removed");
    }
    for end in (0..whole.len()).step_by(step * 3) {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(cache.load(&engine, "digest").is_none(), "cut at {end}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(cache.load(&engine, "digest").is_some());
}

#[test]
fn a_file_counts_for_its_module_and_its_engine_alone() {
    let (scratch, one, other) = (Scratch::new("names"), engine(false), engine(true));
    let (of_one, of_other) = (scratch.open(&one), scratch.open(&other));
    of_one.store("digest", &compiled(&one));
    assert!(of_other.load(&other, "digest").is_none(), "an engine with other settings has files of its own");
    let (from, _) = of_one.file("digest");
    for (cache, engine, digest) in [(&of_one, &one, "another"), (&of_other, &other, "digest")] {
        let (to, _) = cache.file(digest);
        fs::copy(&from, &to).unwrap();
        assert!(cache.load(engine, digest).is_none());
    }
    assert!(of_one.load(&one, "digest").is_some());
}

#[test]
fn what_is_tagged_but_no_module_is_removed() {
    let (engine, scratch) = (engine(false), Scratch::new("nonsense"));
    let cache = scratch.open(&engine);
    for nonsense in [&b""[..], b"no module", &compiled(&engine)[..100]] {
        cache.store("digest", nonsense);
        assert!(cache.load(&engine, "digest").is_none());
        assert!(!cache.file("digest").0.exists());
    }
}

#[test]
fn all_who_open_a_new_folder_at_once_have_one_key() {
    for round in 0..20 {
        let scratch = Scratch::new(&format!("race-{round}"));
        let start = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (start, folder) = (Arc::clone(&start), scratch.0.clone());
                std::thread::spawn(move || {
                    start.wait();
                    let mut tagger = Key::open(&folder).expect("a key").tagger();
                    tagger.update(b"text");
                    tagger.finalize()
                })
            })
            .collect();
        let tags: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(tags.windows(2).all(|pair| pair[0] == pair[1]), "round {round}");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "the key alone is left");
    }
}

#[test]
fn the_oldest_files_make_room() {
    let scratch = Scratch::new("prune");
    fs::create_dir_all(&scratch.0).unwrap();
    let begin = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let names = ["0.cwasm", "1.tmp", "2.cwasm", "3.cwasm", "key", "4.index"];
    for (age, name) in (0..).zip(names) {
        let file = File::create(scratch.0.join(name)).unwrap();
        file.set_len(100).unwrap();
        file.set_modified(begin + std::time::Duration::from_secs(age)).unwrap();
    }
    prune(&scratch.0, 400);
    assert!(names.iter().all(|name| scratch.0.join(name).exists()));
    prune(&scratch.0, 250);
    let left: Vec<_> = names.iter().filter(|name| scratch.0.join(name).exists()).collect();
    assert_eq!(left, [&"2.cwasm", &"3.cwasm", &"key", &"4.index"]);
}

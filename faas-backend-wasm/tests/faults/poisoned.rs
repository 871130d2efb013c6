//! Files of the cache that are damaged or foreign: compiled again, never loaded.

use std::fs;

use faas_core::ErrorKind;

use crate::cached::{compiled, files, kept, load, no_time, put, run};

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

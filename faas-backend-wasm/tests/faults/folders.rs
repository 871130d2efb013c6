//! Folders of the host that a guest is granted: all that it can reach, and no more.

use serde_json::json;

use crate::alone::{alone, open_files};
use crate::commands::programs;
use crate::site::{Site, backend, folder, spec};

/// A folder with what a guest may see, next to what it may not.
fn folders(test: &str) -> std::path::PathBuf {
    let root = folder(test);
    for name in ["data", "desk"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
        std::fs::write(root.join(name).join("hello.txt"), "hello").unwrap();
        #[cfg(unix)]
        for (link, to) in [("out", "../secret.txt"), ("up", ".."), ("etc", "/etc"), ("round", "round")] {
            std::os::unix::fs::symlink(to, root.join(name).join(link)).unwrap();
        }
    }
    std::fs::write(root.join("secret.txt"), "secret").unwrap();
    root
}

async fn files(root: &std::path::Path, programs: &std::path::Path) -> Site {
    let file = programs.join("files.wasm");
    let builder = backend()
        .directory("data", root.join("data"))
        .writable_directory("desk", root.join("desk"))
        .module("granted", &file)
        .module("stranger", file);
    let mut granted = spec("granted");
    granted.annotations.insert("wasm-dirs".to_owned(), json!(["data", "desk"]));
    Site::on(builder, [granted, spec("stranger")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_folder_is_all_that_a_guest_can_reach() {
    let Some(programs) = programs("a_granted_folder_is_all_that_a_guest_can_reach") else { return };
    let root = folders("isolation-folders");
    let site = files(&root, programs).await;
    let can = async |name: &str, order: &str, path: &str| {
        let record = site.run(name, json!({ "do": order, "path": path })).await;
        assert!(record.outcome.is_success(), "{:?} {:?}", record.outcome, record.logs);
        let result = record.outcome.result().to_value();
        assert!(!result["text"].as_str().unwrap().contains("secret"), "{path}");
        result["done"] == true
    };
    let allowed = [
        ("read", "/data/hello.txt"),
        ("read", "/data/./hello.txt"),
        ("read", "/desk/hello.txt"),
        ("list", "/data"),
        ("write", "/desk/new.txt"),
        ("folder", "/desk/folder"),
        ("write", "/desk/folder/deep.txt"),
        ("move", "/desk/new.txt"),
        ("remove", "/desk/folder/deep.txt"),
    ];
    for (order, path) in allowed {
        assert!(can("granted", order, path).await, "{order} {path}");
    }
    let refused = [
        ("write", "/data/new.txt"),
        ("write", "/data/hello.txt"),
        ("remove", "/data/hello.txt"),
        ("folder", "/data/folder"),
        ("move", "/data/hello.txt"),
        ("read", "/data/../secret.txt"),
        ("read", "/data/../../secret.txt"),
        ("read", "/data/out"),
        ("read", "/data/up/secret.txt"),
        ("read", "/data/etc/passwd"),
        ("read", "/data/round"),
        ("read", "/desk/out"),
        ("write", "/desk/out"),
        ("write", "/desk/../escaped.txt"),
        ("write", "/desk/up/escaped.txt"),
        ("read", "/etc/passwd"),
        ("list", "/"),
        ("list", "/data/.."),
        ("list", "/desk/up"),
        ("link", "/desk/linked"),
    ];
    for (order, path) in refused {
        assert!(!can("granted", order, path).await, "{order} {path}");
    }
    for path in ["/data/hello.txt", "/desk/hello.txt", "hello.txt"] {
        assert!(!can("stranger", "read", path).await, "{path}");
    }
    assert_eq!(std::fs::read_to_string(root.join("desk/moved")).unwrap(), "written");
    assert_eq!(std::fs::read_to_string(root.join("data/hello.txt")).unwrap(), "hello");
    assert_eq!(std::fs::read_to_string(root.join("secret.txt")).unwrap(), "secret");
    assert!(!root.join("escaped.txt").exists());
    site.end(30).await;
}

#[test]
fn a_guest_that_opens_files_without_end_leaves_some_for_others() {
    alone("folders::a_guest_that_opens_files_without_end_leaves_some_for_others", async {
        let Some(programs) = programs("a_guest_that_opens_files_without_end_leaves_some_for_others") else {
            return;
        };
        let root = folders("isolation-open");
        let site = files(&root, programs).await;
        let opens = site.run("granted", json!({ "do": "read", "path": "/data/hello.txt" })).await;
        assert!(opens.outcome.is_success());
        let before = open_files();
        let (most, watch) =
            (std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)), std::sync::Arc::new(()));
        let (seen, watched) = (std::sync::Arc::clone(&most), std::sync::Arc::downgrade(&watch));
        let watcher = std::thread::spawn(move || {
            while watched.strong_count() > 0 {
                seen.fetch_max(open_files(), std::sync::atomic::Ordering::Relaxed);
            }
        });
        for _ in 0..5 {
            let record = site.run("granted", json!({ "do": "open many", "path": "/data/hello.txt" })).await;
            assert!(!record.outcome.is_success(), "it is ended: {:?}", record.outcome);
        }
        drop(watch);
        watcher.join().unwrap();
        let most = most.load(std::sync::atomic::Ordering::Relaxed);
        assert!(most <= before + 300, "{most} files, {before} before");
        assert!(open_files() <= before + 4, "{} files, {before} before", open_files());
        site.end(6).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_folder_that_is_gone_is_told_and_harms_nobody() {
    let Some(programs) = programs("a_granted_folder_that_is_gone_is_told_and_harms_nobody") else { return };
    let root = folders("isolation-gone");
    let site = files(&root, programs).await;
    std::fs::remove_dir_all(root.join("data")).unwrap();
    let record = site.run("granted", json!({ "do": "read", "path": "/desk/hello.txt" })).await;
    assert_eq!(record.outcome.result().to_value(), json!({ "done": true, "text": "hello" }));
    assert!(
        record.logs.iter().any(|line| line.text.starts_with("folder 'data' cannot be opened: ")),
        "{:?}",
        record.logs
    );
    site.end(2).await;
}

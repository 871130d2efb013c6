//! Crates that become Wasm modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use faas_build::{Build, Output};
use faas_core::ErrorKind;
use faas_core::artifact::{FORMAT, MANIFEST};

use crate::world::{
    DEPENDS, build, choice, copy_lock, digest, fails, has_compiler, manifest, one_action, package, stderr,
    succeeds, workspace, world, write,
};

/// A copy of the app template.
fn template() -> PathBuf {
    let (from, to) = (workspace().join("examples/app-template"), world().join("app-template"));
    for file in ["src/lib.rs", "src/main.rs", "tests/app.rs"] {
        write(&to.join(file), &fs::read_to_string(from.join(file)).unwrap());
    }
    let core = format!("path = {:?}", workspace().join("faas-core").canonicalize().unwrap());
    let manifest = fs::read_to_string(from.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace(r#"path = "../../faas-core""#, &core) + "\n[workspace]\n";
    assert!(manifest.contains(&core), "{manifest}");
    write(&to.join("Cargo.toml"), &manifest);
    copy_lock(&to);
    to
}

/// The folder of the artifact of a crate.
fn artifact(name: &str) -> PathBuf {
    world().join("target/faas").join(name).join("wasm")
}

/// When the files of the artifact were last written.
fn written(folder: &Path) -> Vec<SystemTime> {
    let changed = |file: &str| fs::metadata(folder.join(file)).unwrap().modified().unwrap();
    vec![changed(MANIFEST), changed(&manifest(folder).file)]
}

#[test]
fn a_crate_becomes_a_module_and_is_left_alone_until_it_changes() {
    let app = template();
    if !has_compiler("a_crate_becomes_a_module_and_is_left_alone_until_it_changes", &app) {
        return;
    }
    let folder = artifact("app-template");
    let _ = fs::remove_dir_all(&folder);
    let said = succeeds(build(&app));
    assert!(said.contains("Compiling app-template for wasm32-wasip1 (rustc 1."), "{said}");
    let (_, last) = said.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains("Finished app-template in ") && last.contains(" s: 1 action, "), "{said}");
    assert!(last.ends_with(&folder.display().to_string()), "{said}");

    let first = manifest(&folder);
    let module = fs::read(folder.join("app-template.wasm")).unwrap();
    assert!(module.starts_with(b"\0asm\x01\0\0\0"));
    assert_eq!((first.format, &*first.backend, &*first.kind), (FORMAT, "wasm", "rust"));
    assert_eq!((&*first.package, &*first.version), ("app-template", "0.1.0"));
    assert_eq!((&*first.file, first.size), ("app-template.wasm", module.len() as u64));
    assert_eq!(first.digest, digest(&module));
    assert!(first.toolchain.starts_with("rustc 1."), "{}", first.toolchain);
    assert_eq!((first.description.abi, first.description.init), (1, true));
    let [greet] = &first.description.actions[..] else { panic!("{first:?}") };
    assert_eq!((greet.name.path(), greet.limits.memory.mib()), ("greet", 16));

    let before = written(&folder);
    let said = succeeds(build(&app));
    assert!(said.contains("Fresh app-template in "), "{said}");
    assert_eq!(before, written(&folder));

    // A damaged module is put right, though the manifest still has the digest of the right one.
    fs::write(folder.join("app-template.wasm"), "damaged").unwrap();
    let said = succeeds(build(&app));
    assert!(said.contains("Finished app-template in "), "{said}");
    assert_eq!(fs::read(folder.join("app-template.wasm")).unwrap(), module);

    let source = app.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace(r#"memory = "16MiB""#, r#"memory = "24MiB""#)).unwrap();
    succeeds(build(&app));
    let changed = manifest(&folder);
    assert_ne!(changed.digest, first.digest);
    assert_eq!(changed.description.actions[0].limits.memory.mib(), 24);
}

#[test]
fn two_builds_at_once_wait_for_each_other() {
    let app = package("at-once", DEPENDS, &one_action("one"));
    if !has_compiler("two_builds_at_once_wait_for_each_other", &app) {
        return;
    }
    let _ = fs::remove_dir_all(artifact("at-once"));
    // A source that nobody has built yet, so that the first is busy for a while.
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    fs::write(app.join("src/lib.rs"), one_action(&format!("one_{time}"))).unwrap();
    let started: Vec<_> = (0..2)
        .map(|_| build(&app).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn())
        .collect();
    let ended = started.into_iter().map(|child| child.unwrap().wait_with_output().unwrap());
    let said: Vec<String> = ended
        .map(|output| {
            assert!(output.status.success(), "{}", stderr(&output));
            stderr(&output)
        })
        .collect();
    let counted = |what: &str| said.iter().filter(|said| said.contains(what)).count();
    assert_eq!((counted("Finished at-once in "), counted("Fresh at-once in ")), (1, 1), "{said:#?}");
    // Another test's build may hold up both; the one that found it fresh waited in any case.
    let waited = said.iter().find(|said| said.contains("Fresh at-once")).unwrap();
    assert!(waited.contains("Blocking until process ") && waited.contains(" is done"), "{waited}");
}

#[test]
fn what_the_compiler_says_reaches_the_user_in_full() {
    let broken = one_action("broken").replace("vec![\"one\".to_owned()]", "vec![one_of_many]");
    let app = package("broken", DEPENDS, &broken);
    if !has_compiler("what_the_compiler_says_reaches_the_user_in_full", &app) {
        return;
    }
    let words = ["error[E0425]: cannot find value `one_of_many`", "src/lib.rs:3:10", "vec![one_of_many]"];
    let quiet = {
        let mut quiet = build(&app);
        quiet.arg("--quiet");
        quiet
    };
    for said in [fails(build(&app)), fails(quiet)] {
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(said.matches(words[0]).count(), 1, "{said}");
        assert!(said.contains("error: 'broken' does not build: cannot find value `one_of_many`"), "{said}");
    }
    let error = Build::new(&app).output(Output::Quiet).compiler(choice()).wasm().unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, "build"));
    let report = format!("{error:?}");
    assert!(words.iter().all(|word| report.contains(word)), "{report}");
    assert!(!artifact("broken").exists());
}

#[test]
fn a_list_that_is_not_at_the_root_is_found_by_its_name() {
    let named = format!("[package.metadata.faas]\nactions = \"inner::list::actions\"\n\n{DEPENDS}");
    let library = format!("pub mod inner {{\n    pub mod list {{\n{}    }}\n}}\n", one_action("deep"));
    let app = package("elsewhere", &named, &library);
    if !has_compiler("a_list_that_is_not_at_the_root_is_found_by_its_name", &app) {
        return;
    }
    succeeds(build(&app));
    assert_eq!(manifest(&artifact("elsewhere")).description.actions[0].name.path(), "deep");
}

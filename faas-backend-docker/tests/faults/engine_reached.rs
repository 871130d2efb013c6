//! Finding an engine, and deploying on one that answers badly: what is told of it, and that it is tried again.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_backend_docker::DockerBackend;
use faas_core::{Backend, Error, ErrorKind};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::child::Process;
use crate::script::{Answer, Call, Script};
use crate::scripted::{COLD, PATIENCE, bad_answers, short};
use crate::site::{Ground, ground_on, millis, nothing_left, skip, spec};

/// The number of a user who may do nothing.
const NOBODY: u32 = 65534;

/// What a test starts from whose engine is scripted, with a backend that knows it from its address alone.
async fn scripted(test: &str) -> Option<(Script, Ground, DockerBackend)> {
    let engine = Script::start();
    let ground = ground_on(test, Some(engine.host())).await?;
    let backend = ground.builder().engine_timeout(millis(1000)).build().unwrap();
    Some((engine, ground, backend))
}

async fn deploy(backend: &DockerBackend) -> Result<(), Error> {
    let deployed = timeout(PATIENCE, backend.deploy(Arc::new(spec(COLD)))).await;
    deployed.expect("an end").map(drop)
}

async fn problem(backend: &DockerBackend) -> Option<String> {
    timeout(PATIENCE, backend.health()).await.expect("an end").problem
}

/// The backend can be used after all, and leaves nothing.
async fn works(ground: &Ground, backend: DockerBackend) {
    assert_eq!(problem(&backend).await, None);
    deploy(&backend).await.unwrap();
    backend.shutdown().await.unwrap();
    drop(backend);
    nothing_left(&ground.docker, ground.pool(), ground.home()).await;
}

#[tokio::test]
async fn an_engine_that_greets_badly_is_told_and_greeted_again() {
    let Some((engine, ground, backend)) = scripted("greet").await else { return };
    let mut answers: Vec<Answer> = bad_answers().into_iter().map(|(answer, _)| answer).collect();
    let bodies = ["{}", "[1, 2]", "{\"ApiVersion\": 3}", "{\"ApiVersion\": \"new\"}"];
    answers.extend(bodies.map(|body| Answer::Body(body.to_owned())));
    for answer in answers {
        let what = short(&answer);
        engine.answer(Call::Version, answer);
        let before = engine.calls();
        let told = problem(&backend).await.expect("a problem");
        assert!(told.contains("container engine") && told.contains("answer"), "{what}: {told}");
        assert!(told.len() < 300, "{what}: {told}");
        let error = deploy(&backend).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{what}: {error:?}");
        assert!(error.message().contains(&engine.host()), "{what}: {error:?}");
        assert!(format!("{error:?}").len() < 8 << 10, "{what}");
        assert_eq!(engine.calls() - before, 2, "{what}: it is greeted once each time");
    }
    engine.heal();
    // So is one that does not tell where it is.
    for (answer, _) in bad_answers() {
        let what = short(&answer);
        engine.answer(Call::Info, answer);
        let error = deploy(&backend).await.expect_err(&what);
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{what}: {error:?}");
        assert!(error.message().contains(&engine.host()), "{what}: {error:?}");
    }
    engine.heal();
    works(&ground, backend).await;
}

#[tokio::test]
async fn an_engine_of_too_old_an_api_is_told_which_one_will_do() {
    let Some((engine, ground, backend)) = scripted("old").await else { return };
    engine.answer(Call::Version, Answer::Body("{\"ApiVersion\": \"1.24\"}".to_owned()));
    let error = deploy(&backend).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unsupported, false), "{error:?}");
    for part in ["speaks version 1.24", "1.41 is the oldest that will do", &engine.host()] {
        assert!(error.message().contains(part), "{error:?}");
    }
    assert_eq!(problem(&backend).await.as_deref(), Some(error.message()));
    engine.heal();
    works(&ground, backend).await;
}

#[tokio::test]
async fn whoever_waits_for_a_silent_engine_waits_no_longer_for_others_who_do() {
    let Some((engine, ground, backend)) = scripted("silent").await else { return };
    engine.answer(Call::Version, Answer::Silence);
    let backend = Arc::new(backend);
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..12 {
        let backend = Arc::clone(&backend);
        callers.spawn(async move { deploy(&backend).await.map_err(|error| error.kind()) });
    }
    let told = callers.join_all().await;
    assert!(told.iter().all(|told| *told == Err(ErrorKind::Unavailable)), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    engine.heal();
    works(&ground, Arc::into_inner(backend).unwrap()).await;
}

#[tokio::test]
async fn health_tells_of_an_engine_that_answers_badly_and_of_one_that_is_well_again() {
    let Some((engine, ground, backend)) = scripted("health").await else { return };
    deploy(&backend).await.unwrap();
    assert_eq!(problem(&backend).await, None);
    for (answer, _) in bad_answers() {
        let what = short(&answer);
        engine.answer(Call::Ping, answer);
        let told = problem(&backend).await.unwrap_or_else(|| panic!("{what} is healthy"));
        assert!(told.starts_with("the engine") && told.len() < 2048, "{what}: {told}");
        engine.heal();
        assert_eq!(problem(&backend).await, None, "{what}");
    }
    works(&ground, backend).await;
}

#[tokio::test]
async fn a_deployment_that_the_engine_spoils_is_told_and_can_be_repeated() {
    let Some((_first, ground, _)) = scripted("deploy").await else { return };
    for call in [Call::Containers, Call::Networks, Call::Image, Call::Load] {
        let engine = Script::start();
        let backend = ground.builder().host(engine.host()).engine_timeout(millis(1000)).build().unwrap();
        let mut answers = bad_answers();
        if call == Call::Load {
            let failure = "{\"errorDetail\": {\"message\": \"disk full\"}, \"error\": \"disk full\"}";
            answers.push((Answer::Body(failure.to_owned()), ErrorKind::Internal));
        } else {
            answers.push((Answer::Body("3".to_owned()), ErrorKind::Internal));
        }
        for (answer, kind) in answers {
            let what = format!("{call:?}: {}", short(&answer));
            // An image that is loaded although the answer is lost is not loaded again.
            engine.answer(Call::Image, Answer::Refusal(404, "No such image".to_owned()));
            let kind = if let Answer::Refusal(409, _) = answer { ErrorKind::Conflict } else { kind };
            engine.answer(call, answer);
            let before = engine.count(call);
            let error = deploy(&backend).await.expect_err(&what);
            assert_eq!(error.kind(), kind, "{what}: {error:?}");
            assert_eq!(error.context("action").map(|name| name.ends_with(COLD)), Some(true), "{error:?}");
            assert!(format!("{error:?}").len() < 8 << 10, "{what}");
            assert_eq!(engine.count(call) - before, 1, "{what}");
        }
        engine.heal();
        works(&ground, backend).await;
    }
}

#[tokio::test]
async fn a_leftover_that_the_engine_will_not_remove_keeps_nobody_from_working() {
    let Some((engine, ground, backend)) = scripted("stubborn").await else { return };
    let labels = ground.labels("0123456789abcdef");
    engine.add("stubborn", labels);
    engine.answer(Call::Remove, Answer::Refusal(500, "device or resource busy".to_owned()));
    deploy(&backend).await.unwrap();
    assert_eq!((engine.containers().len(), engine.count(Call::Remove)), (1, 1));
    backend.shutdown().await.unwrap();
    engine.heal();
    let next = ground.builder().build().unwrap();
    deploy(&next).await.unwrap();
    assert_eq!(engine.containers(), [""; 0], "the next one tries again");
    drop(backend);
    works(&ground, next).await;
}

/// The problem of a backend that is told this address.
async fn problem_at(ground: &Ground, address: &str) -> (String, Error) {
    let backend = ground.builder().host(address).engine_timeout(millis(1000)).build().unwrap();
    let told = problem(&backend).await.unwrap_or_else(|| panic!("{address} is healthy"));
    let error = deploy(&backend).await.expect_err(address);
    assert_eq!(told, error.message());
    (told, error)
}

#[tokio::test]
async fn an_address_that_leads_to_no_engine_is_told_with_what_may_help() {
    let Some((engine, ground, _)) = scripted("addresses").await else { return };
    let folder = std::env::temp_dir().join(format!("faas-a-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let place = |name: &str| format!("unix://{}", folder.join(name).display());
    drop(UnixListener::bind(folder.join("stale")).unwrap());
    std::fs::write(folder.join("file"), "no socket").unwrap();
    for (address, kind, part) in [
        (place("none"), ErrorKind::Unavailable, "there is no such socket"),
        (place("stale"), ErrorKind::Unavailable, "nobody listens there; is the engine running?"),
        (place("file"), ErrorKind::Unavailable, "nobody listens there"),
        (
            "tcp://127.0.0.1:1".to_owned(),
            ErrorKind::Unavailable,
            "no container engine answers at tcp://127.0.0.1:1",
        ),
        (
            "/var/run/docker.sock".to_owned(),
            ErrorKind::InvalidArgument,
            "has no scheme: unix://, tcp:// or http://",
        ),
        ("pigeon://coop".to_owned(), ErrorKind::InvalidArgument, "scheme 'pigeon'"),
        ("ssh://me@there".to_owned(), ErrorKind::InvalidArgument, "scheme 'ssh'"),
        ("".to_owned(), ErrorKind::InvalidArgument, "has no scheme"),
        ("unix://".to_owned(), ErrorKind::InvalidArgument, "names nothing"),
        ("tcp://".to_owned(), ErrorKind::InvalidArgument, "names nothing"),
    ] {
        let (told, error) = problem_at(&ground, &address).await;
        assert_eq!(error.kind(), kind, "{address}: {error:?}");
        assert!(told.contains(part), "{address}: {told}");
        if !address.is_empty() {
            assert_eq!(Process::problem(&address, None), Some(told), "{address} in the environment");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    works(&ground, ground.builder().host(engine.host()).build().unwrap()).await;
}

#[tokio::test]
async fn a_socket_that_this_user_may_not_use_is_told_with_the_group() {
    let Some((engine, ground, _)) = scripted("permission").await else { return };
    let path = engine.host().trim_start_matches("unix://").to_owned();
    let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o000);
    let told = match std::os::unix::net::UnixStream::connect(&path) {
        // Who may use every socket asks as somebody who may not.
        Ok(_) => Process::problem(&engine.host(), Some(NOBODY)),
        Err(_) => {
            let (told, error) = problem_at(&ground, &engine.host()).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            Some(told)
        }
    };
    let Some(told) = told else {
        return skip("permission", "root cannot start this program as nobody").unwrap_or_default();
    };
    assert!(told.contains("permission denied; this user has to be in the group of the socket"), "{told}");
    set(0o600);
    works(&ground, ground.builder().build().unwrap()).await;
}

/// Folders as a user has them, where engines put their sockets. Dropped, they are gone.
struct Usual(PathBuf);

impl Drop for Usual {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Usual {
    /// Where a user's engines listen, in the order in which they are tried.
    const SOCKETS: [&str; 3] =
        ["runtime/docker.sock", "home/.docker/run/docker.sock", "runtime/podman/podman.sock"];

    fn new() -> Self {
        let usual =
            Self(std::env::temp_dir().join(format!("faas-u-{}-{:x}", std::process::id(), fastrand::u32(..))));
        for socket in Self::SOCKETS {
            std::fs::create_dir_all(usual.0.join(socket).parent().unwrap()).unwrap();
        }
        usual
    }

    fn problem(&self) -> Option<String> {
        Process::problem_among(&self.0.join("runtime"), &self.0.join("home"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_engine_is_found_before_podmans() {
    let usual = Usual::new();
    let engines = [Script::start(), Script::start(), Script::start()];
    for (socket, engine) in Usual::SOCKETS.iter().zip(&engines) {
        let path = engine.host().trim_start_matches("unix://").to_owned();
        std::os::unix::fs::symlink(path, usual.0.join(socket)).unwrap();
    }
    for (n, socket) in Usual::SOCKETS.iter().enumerate() {
        let before: Vec<usize> = engines.iter().map(Script::calls).collect();
        assert_eq!(usual.problem(), None, "{socket}");
        let asked: Vec<usize> =
            (0..engines.len()).filter(|other| engines[*other].calls() > before[*other]).collect();
        assert_eq!(asked, [n], "{socket}");
        std::fs::remove_file(usual.0.join(socket)).unwrap();
        if n == 0 {
            // One that is there and does not answer is passed over.
            drop(UnixListener::bind(usual.0.join(socket)).unwrap());
        }
    }
}

#[tokio::test]
async fn without_an_engine_it_is_told_where_one_was_looked_for() {
    let systems = ["/var/run/docker.sock", "/run/podman/podman.sock"];
    if systems.iter().any(|socket| Path::new(socket).exists()) {
        // That of the machine is found, or told as one that does not answer.
        let told = Usual::new().problem();
        return assert!(told.is_none_or(|told| told.starts_with("no container engine answers: ")));
    }
    let usual = Usual::new();
    assert_eq!(
        usual.problem().as_deref(),
        Some(
            "there is no container engine: none of its usual sockets is there, and DOCKER_HOST is not set. Install \
             Docker or Podman, start it, or set DOCKER_HOST"
        )
    );
    let stale = [Usual::SOCKETS[0], Usual::SOCKETS[2]].map(|socket| usual.0.join(socket));
    for socket in &stale {
        drop(UnixListener::bind(socket).unwrap());
    }
    let told = stale.map(|socket| {
        let socket = socket.display();
        format!(
            "no container engine answers at unix://{socket}: nobody listens there; is the engine running?"
        )
    });
    assert_eq!(usual.problem(), Some(format!("no container engine answers: {}; {}", told[0], told[1])));
}

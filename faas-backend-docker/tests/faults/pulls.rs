//! Pulling images, from an engine that is scripted: when it is done, what is told of it, and what comes of one that
//! fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_backend_docker::{DockerBackend, DockerBuilder, Pull, Runtime};
use faas_core::{ActionSpec, Backend, Error, ErrorKind, MemoryMib};
use tokio::time::timeout;

use crate::alone::alone;
use crate::kept::Kept;
use crate::puppets::{BOX, KIND};
use crate::script::{Answer, Call, Script};
use crate::scripted::{PATIENCE, bad_answers, short};
use crate::site::{Ground, ground_on, millis, nothing_left, spec, until};

/// An action that is given to a runtime.
const CODED: &str = "coded";

/// What an engine says that fails to pull an image halfway.
const BROKEN: &str = concat!(
    "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":512,\"total\":2048},\"id\":\"0a\"}\r\n",
    "{\"errorDetail\":{\"message\":\"unexpected EOF\"},\"error\":\"unexpected EOF\"}\r\n",
);

/// A scripted engine, and what a backend on it starts from.
async fn ground(test: &str) -> Option<(Script, Ground)> {
    let engine = Script::start();
    let ground = ground_on(test, Some(engine.host())).await?;
    Some((engine, ground))
}

/// A backend whose action `box` is the image, and whose action `coded` is run by it.
fn pulling(ground: &Ground, image: &str, pull: Pull) -> DockerBuilder {
    let builder = ground.builder().engine_timeout(millis(1000)).pull(pull);
    builder.image(BOX, image).runtime(KIND, Runtime::new(image)).code(CODED, KIND, "{}", "main")
}

async fn deploy(backend: &DockerBackend, action: &str) -> Result<(), Error> {
    let spec = ActionSpec::new(action).unwrap().with_memory(MemoryMib::new(32));
    backend.deploy(Arc::new(spec)).await.map(drop)
}

/// Ends a backend, and checks that nothing is left of it.
async fn end(backend: DockerBackend, ground: &Ground) {
    backend.shutdown().await.unwrap();
    drop(backend);
    nothing_left(&ground.docker, ground.pool(), ground.home()).await;
}

#[tokio::test]
async fn an_image_is_pulled_when_the_policy_says_so() {
    let Some((engine, ground)) = ground("pullpolicy").await else { return };
    // The policy; the image; the action; how often the image is pulled when the action is deployed, and deployed once
    // more, where it is not there at first and where it is.
    for (pull, image, action, absent, present) in [
        (Pull::Auto, "tool:1", BOX, [1, 0], [0, 0]),
        (Pull::Auto, "tool:latest", BOX, [1, 1], [1, 1]),
        (Pull::Auto, "localhost:5000/a/tool", BOX, [1, 1], [1, 1]),
        (Pull::Auto, "tool", CODED, [1, 0], [0, 0]),
        (Pull::Missing, "tool", BOX, [1, 0], [0, 0]),
        (Pull::Missing, "tool:1", CODED, [1, 0], [0, 0]),
        (Pull::Always, "tool:1", BOX, [1, 1], [1, 1]),
        (Pull::Always, "tool:1", CODED, [1, 1], [1, 1]),
        (Pull::Never, "tool", BOX, [0, 0], [0, 0]),
    ] {
        for (is_there, pulls) in [(false, absent), (true, present)] {
            let case = format!("{pull:?} {image} {action} {is_there}");
            let backend = pulling(&ground, image, pull).build().unwrap();
            match is_there {
                true => engine.add_image(image),
                false => engine.remove_image(image),
            }
            for (deployed, pulls) in pulls.into_iter().enumerate() {
                let before = engine.count(Call::Pull);
                let done = deploy(&backend, action).await;
                assert_eq!(done.is_ok(), is_there || pull != Pull::Never, "{case}: {done:?}");
                assert_eq!(engine.count(Call::Pull) - before, pulls, "{case}, deployment {deployed}");
            }
            end(backend, &ground).await;
        }
    }
}

#[test]
fn the_progress_of_a_pull_is_told_and_it_may_take_as_long_as_it_goes_on() {
    alone("pulls::the_progress_of_a_pull_is_told_and_it_may_take_as_long_as_it_goes_on", async {
        let Some((engine, ground)) = ground("pullslow").await else { return };
        let kept = Kept::install();
        let backend = pulling(&ground, "tool:1", Pull::Auto).build().unwrap();
        engine.answer(Call::Pull, Answer::Slowly(millis(400)));
        let begun = Instant::now();
        deploy(&backend, BOX).await.unwrap();
        assert!(
            begun.elapsed() > Duration::from_secs(2),
            "longer than a call may take: {:?}",
            begun.elapsed()
        );
        let logged = kept.text();
        for told in [
            "message=pulling the image image=\"tool:1\"",
            "image=\"tool:1\" layer=\"0a\" status=\"Downloading\" bytes=512 of=2048",
            "image=\"tool:1\" layer=\"0a\" status=\"Downloading\" bytes=2048 of=2048",
            "message=pulled the image image=\"tool:1\"",
        ] {
            assert!(logged.contains(told), "{told} is not in {logged}");
        }
        end(backend, &ground).await;
    });
}

/// What may become of a pull that fails, with the kind of error.
fn failures() -> Vec<(Answer, ErrorKind)> {
    let mut answers = bad_answers();
    for (_, kind) in &mut answers {
        if *kind != ErrorKind::Unavailable {
            *kind = ErrorKind::NotFound;
        }
    }
    answers.extend([
        (Answer::Refusal(404, "pull access denied for tool".to_owned()), ErrorKind::NotFound),
        (Answer::Told(BROKEN.to_owned()), ErrorKind::NotFound),
        // It ends well, and there is no image.
        (Answer::Told("{\"status\":\"Pull complete\",\"id\":\"0a\"}\r\n".to_owned()), ErrorKind::NotFound),
    ]);
    answers
}

#[tokio::test]
async fn a_pull_that_fails_is_told_and_the_next_one_gets_the_image() {
    let Some((engine, ground)) = ground("pullfails").await else { return };
    for (answer, kind) in failures() {
        let what = short(&answer);
        engine.remove_image("tool:1");
        let backend = pulling(&ground, "tool:1", Pull::Auto).build().unwrap();
        engine.answer(Call::Pull, answer);
        let error = timeout(PATIENCE, deploy(&backend, BOX)).await.expect("an end").unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        let report = format!("{error:?}");
        assert!(report.contains("tool:1") && report.len() < 8 << 10, "{what}: {report}");
        if kind == ErrorKind::NotFound {
            assert_eq!(error.message(), "Failed to pull container image 'tool:1'.", "{what}");
        }
        engine.heal();
        deploy(&backend, BOX).await.unwrap();
        end(backend, &ground).await;
    }
}

#[tokio::test]
async fn an_image_that_is_there_will_do_where_it_cannot_be_pulled_anew_unless_it_must_be() {
    let Some((engine, ground)) = ground("pullanew").await else { return };
    engine.add_image("tool:latest");
    let lenient = pulling(&ground, "tool:latest", Pull::Auto).build().unwrap();
    let strict = pulling(&ground, "tool:latest", Pull::Always).build().unwrap();
    for (answer, kind) in failures() {
        // The engine has the image in any case.
        if let Answer::Told(text) = &answer
            && text != BROKEN
        {
            continue;
        }
        let what = short(&answer);
        engine.answer(Call::Pull, answer);
        let before = engine.count(Call::Pull);
        let done = timeout(PATIENCE, deploy(&lenient, BOX)).await.expect("an end");
        done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let error = timeout(PATIENCE, deploy(&strict, BOX)).await.expect("an end").unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        assert_eq!(engine.count(Call::Pull) - before, 2, "{what}");
        engine.heal();
        deploy(&strict, BOX).await.unwrap();
    }
    strict.shutdown().await.unwrap();
    drop(strict);
    end(lenient, &ground).await;
}

#[tokio::test]
async fn a_pull_that_stalls_holds_up_nobody_who_needs_another_image() {
    let Some((engine, ground)) = ground("pullstalls").await else { return };
    engine.add_image("other:1");
    let builder = pulling(&ground, "tool:1", Pull::Auto).engine_timeout(Duration::from_secs(5));
    let backend = Arc::new(builder.image("other", "other:1").build().unwrap());
    engine.answer(Call::Pull, Answer::Late);
    let deploying = [BOX, BOX, CODED].map(|action| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move { deploy(&backend, action).await })
    });
    let pulls = until(PATIENCE, || async { if engine.count(Call::Pull) > 0 { Ok(()) } else { Err(()) } });
    assert_eq!(pulls.await, Ok(()));
    let begun = Instant::now();
    deploy(&backend, "other").await.unwrap();
    backend.deploy(Arc::new(spec("echo"))).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(deploying.iter().all(|deploying| !deploying.is_finished()));
    engine.heal();
    for deploying in deploying {
        deploying.await.unwrap().unwrap();
    }
    assert_eq!(engine.count(Call::Pull), 1, "the others find what was pulled");
    end(Arc::into_inner(backend).unwrap(), &ground).await;
}

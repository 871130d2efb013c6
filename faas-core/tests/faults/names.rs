//! Names, by every rule, where a user writes them.

use faas_core::store::Expect;
use faas_core::{ErrorKind, Platform, RuleSpec};
use serde_json::json;

use crate::check::Check;
use crate::probe::{Probe, local};

async fn refused(builder: faas_core::PlatformBuilder) -> faas_core::Error {
    builder.build().await.expect_err("refused")
}

#[tokio::test(start_paused = true)]
async fn a_name_that_breaks_a_rule_is_refused_for_every_kind_of_entity() {
    let long = "a".repeat(257);
    let bad = [
        "-a",
        "&a",
        ".a",
        "@a",
        " a",
        "a ",
        "a?",
        "a#",
        "a=",
        "a+b",
        "a(b)",
        "a{b}",
        "a\tb",
        "a\nb",
        "ä",
        long.as_str(),
    ];
    let app = local().build().await.unwrap();
    for name in bad {
        let errors = [
            faas_core::ActionSpec::new(name).err(),
            RuleSpec::new(name, "t", "a").err(),
            RuleSpec::new("r", name, "a").err(),
            RuleSpec::new("r", "t", name).err(),
            app.put_sequence(name, &["a"], Expect::Any).await.err(),
            app.put_sequence("s", &[name], Expect::Any).await.err(),
            app.put_trigger(name, Default::default(), Expect::Any).await.err(),
            app.put_package(name, Default::default(), Expect::Any).await.err(),
            app.invoke(name, ()).await.err(),
            app.submit(name, ()).await.err(),
            app.fire(name, ()).await.err(),
            app.delete(name, Expect::Any).await.err(),
            app.entity(name).await.err(),
            app.enable_rule(name).await.err(),
            faas_core::Namespace::new(name).err(),
            Some(refused(Platform::builder().backend(faas_core::LocalBackend::new()).namespace(name)).await),
        ];
        for (n, error) in errors.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("{name:?} was taken, number {n}"));
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name:?}, number {n}: {error}");
            let text = error.to_string();
            assert!(text.contains("1 to 256 characters") && !text.contains('\n'), "number {n}: {text}");
        }
    }
    for name in ["", "/", "//", "a/b/c/d", "/a"] {
        assert_eq!(app.invoke(name, ()).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "{name:?}");
    }
    Check::successes(0).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn every_spelling_of_a_name_finds_its_action() {
    let probe = Probe::new();
    let longest = "n".repeat(256);
    let app = local()
        .namespace("ns one")
        .action(probe.echo("pkg/a b@c.d&e-f"))
        .action(probe.echo("Case"))
        .action(probe.echo("case"))
        .action(probe.echo("0"))
        .action(probe.echo("_"))
        .action(probe.echo(&longest))
        .action(probe.echo(&format!("/{longest}/{longest}/{longest}")))
        .build()
        .await
        .unwrap();
    let all = format!("/{longest}/{longest}/{longest}");
    let spellings = [
        ("pkg/a b@c.d&e-f", "ns one/pkg/a b@c.d&e-f"),
        ("/_/pkg/a b@c.d&e-f", "ns one/pkg/a b@c.d&e-f"),
        ("/ns one/pkg/a b@c.d&e-f", "ns one/pkg/a b@c.d&e-f"),
        ("//ns one//pkg///a b@c.d&e-f/", "ns one/pkg/a b@c.d&e-f"),
        ("Case", "ns one/Case"),
        ("case", "ns one/case"),
        ("0", "ns one/0"),
        ("_", "ns one/_"),
        ("/ns one/case", "ns one/case"),
        ("//ns one//case/", "ns one/case"),
        (longest.as_str(), &format!("ns one/{longest}")),
        (all.as_str(), &all[1..]),
    ];
    for (spelling, full) in spellings {
        let activation = app.invoke(spelling, json!({})).await.unwrap();
        assert_eq!(activation.action().as_str(), full, "{spelling}");
    }
    for missing in ["CASE", "a b@c.d&e-f", "/other/case", "pkg/case"] {
        assert_eq!(app.invoke(missing, ()).await.unwrap_err().kind(), ErrorKind::NotFound, "{missing}");
    }
    Check::successes(12).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn the_package_default_is_reserved() {
    let probe = Probe::new();
    let app = local().action(probe.echo("echo")).build().await.unwrap();
    let errors = [
        refused(local().package("default", Default::default())).await,
        refused(local().action(probe.echo("default/a"))).await,
        refused(local().action(probe.echo("echo")).sequence("default/s", ["echo"])).await,
        app.put_package("default", Default::default(), Expect::Any).await.unwrap_err(),
        app.put_sequence("default/s", &["echo"], Expect::Any).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("Package name 'default' is reserved."), "{error}");
    }
    app.put_package("Default", Default::default(), Expect::Any).await.unwrap();
    Check::successes(0).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn triggers_rules_and_packages_are_never_in_a_package() {
    let app = local().trigger("t").build().await.unwrap();
    let errors = [
        app.put_trigger("p/t", Default::default(), Expect::Any).await.unwrap_err(),
        app.put_package("p/q", Default::default(), Expect::Any).await.unwrap_err(),
        app.put_rule(RuleSpec::new("p/r", "t", "t").unwrap(), Expect::Any).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("never in a package"), "{error}");
    }
    Check::successes(0).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn all_kinds_share_one_key_space() {
    let probe = Probe::new();
    let app = local()
        .action(probe.echo("action"))
        .sequence("sequence", ["action"])
        .trigger("trigger")
        .rule(RuleSpec::new("rule", "trigger", "action").unwrap())
        .package("package", Default::default())
        .build()
        .await
        .unwrap();
    let kinds = ["action", "sequence", "trigger", "rule", "package"];
    for name in kinds {
        let spec = faas_core::ActionSet::new().with(probe.echo(name)).into_specs().remove(0);
        let results = [
            app.put_action(spec, Expect::Any).await,
            app.put_sequence(name, &["action"], Expect::Any).await,
            app.put_trigger(name, Default::default(), Expect::Any).await,
            app.put_rule(RuleSpec::new(name, "trigger", "action").unwrap(), Expect::Any).await,
            app.put_package(name, Default::default(), Expect::Any).await,
        ];
        for (kind, result) in kinds.iter().zip(results) {
            if *kind == name || (name == "action" && *kind == "sequence") {
                // Its own kind updates it; a sequence of itself is refused for that.
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{kind} over {name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    assert!(app.invoke("sequence", ()).await.unwrap().outcome.is_success());
    app.fire("trigger", ()).await.unwrap();
    Check::successes(4).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn registering_a_name_twice_is_refused() {
    let probe = Probe::new();
    let rule = || RuleSpec::new("r", "t", "echo").unwrap();
    let with = || local().action(probe.echo("echo")).trigger("t");
    let twice = [
        with().action(probe.echo("echo")),
        with().sequence("s", ["echo"]).sequence("s", ["echo", "echo"]),
        with().trigger("t"),
        with().rule(rule()).rule(rule()),
        with().package("p", Default::default()).package("p", Default::default()),
        with().sequence("echo", ["echo"]),
        with().trigger("echo"),
        with().package("echo", Default::default()),
        with().rule(RuleSpec::new("t", "t", "echo").unwrap()),
        with().trigger("/_/t"),
    ];
    for (n, builder) in twice.into_iter().enumerate() {
        let error = refused(builder).await;
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "number {n}: {error}");
        assert!(error.to_string().starts_with("build: already exists"), "number {n}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_backends_of_one_name_and_a_backend_that_is_missing_are_refused() {
    let probe = Probe::new();
    let error = refused(local().backend(faas_core::LocalBackend::new())).await;
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("'local'"), "{error}");
    let error = refused(Platform::builder()).await;
    assert!(error.to_string().contains("needs a backend"), "{error}");
    let elsewhere = probe.spec(crate::probe::spec("a").on_backend("wasm"), |_, input| async { Ok(input) });
    let error = refused(local().action(elsewhere)).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no backend is named 'wasm'; known: local"), "{error}");
}

//! Images that are not there, or hold no server.

use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters::{
    CommitContainerOptions, CreateContainerOptions, RemoveContainerOptions, RemoveImageOptions,
    TagImageOptions,
};
use faas_backend_docker::{Pull, Runtime};
use faas_core::{Error, ErrorKind, Expect, Outcome};
use serde_json::json;

use crate::puppet;
use crate::puppets::{BOX, MIB, played};
use crate::site::{Site, ground, millis};

/// A name for an image of this test's own.
pub(crate) fn named(what: &str) -> String {
    format!("faas-test/{what}-{:x}:1", fastrand::u32(..))
}

/// Removes an image, or one of its names.
pub(crate) async fn untag(docker: &Docker, name: &str) {
    docker.remove_image(name, None::<RemoveImageOptions>, None).await.unwrap();
}

/// Gives the puppet's image one more name.
async fn tag(docker: &Docker, name: &str) {
    let image = puppet::image(docker).await;
    let (repository, tag) = name.split_once(':').unwrap();
    let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
    docker.tag_image(image, Some(options)).await.unwrap();
}

/// Makes an image of the puppet's that starts with this command line.
async fn starting(docker: &Docker, name: &str, command: &[&str]) {
    let image = puppet::image(docker).await;
    let body = ContainerCreateBody { image: Some(image.to_owned()), ..ContainerCreateBody::default() };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await.unwrap().id;
    let (repository, tag) = name.split_once(':').unwrap();
    let options = CommitContainerOptions {
        container: Some(id.clone()),
        repo: Some(repository.to_owned()),
        tag: Some(tag.to_owned()),
        ..CommitContainerOptions::default()
    };
    let command = command.iter().map(|&part| part.to_owned()).collect();
    let config = ContainerConfig { entrypoint: Some(command), ..ContainerConfig::default() };
    docker.commit_container(options, config).await.unwrap();
    docker.remove_container(&id, None::<RemoveContainerOptions>).await.unwrap();
}

async fn refused(site: &Site, action: &str) -> Error {
    site.app.put_action(played(action, 20_000), Expect::Any).await.unwrap_err()
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_told_when_its_action_is_deployed() {
    let Some(ground) = ground("nowhere").await else { return };
    let missing = named("nowhere");
    for policy in [Pull::Auto, Pull::Never] {
        let Some(ground) = crate::site::ground("nowhere").await else { return };
        let builder = ground.builder().pull(policy).image("missing", &missing);
        let site = ground.site_on(builder, []).await;
        let error = refused(&site, "missing").await;
        let text = format!("Failed to pull container image '{missing}'.");
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, &*text), "{policy:?}");
        site.end(0).await;
    }
    // One that is called `latest` is pulled anew where that is possible, and does where it is not.
    let latest = missing.replace(":1", ":latest");
    tag(&ground.docker, &latest).await;
    let (docker, builder) = (ground.docker.clone(), ground.builder().image(BOX, &latest));
    let site = ground.site_on(builder, [played(BOX, 20_000)]).await;
    assert_eq!(site.result(BOX, json!({ "n": 1 })).await, json!({ "n": 1 }));
    site.end(1).await;
    untag(&docker, &latest).await;
}

#[tokio::test]
async fn an_image_that_is_removed_behind_our_back_is_a_developer_error() {
    let Some(ground) = ground("untagged").await else { return };
    let name = named("untagged");
    tag(&ground.docker, &name).await;
    let builder = ground.builder().image(BOX, &name);
    let site = ground.site_on(builder, [played(BOX, 20_000)]).await;
    untag(&site.docker, &name).await;
    let record = site.run(BOX, json!({})).await;
    let text = format!("Failed to pull container image '{name}'.");
    assert_eq!(record.outcome, Outcome::developer_error(text));
    tag(&site.docker, &name).await;
    assert_eq!(site.result(BOX, json!({ "n": 1 })).await, json!({ "n": 1 }));
    untag(&site.docker, &name).await;
    site.end(1).await;
}

#[tokio::test]
async fn an_image_without_a_server_says_what_became_of_it() {
    let Some(ground) = ground("serverless").await else { return };
    let docker = ground.docker.clone();
    let cases = [
        ("noprogram", &["/nowhere"][..], "executable file not found in image NAME"),
        ("nopath", &["nowhere"], "executable file not found in image NAME"),
        ("ends", &["/puppet", "--exit", "0"], "The action did not initialize and exited unexpectedly."),
        ("fails", &["/puppet", "--exit", "3"], "The action did not initialize and exited unexpectedly."),
        ("deaf", &["/puppet", "--deaf"], "The container did not listen within 1500 milliseconds."),
    ];
    let mut builder = ground.builder().start_timeout(millis(1_500));
    let mut images = Vec::new();
    for (action, command, _) in cases {
        let image = named(action);
        starting(&docker, &image, command).await;
        builder = builder.image(action, &image);
        images.push(image);
    }
    let site = ground.site_on(builder, cases.map(|(action, ..)| played(action, 20_000))).await;
    for ((action, _, text), image) in cases.iter().zip(&images) {
        let record = site.run(action, json!({})).await;
        assert_eq!(record.outcome, Outcome::developer_error(text.replace("NAME", image)), "{action}");
    }
    site.gone(MIB).await;
    site.end(5).await;
    for image in images {
        untag(&docker, &image).await;
    }
}

#[tokio::test]
async fn a_container_that_the_engine_refuses_to_start_is_an_error_of_the_platform() {
    let Some(ground) = ground("refused").await else { return };
    let runtime = Runtime::new(puppet::image(&ground.docker).await).with_user("nobody-here");
    let builder = ground.builder().runtime("odd:1", runtime).code("odd", "odd:1", "{}", "main");
    let site = ground.site_on(builder, [played("odd", 20_000)]).await;
    let error = site.app.invoke("odd", json!({})).await.unwrap_err();
    let text = "Failed to provision resources to run the action.";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, text), "{error:?}");
    site.gone(MIB).await;
    site.end_without(1, 0).await;
}

//! Region and credentials of a profile, in a process whose environment names the files.

use std::path::Path;
use std::process::Command;

use faas_backend_lambda::LambdaBackend;

use crate::ground::{Artifact, ECHO, ROLE, artifact, deploy, echoing, result, spec};

/// The variable that tells a process which key it should sign with, and in which region.
const EXPECTED: &str = "FAAS_TEST_SIGNED_BY";

/// Runs the test below in a process of its own.
fn run(folder: &Path, profile: &str, expected: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "profile::what_is_called_is_signed_as_the_profile_says", "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("FAAS_")) {
            command.env_remove(name);
        }
    }
    let output = command
        .env("AWS_CONFIG_FILE", folder.join("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.join("credentials"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("FAAS_LAMBDA_PROFILE", profile)
        .env("FAAS_LAMBDA_ROLE", ROLE)
        .env(EXPECTED, expected)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{profile}: {said:?}");
}

#[test]
fn a_profile_of_awss_files_gives_region_and_credentials() {
    let folder = Artifact::of("", &[]);
    let folder = folder.folder();
    let told = r#"{ "Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s" }"#;
    std::fs::write(folder.join("told.json"), told).unwrap();
    let config = format!(
        "[default]\nregion = us-east-1\n[profile work]\nregion = eu-north-1\n[profile process]\nregion = \
         ap-south-1\ncredential_process = cat {}\n",
        folder.join("told.json").display()
    );
    std::fs::write(folder.join("config"), config).unwrap();
    let keys = "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = s\n[work]\naws_access_key_id = \
                AKIDWORK\naws_secret_access_key = s\n";
    std::fs::write(folder.join("credentials"), keys).unwrap();
    for (profile, expected) in [
        ("default", "AKIDDEFAULT us-east-1"),
        ("work", "AKIDWORK eu-north-1"),
        ("process", "AKIDPROCESS ap-south-1"),
    ] {
        run(folder, profile, expected);
    }
}

/// In a process that is not told what to expect, nothing.
#[tokio::test]
async fn what_is_called_is_signed_as_the_profile_says() {
    let Ok(expected) = std::env::var(EXPECTED) else { return };
    let (cloud, artifact) = (echoing().await, artifact());
    let builder = LambdaBackend::builder().from_env().unwrap().endpoint(cloud.endpoint());
    let backend = builder.artifact(artifact.folder()).build().unwrap();
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    assert_eq!(result(&backend, &deployment).await["version"], "1");
    let calls = cloud.calls();
    assert!(calls.len() > 4 && calls.iter().all(|call| call.signed_by == expected), "{calls:#?}");
}

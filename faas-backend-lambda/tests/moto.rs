//! The control plane as moto has it, which somebody else wrote from AWS's documentation: deploying, updating, aliases,
//! adoption and removal.
//!
//! It runs no functions, and knows no provisioned concurrency; what it answers to an invocation is not what this tests.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails should panic, in the functions that tests share too"
)]

#[path = "cloud/mod.rs"]
mod cloud;
#[path = "faults/ground.rs"]
#[allow(dead_code, reason = "the faults use all of it")]
mod ground;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use faas_backend_lambda::{LambdaBackend, LambdaBuilder};
use faas_core::{Backend as _, ErrorKind, MemoryMib};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use self::ground::{Artifact, ECHO, ROLE, artifact, builder_at, deploy, spec};

/// The variable that names the program.
const VARIABLE: &str = "FAAS_MOTO_SERVER";

/// How long it may take to start. It is a Python program.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program until the input ends, as that of a test's child does with the test.
const KEEPER: &str = "\"$@\" & read -r _; kill $!";

/// A server that runs as long as this process does.
struct Moto {
    endpoint: String,
    _keeper: Child,
}

/// Where moto is; `None`, which is told, where there is none.
fn moto(test: &str) -> Option<String> {
    static STARTED: Mutex<Option<Moto>> = Mutex::new(None);
    let Some(program) = std::env::var_os(VARIABLE).filter(|program| !program.is_empty()) else {
        // Past the harness, which keeps what a test prints that passes.
        let _ =
            writeln!(std::io::stdout(), "SKIP {test}: {VARIABLE} names no emulator of AWS's control plane");
        return None;
    };
    let mut started = STARTED.lock().unwrap();
    let moto = started.get_or_insert_with(|| {
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn().expect("a shell");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "moto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        make_role(address);
        Moto { endpoint: format!("http://{address}"), _keeper: keeper }
    });
    Some(moto.endpoint.clone())
}

/// Makes the role of all functions, which moto looks for. It is told by the signature's scope which service is asked.
fn make_role(address: SocketAddr) {
    let name = ROLE.rsplit_once('/').expect("a role").1;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let policy = utf8_percent_encode(policy, NON_ALPHANUMERIC);
    let body =
        format!("Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument={policy}");
    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=AKIDEXAMPLE/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(ROLE), "moto made no role: {answer}");
}

/// What a test looks at beside the backend.
struct Account {
    endpoint: String,
    client: Client,
    /// What the names of its functions begin with.
    prefix: &'static str,
}

impl Account {
    fn new(endpoint: String, prefix: &'static str) -> Self {
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&endpoint)
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "a-secret", None, None, "test"))
            .build();
        Self { endpoint, client: Client::from_conf(config), prefix }
    }

    fn builder(&self, artifact: &Artifact) -> LambdaBuilder {
        builder_at(&self.endpoint).artifact(artifact.folder()).role(ROLE).prefix(self.prefix)
    }

    fn backend(&self, artifact: &Artifact) -> LambdaBackend {
        self.builder(artifact).build().unwrap()
    }

    /// The function of this test.
    async fn name(&self) -> Option<String> {
        let listed = self.client.list_functions().send().await.unwrap();
        let names = listed.functions().iter().filter_map(|function| function.function_name());
        names.filter(|name| name.starts_with(self.prefix)).map(str::to_owned).next()
    }

    /// Its versions with the memory and the digest of each.
    async fn versions(&self) -> BTreeMap<String, (i32, String)> {
        let name = self.name().await.expect("a function");
        let listed = self.client.list_versions_by_function().function_name(name).send().await.unwrap();
        let of = |version: &aws_sdk_lambda::types::FunctionConfiguration| {
            let digest = version.code_sha256().unwrap_or_default().to_owned();
            (version.version().unwrap().to_owned(), (version.memory_size().unwrap_or(0), digest))
        };
        listed.versions().iter().map(of).collect()
    }

    /// The version that its alias leads to.
    async fn led(&self) -> String {
        let name = self.name().await.expect("a function");
        let alias = self.client.get_alias().function_name(name).name("live").send().await.unwrap();
        alias.function_version().unwrap().to_owned()
    }

    async fn revision(&self) -> (Option<String>, Option<String>) {
        let name = self.name().await.expect("a function");
        let found = self.client.get_function_configuration().function_name(name).send().await.unwrap();
        (found.revision_id, found.last_modified)
    }
}

#[tokio::test]
async fn moto_has_what_is_deployed_and_no_more_when_it_is_deployed_again() {
    let Some(endpoint) = moto("moto_has_what_is_deployed_and_no_more_when_it_is_deployed_again") else {
        return;
    };
    let (account, artifact) = (Account::new(endpoint, "again"), artifact());
    deploy(&account.backend(&artifact), spec(ECHO)).await.unwrap();
    let (versions, revision) = (account.versions().await, account.revision().await);
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["$LATEST", "1"]);
    assert_eq!((versions["1"].0, account.led().await.as_str()), (256, "1"));
    for _ in 0..2 {
        deploy(&account.backend(&artifact), spec(ECHO)).await.unwrap();
    }
    assert_eq!((account.versions().await, account.revision().await), (versions, revision));
}

#[tokio::test]
async fn moto_has_the_changes_and_the_alias_follows() {
    let Some(endpoint) = moto("moto_has_the_changes_and_the_alias_follows") else { return };
    let (account, artifact) = (Account::new(endpoint, "changes"), artifact());
    let backend = account.builder(&artifact).tag("team", "red").reserved_concurrency(5).build().unwrap();
    deploy(&backend, spec(ECHO)).await.unwrap();
    let larger = || spec(ECHO).with_memory(MemoryMib::new(300)).with_env("MODE", "b");
    deploy(&backend, larger()).await.unwrap();
    assert_eq!(account.led().await, "2");
    let found = async || {
        let name = account.name().await.unwrap();
        account.client.get_function().function_name(name).send().await.unwrap()
    };
    assert_eq!(found().await.concurrency().unwrap().reserved_concurrent_executions(), Some(5));
    artifact.write(b"two", &[ECHO]);
    deploy(&account.backend(&artifact), larger()).await.unwrap();
    let versions = account.versions().await;
    assert_eq!(account.led().await, "3");
    assert_eq!([versions["1"].0, versions["2"].0, versions["3"].0], [256, 300, 300]);
    assert!(versions["1"].1 == versions["2"].1 && versions["2"].1 != versions["3"].1, "{versions:?}");
    let found = found().await;
    assert_eq!(found.tags().unwrap()["team"], "red");
    assert!(!found.tags().unwrap().contains_key("io.faas.reserved"), "{:?}", found.tags());
    let reserved = found.concurrency().and_then(|concurrency| concurrency.reserved_concurrent_executions());
    assert_eq!(reserved, None, "it is asked for no longer");
}

#[tokio::test]
async fn moto_has_no_more_of_what_is_removed_and_all_of_what_is_adopted() {
    let Some(endpoint) = moto("moto_has_no_more_of_what_is_removed_and_all_of_what_is_adopted") else {
        return;
    };
    let (account, artifact) = (Account::new(endpoint, "removed"), artifact());
    let backend = account.backend(&artifact);
    let deployment = deploy(&backend, spec(ECHO)).await.unwrap();
    assert_eq!(backend.warm(&deployment, 2).await.unwrap(), 0, "nobody allowed what is billed");

    let name = account.name().await.unwrap();
    let adopt = |function: &str| builder_at(&account.endpoint).adopt(ECHO, function).build().unwrap();
    let adopting = adopt(&format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}"));
    let adopted = deploy(&adopting, spec(ECHO)).await.unwrap();
    adopting.remove(&adopted).await.unwrap();
    assert_eq!(account.led().await, "1", "it is not the adopter's to remove");

    for _ in 0..2 {
        backend.remove(&deployment).await.unwrap();
        assert_eq!(account.name().await, None);
    }
    let error = deploy(&adopt(&name), spec(ECHO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    deploy(&backend, spec(ECHO)).await.unwrap();
    assert_eq!(account.led().await, "1");
}

//! Rules over manifests and the dependency graph.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use cargo_metadata::semver::Version;
use cargo_metadata::{DependencyKind, Package};
use toml::{Table, Value};

use super::Tree;
use crate::process;

/// Most dependencies of faas-core that every user pays for, whatever features they turn off.
const CORE_LIMIT: usize = 12;

/// The guests: the features of core that make one, its target, and what must not be in its tree. A program in a
/// container serves HTTP, for which it has a runtime of one thread; but no client, and no TLS. A Lambda function has these
/// for the requests of its action.
const GUESTS: [(&str, &str, &[&str]); 3] = [
    ("macros,guest-wasi", "wasm32-wasip1", &["tokio", "bollard", "wasmtime", "hyper", "reqwest", "mio"]),
    (
        "macros,guest-http",
        "x86_64-unknown-linux-musl",
        &["bollard", "wasmtime", "reqwest", "rustls", "hyper-rustls", "arc-swap", "chrono", "governor"],
    ),
    (
        "macros,guest-lambda",
        "x86_64-unknown-linux-musl",
        &["bollard", "wasmtime", "reqwest", "tracing-subscriber", "arc-swap", "chrono", "governor"],
    ),
];

/// What must not be in any guest's: families of crates by the start of their names.
const HOST_ONLY_FAMILIES: [&str; 2] = ["aws-", "aws_"];

/// What each crate takes from `[workspace.package]`.
const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

pub(super) fn core_is_small(tree: &Tree<'_>) -> Result<Vec<String>> {
    let core = package(tree, "faas-core")?;
    let direct: BTreeSet<&str> = core
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal && !dependency.optional)
        .map(|dependency| dependency.name.as_str())
        .collect();
    Ok(Vec::from_iter((direct.len() > CORE_LIMIT).then(|| {
        format!("{} direct dependencies that are not optional, over {CORE_LIMIT}: {direct:?}", direct.len())
    })))
}

pub(super) fn guest_is_free_of_hosts(tree: &Tree<'_>) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for (features, target, host_only) in GUESTS {
        let mut cargo = tree.workspace.cargo("tree");
        cargo.args(["-p", "faas-core", "--no-default-features", "--features", features]);
        cargo.args(["--target", target, "--edges", "normal", "--prefix", "none"]);
        let listing = process::capture(&mut cargo)?;
        let names: BTreeSet<&str> = listing.lines().filter_map(|line| line.split(' ').next()).collect();
        ensure!(names.contains("faas-core"), "cargo tree does not list faas-core itself");
        let is_host_only = |name: &&str| {
            host_only.contains(name) || HOST_ONLY_FAMILIES.iter().any(|family| name.starts_with(family))
        };
        let found = names.into_iter().filter(is_host_only);
        violations.extend(found.map(|name| format!("{name} is in the tree of a guest with {features}")));
    }
    Ok(violations)
}

pub(super) fn one_major_version(tree: &Tree<'_>) -> Result<Vec<String>> {
    let metadata = &tree.workspace.metadata;
    let graph = metadata.resolve.as_ref().context("cargo metadata resolved no graph")?;
    let mut majors: BTreeMap<&str, BTreeSet<(u64, u64)>> = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| metadata.workspace_members.contains(&node.id)) {
        for id in &node.dependencies {
            let dependency = &metadata[id];
            majors.entry(&dependency.name).or_default().insert(compatibility(&dependency.version));
        }
    }
    let several = majors.into_iter().filter(|(_, majors)| majors.len() > 1);
    Ok(several.map(|(name, majors)| format!("{name} has {majors:?}")).collect())
}

/// What cargo holds compatible: the major version, and below 1.0 the minor one.
fn compatibility(version: &Version) -> (u64, u64) {
    if version.major == 0 { (0, version.minor) } else { (version.major, 0) }
}

pub(super) fn manifests_inherit(tree: &Tree<'_>) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for member in tree.workspace.metadata.workspace_packages() {
        let text = std::fs::read_to_string(&member.manifest_path)?;
        let manifest: Table = text.parse().with_context(|| format!("{}", member.manifest_path))?;
        violations
            .extend(not_inherited(&manifest).into_iter().map(|what| format!("{}: {what}", member.name)));
    }
    Ok(violations)
}

fn not_inherited(manifest: &Table) -> Vec<String> {
    let inherits = |value: Option<&Value>| {
        value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
    };
    let package = manifest.get("package");
    let mut missing: Vec<String> = INHERITED
        .iter()
        .filter(|key| !inherits(package.and_then(|package| package.get(key))))
        .map(|key| format!("`{key}` is not inherited"))
        .collect();
    if !inherits(manifest.get("lints")) {
        missing.push("`lints` is not inherited".to_owned());
    }
    missing
}

fn package<'a>(tree: &Tree<'a>, name: &str) -> Result<&'a Package> {
    let mut members = tree.workspace.metadata.workspace_packages().into_iter();
    members.find(|member| member.name == name).with_context(|| format!("the workspace has no crate {name}"))
}

#[cfg(test)]
mod tests {
    use super::{compatibility, not_inherited};

    #[test]
    fn minor_versions_below_one_are_as_far_apart_as_majors() {
        let compatibility = |text: &str| compatibility(&text.parse().expect("a version"));
        assert_eq!(compatibility("1.2.3"), compatibility("1.9.0"));
        assert_ne!(compatibility("0.10.4"), compatibility("0.11.0"));
    }

    #[test]
    fn a_manifest_of_its_own_is_told() {
        let manifest =
            "[package]\nversion.workspace = true\nedition = \"2024\"\nrust-version.workspace = true\n";
        let manifest = manifest.parse().expect("a manifest");
        assert_eq!(
            not_inherited(&manifest),
            ["`edition` is not inherited", "`license` is not inherited", "`lints` is not inherited"]
        );
    }
}

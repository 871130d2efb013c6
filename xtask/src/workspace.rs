//! The workspace under check: its manifests, its files and its cargo.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::process;

/// The workspace that this xtask belongs to.
pub(crate) struct Workspace {
    /// What `cargo metadata` says, the resolved dependency graph included.
    pub(crate) metadata: Metadata,
}

/// A text file of the workspace.
pub(crate) struct SourceFile {
    /// Relative to the workspace root, with `/` between folders.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) text: String,
}

impl Workspace {
    /// Reads the manifests, and leaves the lock file as it is.
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
            .other_options(["--locked".to_owned()])
            .exec()?;
        Ok(Self { metadata })
    }

    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The target folder, the only place that checks write to.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The cargo that started us, at the root, with `subcommand` and the lock file frozen.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = self.cargo_unlocked();
        cargo.args([subcommand, "--locked"]);
        cargo
    }

    /// The cargo that started us, at the root; for the subcommands that do not know `--locked`.
    pub(crate) fn cargo_unlocked(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(self.root());
        cargo
    }

    /// The text files that git tracks or would track, sorted by path.
    ///
    /// Files that are not valid UTF-8 are left out: no rule reads them.
    pub(crate) fn files(&self) -> Result<Vec<SourceFile>> {
        let listing = process::capture(
            Command::new("git")
                .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
                .current_dir(self.root()),
        )?;
        let mut files = Vec::new();
        for path in listing.split_terminator('\0') {
            // A tracked file may have been removed from the work tree.
            let full = self.root().join(path);
            if !full.is_file() {
                continue;
            }
            let bytes = fs::read(&full).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(SourceFile { path: path.to_owned(), text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The text of one file, named relative to the root.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.root().join(path)).with_context(|| format!("cannot read {path}"))
    }
}

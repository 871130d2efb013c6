//! `cargo faas`: builds crates of actions for backends, and lists what they export.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod destination;
mod table;

use std::env;
use std::error::Error as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use faas_build::{Arch, Build, CompilerChoice, Output};
use faas_core::{Error, ErrorKind};

use crate::destination::Destination;

#[derive(Parser)]
#[command(
    name = "cargo-faas",
    bin_name = "cargo faas",
    version,
    about = "Builds crates of actions for the backends that run them"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a crate of actions for a backend, into target/faas/CRATE/BACKEND.
    ///
    /// For docker it becomes an image, which is loaded into the engine that is found as by the Docker backend:
    /// DOCKER_HOST, else the usual sockets of Docker and Podman. Without an engine it is loaded when it is deployed.
    ///
    /// For lambda it becomes a zip with a program for the runtime provided.al2023. For another architecture than this
    /// machine's, the folder is named lambda-ARCH.
    Build {
        /// What to build for: docker, lambda or wasm.
        #[arg(long)]
        backend: String,
        /// Which compilers for Wasm may be used: auto, installed (download nothing), rustup, debian.
        #[arg(long)]
        compiler: Option<CompilerChoice>,
        /// The architecture of the functions that lambda is built for, if it is not this machine's: x86_64 or arm64.
        #[arg(long)]
        arch: Option<Arch>,
        /// Write the archive of the image for Docker there, as by `docker save`, and load it into no engine.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Show the actions that a crate exports.
    List {
        /// Print the whole description as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: Which,
    },
}

/// Which crate, and how loudly.
#[derive(Args)]
struct Which {
    /// The package of the workspace, if it is not the one of the folder.
    #[arg(short, long, value_name = "CRATE")]
    package: Option<String>,
    /// The Cargo.toml, or a folder, to start from instead of the current folder.
    #[arg(long, value_name = "PATH", default_value = ".", hide_default_value = true)]
    manifest_path: PathBuf,
    /// Print nothing but errors and what was asked for.
    #[arg(short, long)]
    quiet: bool,
}

impl Which {
    fn progress(&self) -> Output {
        if self.quiet { Output::Quiet } else { Output::Full }
    }

    fn build(self) -> Build {
        let output = self.progress();
        let build = Build::new(self.manifest_path).output(output);
        match self.package {
            Some(package) => build.package(package),
            None => build,
        }
    }
}

fn main() -> ExitCode {
    // Cargo runs `cargo-faas faas build`; by hand it is `cargo-faas build`.
    let mut arguments: Vec<_> = env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "faas") {
        arguments.remove(1);
    }
    match run(Cli::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Build { backend, compiler, arch, output, which } => {
            let progress = which.progress();
            let build = which.build();
            let build = if let Some(choice) = compiler { build.compiler(choice) } else { build };
            let build = if let Some(arch) = arch { build.arch(arch) } else { build };
            let destination = Destination::of(&backend, output)?;
            destination.take(&build.run(&backend)?, progress)
        }
        Command::List { json, which } => {
            let description = which.build().list()?;
            if json {
                let text = serde_json::to_string_pretty(&description);
                let failed =
                    |error| Error::new(ErrorKind::Internal, "cannot encode the list").with_source(error);
                println!("{}", text.map_err(failed)?);
            } else {
                print!("{}", table::of(&description));
            }
            Ok(())
        }
    }
}

/// Prints the error with all that led to it: the compiler's words, where they were not printed as they came.
fn report(error: &Error) {
    eprintln!("error: {}", error.message());
    for key in ["manifest", "compiler", "rustup", "hint"] {
        if let Some(value) = error.context(key) {
            eprintln!("  {key}: {value}");
        }
    }
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("\nCaused by:\n{}", cause.to_string().trim_end());
        source = cause.source();
    }
}

//! Transcripts: what each behaviour saw, written down so that two backends can be compared.
//!
//! Where the environment variable [`FOLDER`] names a folder, every behaviour leaves
//! `<folder>/<suite>/<subject>/<behaviour>.json` there, also when it is skipped.

mod compare;
mod entry;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use faas_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

pub use self::compare::{Difference, compare};
pub use self::entry::{Entry, IGNORED_FIELDS, Line};

/// The environment variable that names the folder for transcripts.
pub const FOLDER: &str = "FAAS_TRANSCRIPTS";

/// What one behaviour of a suite saw of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// The behaviour's name.
    pub behaviour: String,
    /// Whether it ran.
    pub status: RunStatus,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it saw, in order.
    pub entries: Vec<Entry>,
}

/// Whether a behaviour ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It ran to its end and its claim held.
    Ran,
    /// It did not run, and its transcript says why.
    Skipped,
}

impl Transcript {
    /// The transcript of a behaviour that ran.
    #[must_use]
    pub fn ran(behaviour: &str, entries: Vec<Entry>) -> Self {
        Self { behaviour: behaviour.to_owned(), status: RunStatus::Ran, reason: None, entries }
    }

    /// The transcript of a behaviour that was skipped.
    #[must_use]
    pub fn skipped(behaviour: &str, reason: &str) -> Self {
        Self {
            behaviour: behaviour.to_owned(),
            status: RunStatus::Skipped,
            reason: Some(reason.to_owned()),
            entries: Vec::new(),
        }
    }

    /// Prints the line of the behaviour, and leaves the transcript where [`FOLDER`] says.
    ///
    /// # Panics
    /// When the transcript cannot be written.
    #[expect(clippy::print_stdout, reason = "it is read by whoever runs the tests")]
    pub fn publish(&self, suite: &str, subject: &str) {
        match &self.reason {
            None => println!("BEHAVIOUR {suite} {subject} {} ran", self.behaviour),
            Some(reason) => println!("BEHAVIOUR {suite} {subject} {} skipped: {reason}", self.behaviour),
        }
        if let Some(folder) = std::env::var_os(FOLDER) {
            let folder = PathBuf::from(folder).join(suite).join(subject);
            self.write(&folder).expect("FAAS_TRANSCRIPTS names a folder that can be written to");
        }
    }

    /// Writes `<folder>/<behaviour>.json`.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let file = folder.join(format!("{}.json", self.behaviour));
        let text = serde_json::to_vec_pretty(self).map_err(|error| broken(&file, error))?;
        fs::create_dir_all(folder).and_then(|()| fs::write(&file, text)).map_err(|error| broken(&file, error))
    }
}

/// The transcripts of one subject, by behaviour.
pub type Transcripts = BTreeMap<String, Transcript>;

/// Reads the transcripts of one subject from `<folder of the suite>/<subject>`.
///
/// # Errors
/// `NotFound` when there is none; `Unavailable` when one cannot be read.
pub fn load(folder: &Path) -> Result<Transcripts, Error> {
    let mut transcripts = Transcripts::new();
    for file in fs::read_dir(folder).map_err(|error| absent(folder).with_source(error))? {
        let file = file.map_err(|error| broken(folder, error))?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&file).map_err(|error| broken(&file, error))?;
            let transcript: Transcript =
                serde_json::from_slice(&text).map_err(|error| broken(&file, error))?;
            transcripts.insert(transcript.behaviour.clone(), transcript);
        }
    }
    if transcripts.is_empty() { Err(absent(folder)) } else { Ok(transcripts) }
}

fn absent(folder: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no transcript in {}", folder.display()))
}

fn broken(file: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the transcript {} is of no use", file.display()))
        .with_source(error)
}

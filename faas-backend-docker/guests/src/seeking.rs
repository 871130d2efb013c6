//! Actions that leave secrets, and look for those of others.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use faas_core::{BoxError, Context, action};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const FILE: &str = "/tmp/left";
static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Leaves a secret wherever it can, and tells what others have left.
///
/// # Errors
/// When the files cannot be read.
#[action(memory = "16MiB")]
pub async fn remember(input: Value) -> Result<Value, BoxError> {
    let secret = input["secret"].as_str().unwrap_or_default().to_owned();
    let on_disk = fs::read_to_string(FILE).unwrap_or_default();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let found = json!({ "memory": *kept, "disk": on_disk });
    kept.push(secret.clone());
    drop(kept);
    fs::write(FILE, format!("{on_disk}{secret}\n"))?;
    Ok(found)
}

/// What to look for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sought {
    /// The secret backwards, so that looking for it does not put it where it is looked for.
    pub backwards: String,
}

/// Looks for a secret in its environment, in files, and in its memory; tells where it is.
///
/// # Errors
/// When its memory cannot be read.
#[action(memory = "32MiB")]
pub async fn seek(cx: &Context, input: Sought) -> Result<Value, BoxError> {
    let sought = input.backwards.as_bytes();
    let mut places = Vec::new();
    let told = format!("{:?} {:?}", cx.action().env, cx.action().parameters);
    if contains(told.as_bytes(), sought) {
        places.push("specification".to_owned());
    }
    for folder in ["/tmp", "/faas", "/dev", "/etc", "/run", "/var"] {
        search_folder(Path::new(folder), sought, &mut places);
    }
    for process in fs::read_dir("/proc")?.flatten().map(|entry| entry.path()) {
        for file in ["environ", "cmdline", "mountinfo"] {
            search_file(&process.join(file), sought, &mut places);
        }
    }
    search_memory(sought, &mut places)?;
    Ok(json!({ "places": places }))
}

fn contains(bytes: &[u8], backwards: &[u8]) -> bool {
    bytes.windows(backwards.len()).any(|window| window.iter().eq(backwards.iter().rev()))
}

fn search_folder(folder: &Path, sought: &[u8], places: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => search_folder(&entry.path(), sought, places),
            Ok(kind) if kind.is_file() => search_file(&entry.path(), sought, places),
            _ => {}
        }
    }
}

fn search_file(path: &Path, sought: &[u8], places: &mut Vec<String>) {
    if fs::read(path).is_ok_and(|bytes| contains(&bytes, sought)) {
        places.push(path.display().to_string());
    }
}

/// Searches all memory of this process that it may write to.
fn search_memory(sought: &[u8], places: &mut Vec<String>) -> Result<(), BoxError> {
    let mut memory = File::open("/proc/self/mem")?;
    let mut piece = vec![0; 1 << 20];
    let mut searched = 0;
    for line in fs::read_to_string("/proc/self/maps")?.lines().filter(|line| line.contains(" rw")) {
        let Some((begin, end)) = line.split(' ').next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let (mut at, end) = (u64::from_str_radix(begin, 16)?, u64::from_str_radix(end, 16)?);
        while at < end {
            let length = usize::try_from(end - at)?.min(piece.len());
            memory.seek(SeekFrom::Start(at))?;
            if memory.read_exact(&mut piece[..length]).is_err() {
                break;
            }
            searched += length;
            if contains(&piece[..length], sought) {
                places.push(format!("memory {line}"));
            }
            at += length as u64;
        }
    }
    match searched {
        0 => Err("no memory could be read".into()),
        _ => Ok(()),
    }
}

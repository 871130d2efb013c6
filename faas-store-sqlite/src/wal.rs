//! Looks into SQLite's write-ahead log.
//!
//! SQLite takes a log up to the first frame whose checksum is wrong and drops the rest: after a loss of power that is a
//! write which was never answered. But a flipped bit, or a log that was cut or deleted, looks the same to it, and writes
//! that were answered would be gone without a word. So the store notes how far it has answered, and looks for itself.
//!
//! # Source
//! "The WAL File Format", <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The checksum is over words in the order of the machine that wrote the log, which the lowest bit tells.
const MAGIC: u32 = 0x377f_0682;

/// The numbers that a log's header and its frames share; the first grows by one when the log begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Salts(pub(crate) u32, pub(crate) u32);

struct Header {
    page: usize,
    salts: Salts,
    is_big: bool,
    sum: (u32, u32),
}

/// The salts of a log that was written to.
pub(crate) fn salts(log: &mut File) -> io::Result<Salts> {
    let mut bytes = [0; 8];
    log.seek(SeekFrom::Start(16))?;
    log.read_exact(&mut bytes)?;
    Ok(Salts(word(&bytes, 0), word(&bytes, 4)))
}

/// How many frames from the first on are whole, up to `most`; with the salts of the log. `None` when there is no log, or
/// it has no header.
pub(crate) fn whole_frames(path: &Path, most: u64) -> io::Result<Option<(Salts, u64)>> {
    let Some(mut log) = open(path)? else { return Ok(None) };
    let Some(Header { page, salts, is_big, mut sum }) = header(&mut log) else { return Ok(None) };
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut whole = 0;
    while whole < most {
        if log.read_exact(&mut frame).is_err() {
            break;
        }
        let (head, content) = frame.split_at(FRAME_HEADER);
        sum = checksum(is_big, checksum(is_big, sum, &head[..8]), content);
        if Salts(word(head, 8), word(head, 12)) != salts || sum != (word(head, 16), word(head, 20)) {
            break;
        }
        whole += 1;
    }
    Ok(Some((salts, whole)))
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(|file| Some(BufReader::with_capacity(1 << 17, file))),
    }
}

fn header(log: &mut impl Read) -> Option<Header> {
    let mut bytes = [0; HEADER];
    log.read_exact(&mut bytes).ok()?;
    let magic = word(&bytes, 0);
    let is_big = magic & 1 == 1;
    let sum = checksum(is_big, (0, 0), &bytes[..24]);
    let page = usize::try_from(word(&bytes, 8)).ok()?;
    let is_header = magic & !1 == MAGIC && sum == (word(&bytes, 24), word(&bytes, 28));
    let is_page = page.is_power_of_two() && (512..=65_536).contains(&page);
    (is_header && is_page).then(|| Header {
        page,
        salts: Salts(word(&bytes, 16), word(&bytes, 20)),
        is_big,
        sum,
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn checksum(is_big: bool, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let read = if is_big { u32::from_be_bytes } else { u32::from_le_bytes };
    for pair in bytes.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *pair;
        first = first.wrapping_add(read([a, b, c, d])).wrapping_add(second);
        second = second.wrapping_add(read([e, f, g, h])).wrapping_add(first);
    }
    (first, second)
}

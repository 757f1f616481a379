//! Whether a write-ahead log is whole, before SQLite reads it.
//!
//! SQLite takes the first frame that does not fit for the end of the log: that is how a write which a crash cut off
//! looks. But a damaged frame in the middle looks the same, and all that was committed after it would be gone without a
//! word. They can be told apart as long as the machine was not down: what a process has written is there even if it was
//! never synced, so only its last transaction can be cut off. The format: <https://www.sqlite.org/fileformat.html>, section 4.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Where a log is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The first frame that cannot be read, from 1 on; 0 for the log's own head.
    pub(crate) frame: u64,
    /// How many frames there are.
    pub(crate) frames: u64,
}

/// Looks through the log at `path`, which nobody may be writing. A missing or empty one is whole.
pub(crate) fn damage(path: &Path) -> io::Result<Option<Damage>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let bytes = file.metadata()?.len();
    let mut file = BufReader::with_capacity(256 * 1024, file);
    let mut header = [0; HEADER_BYTES];
    if bytes < HEADER_BYTES as u64 {
        return Ok(None);
    }
    file.read_exact(&mut header)?;
    let field = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let page_bytes = field(8) as usize;
    let mut sum = Checksum { little: field(0) & 1 == 0, sums: (0, 0) };
    sum.add(&header[..24]);
    let has_magic = field(0) & !1 == MAGIC;
    if !has_magic || sum.sums != (field(24), field(28)) || !(512..=65536).contains(&page_bytes) {
        // A file that was made and never written is zero.
        let is_fresh = header.iter().all(|byte| *byte == 0);
        return Ok((!is_fresh && bytes > HEADER_BYTES as u64).then_some(Damage { frame: 0, frames: 0 }));
    }
    let frames = (bytes - HEADER_BYTES as u64) / (FRAME_HEADER_BYTES + page_bytes) as u64;
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    // The first frame that does not fit, and how many commits of this log there are from there on.
    let (mut broken, mut commits) = (None, 0);
    for number in 1..=frames {
        file.read_exact(&mut frame)?;
        let field = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
        let of_this_log = &frame[8..16] == salts;
        if broken.is_none() {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER_BYTES..]);
            if !of_this_log || sum.sums != (field(16), field(20)) {
                broken = Some(number);
            }
        }
        let is_commit = field(4) != 0;
        commits += u32::from(broken.is_some() && of_this_log && is_commit);
    }
    // One commit may be the last transaction's, which a crash can cut off anywhere.
    Ok(broken.filter(|_| commits > 1).map(|frame| Damage { frame, frames }))
}

/// The log's checksum goes on from frame to frame.
struct Checksum {
    little: bool,
    sums: (u32, u32),
}

impl Checksum {
    /// `bytes` are a multiple of eight.
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let bytes = bytes.try_into().expect("four bytes");
            if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
        };
        let (mut first, mut second) = self.sums;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        self.sums = (first, second);
    }
}

//! A finished file.

/// What a piece of work hands over: a file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// A file name without any folder.
    pub name: String,
    /// The media type, with its charset where it has one.
    pub media_type: &'static str,
    /// The content.
    pub bytes: Vec<u8>,
    /// How many pages it has when printed page by page; 1 for what has no pages.
    pub pages: usize,
}

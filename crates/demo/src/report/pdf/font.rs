//! The two fonts every PDF reader has, their widths and their character set.

use pdf_writer::Name;

/// One of the standard fonts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Regular,
    Bold,
}

/// Widths of the characters from space to tilde in thousandths of the font's size, from Adobe's metrics of the
/// standard fonts (AFM).
const REGULAR: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
const BOLD: [u16; 95] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278,
    556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584,
    556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556,
    333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
];

/// What a character beyond ASCII is taken to be as wide as: an `n`.
const OTHER: u16 = 600;

impl Face {
    pub(super) const ALL: [Self; 2] = [Self::Regular, Self::Bold];

    /// Its name among a page's resources.
    pub(super) fn resource(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"F1"),
            Self::Bold => Name(b"F2"),
        }
    }

    /// Its name in the standard.
    pub(super) fn base_font(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"Helvetica"),
            Self::Bold => Name(b"Helvetica-Bold"),
        }
    }

    /// The width of `text` in points.
    pub(super) fn width(self, text: &str, size: f32) -> f32 {
        let widths = match self {
            Self::Regular => &REGULAR,
            Self::Bold => &BOLD,
        };
        let width = |character: char| {
            let at = (character as usize).checked_sub(' ' as usize);
            f32::from(at.and_then(|at| widths.get(at)).copied().unwrap_or(OTHER))
        };
        text.chars().map(width).sum::<f32>() * size / 1000.0
    }
}

/// `text`, with an ellipsis in place of what does not fit into `width` points.
pub(super) fn fitted(text: &str, face: Face, size: f32, width: f32) -> String {
    if face.width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        kept.push(character);
        if face.width(&kept, size) + face.width("…", size) > width {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

/// `text` in WinAnsi, the encoding of the standard fonts; a question mark for what that has not.
pub(super) fn encoded(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| match character {
            ' '..='~' => character as u8,
            '\u{a0}'..='\u{ff}' => character as u32 as u8,
            '€' => 0x80,
            '…' => 0x85,
            '‘' => 0x91,
            '’' => 0x92,
            '“' => 0x93,
            '”' => 0x94,
            '•' => 0x95,
            '–' => 0x96,
            '—' => 0x97,
            _ => b'?',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_to_their_column() {
        assert_eq!(fitted("short", Face::Regular, 10.0, 100.0), "short");
        let cut = fitted(&"wide ".repeat(40), Face::Regular, 10.0, 100.0);
        assert!(cut.ends_with('…'));
        assert!(Face::Regular.width(&cut, 10.0) <= 100.0);
    }

    #[test]
    fn figures_are_all_of_one_width() {
        assert_eq!(Face::Regular.width("0123456789", 1000.0), 5560.0);
        assert_eq!(Face::Bold.width("1", 1000.0), Face::Bold.width("8", 1000.0));
    }

    #[test]
    fn what_the_font_has_not_becomes_a_question_mark() {
        assert_eq!(encoded("é€日\n"), [0xe9, 0x80, b'?', b'?']);
    }
}

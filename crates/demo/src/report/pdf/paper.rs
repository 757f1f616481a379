//! A4 pages, filled from the top.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::{FAINT, drawing::Drawing, font, font::Face};

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const MARGIN: f32 = 48.0;
const FOOT: f32 = 60.0;

/// What fits between the margins.
pub(super) const CONTENT_WIDTH: f32 = WIDTH - 2.0 * MARGIN;

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Pages and the place of the next line. Places are in points from the left margin and, upwards, from the current line.
pub(super) struct Paper {
    full: Vec<Content>,
    page: Content,
    y: f32,
}

impl Paper {
    pub(super) fn new() -> Self {
        Self { full: Vec::new(), page: Content::new(), y: HEIGHT - MARGIN - 18.0 }
    }

    /// Goes down by `height`.
    pub(super) fn advance(&mut self, height: f32) {
        self.y -= height;
    }

    /// Turns the page unless `height` is left; true if it did.
    pub(super) fn keep_together(&mut self, height: f32) -> bool {
        if self.y - height >= FOOT - 12.0 {
            return false;
        }
        self.full.push(std::mem::replace(&mut self.page, Content::new()));
        self.y = HEIGHT - MARGIN - 12.0;
        true
    }

    pub(super) fn text(&mut self, text: &str, face: Face, size: f32, color: [f32; 3], x: f32, align: Align) {
        self.text_at(text, face, size, color, x, 0.0, align);
    }

    #[expect(clippy::too_many_arguments, reason = "a text has this many properties")]
    pub(super) fn text_at(
        &mut self,
        text: &str,
        face: Face,
        size: f32,
        color: [f32; 3],
        x: f32,
        up: f32,
        align: Align,
    ) {
        write(&mut self.page, text, face, size, color, (MARGIN + x, self.y + up), align);
    }

    /// A filled rectangle whose lower left corner is at `x`, `up`.
    pub(super) fn fill(&mut self, x: f32, up: f32, width: f32, height: f32, color: [f32; 3]) {
        let [r, g, b] = color;
        self.page.set_fill_rgb(r, g, b).rect(MARGIN + x, self.y + up, width, height).fill_nonzero();
    }

    /// A surface of `size` units for `plotters`, its upper left corner at the current line.
    pub(super) fn drawing(&mut self, size: (u32, u32), scale: f32) -> Drawing<'_> {
        Drawing::new(&mut self.page, (MARGIN, self.y), size, scale)
    }

    /// The file and how many pages it has. Every page's foot shows `title` and its number.
    pub(super) fn finish(mut self, title: &str) -> (Vec<u8>, usize) {
        self.full.push(self.page);
        let count = self.full.len();
        let mut pdf = Pdf::new();
        let mut last = 0;
        let mut next = || {
            last += 1;
            Ref::new(last)
        };
        let (catalog, tree, info) = (next(), next(), next());
        let fonts = Face::ALL.map(|face| (face, next()));
        let pages: Vec<(Ref, Ref)> = (0..count).map(|_| (next(), next())).collect();

        pdf.catalog(catalog).pages(tree);
        pdf.pages(tree).kids(pages.iter().map(|(page, _)| *page)).count(count as i32);
        pdf.document_info(info).title(TextStr(title)).producer(TextStr("Streamer"));
        for (face, id) in fonts {
            let encoding = Name(b"WinAnsiEncoding");
            pdf.type1_font(id).base_font(face.base_font()).encoding_predefined(encoding);
        }
        for (at, (mut content, (page, stream))) in self.full.into_iter().zip(&pages).enumerate() {
            let number = format!("Page {} of {count}", at + 1);
            write(&mut content, title, Face::Regular, 8.5, FAINT, (MARGIN, 30.0), Align::Left);
            write(&mut content, &number, Face::Regular, 8.5, FAINT, (WIDTH - MARGIN, 30.0), Align::Right);
            let compressed = compress_to_vec_zlib(content.finish().as_slice(), 6);
            pdf.stream(*stream, &compressed).filter(Filter::FlateDecode);
            let mut page = pdf.page(*page);
            page.parent(tree).media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).contents(*stream);
            let mut resources = page.resources();
            let mut dictionary = resources.fonts();
            for (face, id) in fonts {
                dictionary.pair(face.resource(), id);
            }
            dictionary.finish();
            resources.finish();
            page.finish();
        }
        (pdf.finish(), count)
    }
}

fn write(
    content: &mut Content,
    text: &str,
    face: Face,
    size: f32,
    color: [f32; 3],
    at: (f32, f32),
    align: Align,
) {
    let left = match align {
        Align::Left => at.0,
        Align::Right => at.0 - face.width(text, size),
    };
    let [r, g, b] = color;
    content.begin_text().set_fill_rgb(r, g, b).set_font(face.resource(), size);
    content.next_line(left, at.1).show(Str(&font::encoded(text))).end_text();
}

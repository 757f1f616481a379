//! A part of a page as a surface for `plotters`.

use std::convert::Infallible;

use pdf_writer::{Content, Str};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
    text_anchor::{HPos, VPos},
};

use super::{font, font::Face};

/// The surface. Its units run to the right and down, as `plotters` wants; a page's run up.
pub(super) struct Drawing<'a> {
    content: &'a mut Content,
    origin: (f32, f32),
    size: (u32, u32),
    scale: f32,
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl<'a> Drawing<'a> {
    /// `size` units at `scale` points each, the upper left corner at `origin`.
    pub(super) fn new(content: &'a mut Content, origin: (f32, f32), size: (u32, u32), scale: f32) -> Self {
        Self { content, origin, size, scale }
    }

    fn place(&self, (x, y): BackendCoord) -> (f32, f32) {
        (self.origin.0 + x as f32 * self.scale, self.origin.1 - y as f32 * self.scale)
    }

    fn stroke_with<S: BackendStyle>(&mut self, style: &S) {
        let [r, g, b] = on_white(style.color());
        self.content.set_stroke_rgb(r, g, b).set_line_width(style.stroke_width() as f32 * self.scale);
    }

    fn fill_with(&mut self, color: BackendColor) {
        let [r, g, b] = on_white(color);
        self.content.set_fill_rgb(r, g, b);
    }

    fn path(&mut self, points: impl IntoIterator<Item = BackendCoord>) {
        for (at, point) in points.into_iter().enumerate() {
            let (x, y) = self.place(point);
            if at == 0 {
                self.content.move_to(x, y)
            } else {
                self.content.line_to(x, y)
            };
        }
    }
}

/// The colour as it shows on white paper.
fn on_white(color: BackendColor) -> [f32; 3] {
    let alpha = color.alpha as f32;
    let (r, g, b) = color.rgb;
    [r, g, b].map(|part| f32::from(part) / 255.0 * alpha + 1.0 - alpha)
}

impl DrawingBackend for Drawing<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        if color.alpha > 0.0 {
            self.fill_with(color);
            let (left, bottom) = self.place((x, y + 1));
            self.content.rect(left, bottom, self.scale, self.scale).fill_nonzero();
        }
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.stroke_with(style);
            self.path(path);
            self.content.stroke();
        }
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if style.color().alpha == 0.0 {
            return Ok(());
        }
        let (left, top) = self.place(upper_left);
        let (right, bottom) = self.place(bottom_right);
        if fill {
            self.fill_with(style.color());
            self.content.rect(left, bottom, right - left, top - bottom).fill_nonzero();
        } else {
            self.stroke_with(style);
            self.content.rect(left, bottom, right - left, top - bottom).stroke();
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.fill_with(style.color());
            self.path(corners);
            self.content.close_path().fill_nonzero();
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        if style.color().alpha == 0.0 {
            return Ok(());
        }
        // As the SVG backend does it, so that both charts look alike.
        let size = (style.size() / 1.24) as f32 * self.scale;
        let width = Face::Regular.width(text, size);
        let across = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let down = match style.anchor().v_pos {
            VPos::Top => 0.76 * size,
            VPos::Center => 0.26 * size,
            VPos::Bottom => -0.26 * size,
        };
        let (cos, sin) = match style.transform() {
            FontTransform::None => (1.0, 0.0),
            FontTransform::Rotate90 => (0.0, -1.0),
            FontTransform::Rotate180 => (-1.0, 0.0),
            FontTransform::Rotate270 => (0.0, 1.0),
        };
        let (x, y) = self.place(at);
        let origin = (x + across * cos + down * sin, y + across * sin - down * cos);
        self.fill_with(style.color());
        self.content.begin_text().set_font(Face::Regular.resource(), size);
        self.content.set_text_matrix([cos, sin, -sin, cos, origin.0, origin.1]);
        self.content.show(Str(&font::encoded(text))).end_text();
        Ok(())
    }
}

//! Plots as SVG. Colours and type come from the page's style sheet, so that both its themes have their own; every mark carries its value as
//! `data-value`, and says it when it is pointed at.

use std::fmt::Write as _;

/// Text for HTML and for attributes in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no other control characters, not even as references.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A number with as many digits as mean something.
pub(super) fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// The same on an axis, where zeros behind the point say nothing.
fn tick(value: f64) -> String {
    let text = short(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A round number at or above `value`, for the end of an axis.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let scale = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * scale).find(|end| *end >= value * 0.999).unwrap_or(value)
}

/// A bar of one or several pieces.
pub(super) struct Bar {
    pub(super) label: String,
    /// Class of the piece, what it is, and its length.
    pub(super) pieces: Vec<(&'static str, String, f64)>,
    /// Drawn with emphasis.
    pub(super) chosen: bool,
}

/// A plot's width: what a column of the page shows it at, so that on a phone the letters are still letters.
const WIDTH: f64 = 480.0;

/// Horizontal bars under each other, each with its name above and its sum behind it.
pub(super) fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    const RIGHT: f64 = 56.0;
    const ROW: f64 = 38.0;
    let sum = |bar: &Bar| bar.pieces.iter().map(|(_, _, value)| value).sum::<f64>();
    let end = ceiling(bars.iter().map(sum).fold(0.0, f64::max));
    let room = WIDTH - RIGHT;
    let height = bars.len() as f64 * ROW + 26.0;
    let mut svg = open(title, WIDTH, height);
    for step in 0..=4 {
        let x = room * f64::from(step) / 4.0;
        line(&mut svg, "grid", x, 2.0, x, height - 20.0);
        let class = if step == 0 { "tick" } else { "tick middle" };
        label(&mut svg, class, x, height - 5.0, &tick(end * f64::from(step) / 4.0));
    }
    for (row, bar) in bars.iter().enumerate() {
        let y = row as f64 * ROW;
        label(
            &mut svg,
            if bar.chosen { "name strong" } else { "name" },
            1.0,
            y + 13.0,
            &clipped(&bar.label, 60),
        );
        let mut x = 0.0;
        for (class, what, value) in &bar.pieces {
            let width = room * value / end;
            write(
                &mut svg,
                format_args!(
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" rx=\"3\" data-value=\"{value}\"><title>{}: {} {}</title></rect>",
                    y + 19.0,
                    width.max(0.5),
                    escaped(what),
                    short(*value),
                    escaped(unit),
                ),
            );
            x += width;
        }
        label(&mut svg, "value", x + 6.0, y + 30.5, &short(sum(bar)));
    }
    svg.push_str("</svg>");
    svg
}

/// A mark in a plane.
pub(super) struct Mark {
    pub(super) label: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) class: &'static str,
    pub(super) chosen: bool,
}

/// Marks in a plane that begins at zero on both sides.
pub(super) fn plane(title: &str, x_axis: &str, y_axis: &str, marks: &[Mark]) -> String {
    const HEIGHT: f64 = 330.0;
    const LEFT: f64 = 40.0;
    const BOTTOM: f64 = 46.0;
    const TOP: f64 = 22.0;
    const RIGHT: f64 = 14.0;
    let x_end = ceiling(marks.iter().map(|mark| mark.x).fold(0.0, f64::max) * 1.08);
    let y_end = ceiling(marks.iter().map(|mark| mark.y).fold(0.0, f64::max));
    let at_x = |x: f64| LEFT + (WIDTH - LEFT - RIGHT) * x / x_end;
    let at_y = |y: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * y / y_end;
    let mut svg = open(title, WIDTH, HEIGHT);
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (x, y) = (at_x(x_end * share), at_y(y_end * share));
        line(&mut svg, "grid", x, TOP, x, HEIGHT - BOTTOM);
        line(&mut svg, "grid", LEFT, y, WIDTH - RIGHT, y);
        label(&mut svg, "tick middle", x, HEIGHT - BOTTOM + 18.0, &tick(x_end * share));
        label(&mut svg, "tick end", LEFT - 8.0, y + 4.0, &tick(y_end * share));
    }
    label(&mut svg, "axis end", WIDTH - RIGHT, HEIGHT - 8.0, x_axis);
    label(&mut svg, "axis", 2.0, 12.0, y_axis);
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for mark in marks {
        let (x, y) = (at_x(mark.x), at_y(mark.y));
        let radius = if mark.chosen { 9.0 } else { 6.0 };
        write(
            &mut svg,
            format_args!(
                "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" data-value=\"{} {}\"><title>{}: {} {}, {} {}</title></circle>",
                if mark.chosen { format!("{} ring", mark.class) } else { mark.class.to_owned() },
                mark.x,
                mark.y,
                escaped(&mark.label),
                short(mark.x),
                escaped(x_axis),
                short(mark.y),
                escaped(y_axis),
            ),
        );
        // Names that would lie on each other go below their marks, then above.
        let free = |at: (f64, f64), taken: &[(f64, f64)]| {
            taken.iter().all(|other| (other.0 - at.0).abs() > 74.0 || (other.1 - at.1).abs() > 13.0)
        };
        let to_left = x > WIDTH - 90.0;
        let side = if to_left { -13.0 } else { 13.0 };
        let places = [4.0, 20.0, -12.0, 36.0, -28.0].map(|dy| (x + side, y + dy));
        let Some(place) = places.into_iter().find(|place| free(*place, &taken) && place.1 > TOP) else {
            // Among so many, it says its name when it is pointed at.
            continue;
        };
        taken.push(place);
        let class =
            format!("name{}{}", if to_left { " end" } else { "" }, if mark.chosen { " strong" } else { "" });
        label(&mut svg, &class, place.0, place.1, &clipped(&mark.label, 24));
    }
    svg.push_str("</svg>");
    svg
}

/// A curve over time.
pub(super) struct Curve {
    pub(super) label: String,
    pub(super) class: &'static str,
    /// Seconds and values.
    pub(super) points: Vec<(f64, f64)>,
    /// The end of its axis.
    pub(super) end: f64,
    /// What is written behind its name.
    pub(super) told: String,
}

/// Curves under each other over the same time, each filled down to its zero.
pub(super) fn strips(title: &str, curves: &[Curve]) -> String {
    const ROW: f64 = 66.0;
    const DEEP: f64 = 42.0;
    let last = curves.iter().flat_map(|curve| &curve.points).map(|(at, _)| *at).fold(0.0, f64::max);
    let height = curves.len() as f64 * ROW + 22.0;
    let at_x = |seconds: f64| WIDTH * if last > 0.0 { seconds / last } else { 0.0 };
    let mut svg = open(title, WIDTH, height);
    for (row, curve) in curves.iter().enumerate() {
        let floor = row as f64 * ROW + ROW - 4.0;
        let at_y = |value: f64| floor - DEEP * (value / curve.end.max(1e-9)).clamp(0.0, 1.0);
        line(&mut svg, "grid", 0.0, floor, WIDTH, floor);
        line(&mut svg, "grid faint", 0.0, floor - DEEP, WIDTH, floor - DEEP);
        label(&mut svg, "name", 1.0, floor - DEEP - 5.0, &curve.label);
        label(&mut svg, "tick end", WIDTH, floor - DEEP - 5.0, &curve.told);
        if let (Some(first), Some(end)) = (curve.points.first(), curve.points.last()) {
            let mut path = format!("M{:.1} {floor:.1}", at_x(first.0));
            for (at, value) in &curve.points {
                write(&mut path, format_args!(" L{:.1} {:.1}", at_x(*at), at_y(*value)));
            }
            write(&mut path, format_args!(" L{:.1} {floor:.1} Z", at_x(end.0)));
            let values: Vec<String> = curve.points.iter().map(|(_, value)| format!("{value:.4}")).collect();
            write(
                &mut svg,
                format_args!(
                    "<path class=\"{} area\" d=\"{path}\" data-value=\"{}\"><title>{}: {}</title></path>",
                    curve.class,
                    values.join(" "),
                    escaped(&curve.label),
                    escaped(&curve.told)
                ),
            );
        }
    }
    for step in 0..=4 {
        let class = ["tick", "tick middle", "tick middle", "tick middle", "tick end"][step];
        let seconds = last * step as f64 / 4.0;
        label(&mut svg, class, at_x(seconds), height - 4.0, &format!("{} s", tick(seconds)));
    }
    svg.push_str("</svg>");
    svg
}

fn open(title: &str, width: f64, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">", escaped(title))
}

fn line(svg: &mut String, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
    write(
        svg,
        format_args!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"),
    );
}

fn label(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    write(svg, format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text)));
}

/// Writing into a string does not fail.
fn write(into: &mut String, what: std::fmt::Arguments<'_>) {
    into.write_fmt(what).ok();
}

fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(most - 1).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_what_they_hold() {
        for (value, end) in
            [(0.0, 1.0), (0.7, 0.8), (1.0, 1.0), (97.0, 100.0), (101.0, 150.0), (3100.0, 4000.0)]
        {
            assert!((ceiling(value) - end).abs() < end * 1e-9, "{value}: {}", ceiling(value));
        }
    }

    #[test]
    fn names_cannot_leave_their_place() {
        assert_eq!(escaped("<b a=\"'&\u{0}\n"), "&lt;b a=&quot;&#39;&amp;\u{fffd}\n");
        let bar = Bar {
            label: "</text><script>".to_owned(),
            pieces: vec![("c1", "\"><x".to_owned(), 3.5)],
            chosen: true,
        };
        let svg = bars("<t>", "MB/s", &[bar]);
        assert!(
            !svg.contains("<script") && !svg.contains("<x") && svg.contains("data-value=\"3.5\""),
            "{svg}"
        );
    }

    #[test]
    fn a_plot_of_nothing_is_still_one() {
        for svg in [bars("t", "u", &[]), plane("t", "x", "y", &[]), strips("t", &[])] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }
}

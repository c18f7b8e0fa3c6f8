//! The plot of latency over load.

mod axis;
mod labels;

use std::{fs, io, path::PathBuf};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use self::{
    axis::Axis,
    labels::{Labels, Position},
};
use super::table::Line;
use crate::{failure::Failure, output};

/// Size of the plot in pixels.
const SIZE: (u32, u32) = (1_000, 560);
/// Height of the titles and of the x-axis, which the legend does not need.
const HEIGHT_BESIDE_LEGEND: u32 = 150;
/// Width of the y-axis, and height of the x-axis.
const AXES: (u32, u32) = (70, 52);
/// Margin around the plot.
const MARGIN: u32 = 12;
/// Radius of a marker.
const MARKER: i32 = 4;
/// Height of a row of the legend.
const LEGEND_LINE: i32 = 22;
/// Width of the sample of a curve in the legend.
const LEGEND_SAMPLE: i32 = 30;

const FONT: &str = "sans-serif";
const TITLE: (&str, u32) = (FONT, 24);
const TEXT: (&str, u32) = (FONT, 17);
const LABEL: (&str, u32) = (FONT, 15);

/// Colours with contrast to white and to each other.
struct Colours;

impl Palette for Colours {
    const COLORS: &'static [(u8, u8, u8)] = &[
        (0, 90, 160),
        (200, 80, 0),
        (0, 135, 90),
        (190, 60, 135),
        (95, 75, 180),
        (120, 85, 40),
        (70, 70, 70),
        (150, 130, 0),
    ];
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawingError = DrawingAreaErrorKind<io::Error>;

/// A plot whose file is writable.
pub(super) struct Plot {
    file: PathBuf,
}

impl Plot {
    /// Verifies that the file can be written, before the runs. Existing contents stay until the plot is drawn.
    pub(super) fn at(file: PathBuf) -> Result<Self, Failure> {
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&file);
        opened.map_err(Failure::during(format_args!("creating the plot {}", file.display())))?;
        Ok(Self { file })
    }

    /// Draws the results of the runs.
    pub(super) fn draw(&self, lines: &[Line], json: bool) -> Result<(), Failure> {
        let file = self.file.display();
        let picture = svg(lines).map_err(Failure::during(format_args!("drawing the plot {file}")))?;
        fs::write(&self.file, picture).map_err(Failure::during(format_args!("writing the plot {file}")))?;
        if json { Ok(()) } else { output::line(format_args!("plot: {file}")) }
    }
}

/// A latency percentile of a run.
#[derive(Clone, Copy)]
enum Latency {
    Median,
    Percentile99,
}

impl Latency {
    const ALL: [Self; 2] = [Self::Median, Self::Percentile99];

    const fn name(self) -> &'static str {
        match self {
            Self::Median => "p50",
            Self::Percentile99 => "p99",
        }
    }

    const fn milliseconds(self, line: &Line) -> f64 {
        match self {
            Self::Median => line.p50_ms,
            Self::Percentile99 => line.p99_ms,
        }
    }

    fn stroke(self, colour: RGBAColor) -> ShapeStyle {
        match self {
            Self::Median => colour.stroke_width(2),
            Self::Percentile99 => colour.stroke_width(1),
        }
    }

    /// Draws the marker of a point: a disc or a ring.
    fn mark(self, area: &Area<'_>, at: Position, colour: RGBAColor) -> Result<(), DrawingError> {
        let inside = match self {
            Self::Median => colour.filled(),
            Self::Percentile99 => WHITE.filled(),
        };
        area.draw(&Circle::new(at, MARKER, inside))?;
        area.draw(&Circle::new(at, MARKER, colour.stroke_width(2)))
    }
}

/// A curve: one latency percentile of one mix over load.
struct Curve {
    name: String,
    latency: Latency,
    colour: RGBAColor,
    /// Points in the order of load.
    points: Vec<Point>,
}

struct Point {
    /// Operations completed per second, and latency in milliseconds.
    at: (f64, f64),
    label: String,
}

/// Returns the curves of each mix. With rates, the load is the rate, so each number of connections has its own curves.
fn curves(lines: &[Line]) -> Vec<Curve> {
    let mut groups: Vec<(String, Vec<&Line>)> = Vec::new();
    // Runs without a success have no latency.
    for line in lines.iter().filter(|line| line.succeeded > 0) {
        let name = if line.rate.is_some() && has_several_connections(lines) {
            format!("{} ({} connections)", line.mix, line.connections)
        } else {
            line.mix.to_owned()
        };
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(line),
            None => groups.push((name, vec![line])),
        }
    }
    let curves = groups.into_iter().enumerate().flat_map(|(index, (name, mut group))| {
        group.sort_by_key(|line| (line.rate, line.connections));
        Latency::ALL.map(|latency| Curve {
            name: format!("{name} {}", latency.name()),
            latency,
            colour: Colours::pick(index).to_rgba(),
            points: group.iter().map(|line| Point::new(line, latency)).collect(),
        })
    });
    curves.collect()
}

fn has_several_connections(lines: &[Line]) -> bool {
    lines.windows(2).any(|pair| pair[0].connections != pair[1].connections)
}

impl Point {
    fn new(line: &Line, latency: Latency) -> Self {
        let label = line.rate.map_or(line.connections.to_string(), |rate| rate.to_string());
        Self { at: (line.per_second, latency.milliseconds(line)), label }
    }
}

/// Returns the plot as SVG.
fn svg(lines: &[Line]) -> Result<String, DrawingError> {
    let curves = curves(lines);
    let legend_height =
        u32::try_from(curves.len()).unwrap_or(u32::MAX).saturating_mul(LEGEND_LINE.unsigned_abs());
    let size = (SIZE.0, legend_height.saturating_add(HEIGHT_BESIDE_LEGEND).max(SIZE.1));
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, size).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.margin(MARGIN, MARGIN, MARGIN, MARGIN);
        let area = area.titled("dabba bench: latency over load", TITLE)?.titled(&subtitle(lines), TEXT)?;
        chart(&legend(&area, &curves)?, &curves)?;
        area.present()?;
    }
    Ok(picture)
}

/// Describes the kind of load and the labels of the points.
fn subtitle(lines: &[Line]) -> String {
    let Some(line) = lines.iter().find(|line| line.succeeded > 0) else {
        return "no operation succeeded".to_owned();
    };
    if line.rate.is_none() {
        "closed loop, labelled by connections".to_owned()
    } else if has_several_connections(lines) {
        "open loop, labelled by operations started per second".to_owned()
    } else {
        format!("open loop over {} connections, labelled by operations started per second", line.connections)
    }
}

/// Draws the legend on the right. Returns the remaining area.
fn legend<'a>(area: &Area<'a>, curves: &[Curve]) -> Result<Area<'a>, DrawingError> {
    let style = TEXT.into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
    let mut width = 0;
    for curve in curves {
        width = width.max(area.estimate_text_size(&curve.name, &style)?.0);
    }
    let width = width + LEGEND_SAMPLE.unsigned_abs() + 2 * MARGIN;
    let (rest, area) = area.split_horizontally(area.dim_in_pixel().0.saturating_sub(width));
    for (row, Curve { name, latency, colour, .. }) in (1..).zip(curves) {
        let y = row * LEGEND_LINE;
        area.draw(&PathElement::new([(0, y), (LEGEND_SAMPLE, y)], latency.stroke(*colour)))?;
        latency.mark(&area, (LEGEND_SAMPLE / 2, y), *colour)?;
        area.draw_text(name, &style, (LEGEND_SAMPLE + 2 * MARKER, y))?;
    }
    Ok(rest)
}

/// Draws the axes, the curves and the labels.
fn chart(area: &Area<'_>, curves: &[Curve]) -> Result<(), DrawingError> {
    let points = curves.iter().flat_map(|curve| &curve.points);
    let x = Axis::linear_if_close(points.clone().map(|point| point.at.0));
    let y = Axis::logarithmic(points.map(|point| point.at.1));
    let mut chart = ChartBuilder::on(area)
        .x_label_area_size(AXES.1)
        .y_label_area_size(AXES.0)
        .margin_top(MARGIN)
        .margin_right(MARGIN)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .label_style(LABEL)
        .axis_desc_style(TEXT)
        .x_desc("operations completed per second")
        .y_desc("latency in ms")
        .draw()?;

    let mut labels = Labels::new(chart.plotting_area().get_pixel_range());
    for Curve { points, latency, colour, .. } in curves {
        let line = points.iter().map(|point| point.at);
        chart.draw_series(LineSeries::new(line, latency.stroke(*colour)))?;
        for pair in points.windows(2) {
            labels.reserve_line(chart.backend_coord(&pair[0].at), chart.backend_coord(&pair[1].at));
        }
    }
    // Markers are drawn above all lines. Labels are placed beside lines and markers.
    let screen = area.use_screen_coord();
    for Curve { points, latency, colour, .. } in curves {
        for point in points {
            let pixel = chart.backend_coord(&point.at);
            latency.mark(&screen, pixel, *colour)?;
            labels.reserve_marker(pixel, MARKER + 1);
        }
    }
    for Curve { points, colour, .. } in curves {
        let style = LABEL.into_text_style(area).color(colour).pos(Pos::new(HPos::Center, VPos::Center));
        for Point { at, label } in points {
            let (width, height) = screen.estimate_text_size(label, &style)?;
            // The estimate assumes a narrow font.
            let [width, height] =
                [width + width / 4, height].map(|pixels| i32::try_from(pixels).unwrap_or(0));
            if let Some(centre) = labels.place(chart.backend_coord(at), (width, height), MARKER + 2) {
                screen.draw(&Text::new(label.as_str(), centre, style.clone()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, num::NonZeroU32};

    use roxmltree::{Document, Node};

    use super::*;

    /// Returns the result of a run. A rate of zero means no rate.
    fn line(mix: &'static str, connections: usize, rate: u32, per_second: f64, p50_ms: f64) -> Line {
        let rate = NonZeroU32::new(rate);
        let [p90_ms, p99_ms, p999_ms, max_ms] = [2.0, 3.0, 4.0, 5.0].map(|times| p50_ms * times);
        let errors = BTreeMap::new();
        let succeeded = 100;
        Line {
            mix,
            connections,
            rate,
            per_second,
            p50_ms,
            p90_ms,
            p99_ms,
            p999_ms,
            max_ms,
            succeeded,
            errors,
        }
    }

    fn texts<'a>(picture: &'a Document<'_>) -> Vec<&'a str> {
        let texts =
            picture.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
        texts.map(|node| node.text().unwrap().trim()).collect()
    }

    /// Returns the numbers in an attribute.
    fn numbers(node: Node<'_, '_>, attribute: &str) -> Vec<f64> {
        let numbers =
            node.attribute(attribute).unwrap().split([' ', ',']).filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    /// Returns the pixels of the curves with this colour and this number of points.
    fn drawn(picture: &Document<'_>, colour: usize, points: usize) -> Vec<Vec<(f64, f64)>> {
        let colour = colour_name(colour);
        let curves = picture
            .descendants()
            .filter(|node| node.has_attribute("points") && node.attribute("stroke") == Some(colour.as_str()));
        let curves = curves.map(|node| {
            let numbers = numbers(node, "points");
            numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
        });
        curves.filter(|curve| curve.len() == points).collect()
    }

    fn colour_name(index: usize) -> String {
        let (red, green, blue) = Colours::COLORS[index];
        format!("#{red:02X}{green:02X}{blue:02X}")
    }

    /// Returns the centres of the circles with this attribute.
    fn circles(picture: &Document<'_>, attribute: &str, colour: &str) -> Vec<(f64, f64)> {
        let circles = picture.descendants().filter(|node| node.tag_name().name() == "circle");
        let circles = circles.filter(|node| node.attribute(attribute) == Some(colour));
        circles.map(|node| (numbers(node, "cx")[0], numbers(node, "cy")[0])).collect()
    }

    /// Proves that each mix has its two curves, in the order of load, and that the curve of the greater latency is
    /// above the other.
    #[test]
    fn a_plot_has_curves_for_each_mix() {
        let svg = svg(&[
            line("place", 64, 0, 4_000.0, 16.0),
            line("place", 1, 0, 300.0, 3.0),
            line("place", 16, 0, 2_400.0, 6.0),
            line("menu", 1, 0, 6_000.0, 0.2),
            line("menu", 16, 0, 24_000.0, 0.7),
        ])
        .unwrap();
        let picture = Document::parse(&svg).unwrap();
        let texts = texts(&picture);
        let axes =
            ["latency in ms", "operations completed per second", "0.2", "0.5", "10", "50", "200", "20000"];
        let legend = ["place p50", "place p99", "menu p50", "menu p99"];
        for text in axes.iter().chain(&legend).chain(&["closed loop, labelled by connections", "64"]) {
            assert!(texts.contains(text), "{text}: {texts:?}");
        }

        let [place, menu] = [drawn(&picture, 0, 3), drawn(&picture, 1, 2)];
        let [median, percentile_99] = &place[..] else { panic!("{place:?}") };
        for (low, high) in median.iter().zip(percentile_99) {
            assert!((low.0 - high.0).abs() < f64::EPSILON && low.1 > high.1, "{low:?} {high:?}");
        }
        for pair in median.windows(2).chain(percentile_99.windows(2)) {
            assert!(pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1, "{pair:?}");
        }
        // The legend contains two more.
        assert_eq!(menu.len(), 4);
        assert!(menu.iter().all(|curve| curve[0].0 < curve[1].0), "{menu:?}");

        // The legend contains one more.
        let discs = circles(&picture, "fill", &colour_name(0));
        assert_eq!((discs.len(), circles(&picture, "fill", "#FFFFFF").len()), (4, 7));
        assert!(median.iter().all(|point| discs.contains(point)), "{median:?} {discs:?}");
    }

    /// Proves that with rates, the load is the rate, for each number of connections.
    #[test]
    fn a_plot_at_rates_tells_connections_apart() {
        let mut lines = vec![line("place", 8, 2_000, 1_100.0, 150.0), line("place", 8, 100, 100.0, 3.0)];
        let one = svg(&lines).unwrap();
        let one = Document::parse(&one).unwrap();
        let one = texts(&one);
        for text in
            ["open loop over 8 connections, labelled by operations started per second", "place p50", "2000"]
        {
            assert!(one.contains(&text), "{text}: {one:?}");
        }

        lines.push(line("place", 64, 100, 100.0, 3.0));
        let several = svg(&lines).unwrap();
        let several = Document::parse(&several).unwrap();
        let several = texts(&several);
        for text in ["place (8 connections) p50", "place (64 connections) p99"] {
            assert!(several.contains(&text), "{text}: {several:?}");
        }
    }

    /// Proves that a plot of one point or of no points can be drawn.
    #[test]
    fn a_plot_needs_no_curve() {
        let mut point = line("order", 16, 0, 500.0, 2.0);
        let svg_of_one = svg(std::slice::from_ref(&point)).unwrap();
        let picture = Document::parse(&svg_of_one).unwrap();
        assert_eq!(circles(&picture, "fill", &colour_name(0)).len(), 2);
        assert_eq!(texts(&picture).iter().filter(|text| **text == "16").count(), 2);

        (point.succeeded, point.per_second, point.p50_ms) = (0, 0.0, 0.0);
        let svg_of_none = svg(&[point]).unwrap();
        let picture = Document::parse(&svg_of_none).unwrap();
        assert!(texts(&picture).contains(&"no operation succeeded"));
        assert!(!svg_of_none.contains("circle") && !svg_of_none.contains("NaN"), "{svg_of_none}");
    }
}

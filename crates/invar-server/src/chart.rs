//! Geometry of charts: values become lines, marks and ticks. Draws nothing; `templates/*.svg` do.
//!
//! Points stand at equal distances, in the order they were given: a commit a step, however long it took.

use std::fmt::Write;

/// A point of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartPoint {
    /// Its height.
    pub value: f64,
    /// What it says when it is pointed at.
    pub title: String,
    /// Where it leads.
    pub href: String,
    /// What it says below the axis.
    pub label: String,
    /// What became of the benchmark there: a verdict's name, or nothing.
    pub mark: &'static str,
}

/// Points, where they stand, and what is laid over them: lines of places and values.
#[derive(Debug, Clone, Copy)]
pub struct Overlaid<'a> {
    /// The points.
    pub points: &'a [ChartPoint],
    /// The place of each, from the left.
    pub places: &'a [usize],
    /// How many places there are.
    pub of: usize,
    /// Further lines, each with its look.
    pub others: &'a [(usize, Vec<(usize, f64)>)],
}

/// Where the vertical axis starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// Below the least value.
    Values,
    /// At nothing.
    Zero,
}

/// A chart, ready to be drawn. Lengths are in units of its view box.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Lines across, with their names.
    pub ticks: Vec<Tick>,
    /// The line through the points.
    pub line: String,
    /// What lies below it.
    pub area: String,
    /// Further lines, each with its look.
    pub others: Vec<(usize, String)>,
    /// Points that are marked or can be pointed at.
    pub dots: Vec<Dot>,
    /// Names below the axis.
    pub labels: Vec<Label>,
}

/// A line across.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// How far down.
    pub y: String,
    /// Where its name stands.
    pub text_y: String,
    /// Its name.
    pub text: String,
}

/// A point as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot {
    /// How far to the right.
    pub x: String,
    /// How far down.
    pub y: String,
    /// The class: a verdict's name, or nothing.
    pub class: &'static str,
    /// The outline of a triangle, for what improved or regressed; nothing for a plain dot.
    pub triangle: String,
    /// What it says.
    pub title: String,
    /// Where it leads.
    pub href: String,
}

/// A name below the axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// How far to the right.
    pub x: String,
    /// Which of its ends stands there.
    pub anchor: &'static str,
    /// The name.
    pub text: String,
}

/// The edges of the area for values; the view box, 960 x 260, is in `history.svg`.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 944.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 226.0;

/// More points than these are a line; only what is marked is a dot.
const DOTS_MOST: usize = 160;
/// The least that the vertical axis spans, relative to the greatest value: what is less would be noise, were there any.
const SPAN_LEAST: f64 = 0.05;

/// A chart of values that are costs, counts or ratios. `name` names a height.
pub fn chart(points: &[ChartPoint], floor: Floor, name: impl Fn(f64) -> String) -> Option<Chart> {
    let places: Vec<usize> = (0..points.len()).collect();
    overlaid(Overlaid { points, places: &places, of: points.len(), others: &[] }, floor, name)
}

/// The same with further lines.
pub fn overlaid(overlaid: Overlaid<'_>, floor: Floor, name: impl Fn(f64) -> String) -> Option<Chart> {
    let Overlaid { points, places, of, others } = overlaid;
    // What is laid over nothing is no chart of this.
    points.first()?;
    let values = points.iter().map(|point| point.value);
    let scale =
        Scale::of(values.chain(others.iter().flat_map(|(_, line)| line).map(|(_, value)| *value)), floor)?;
    let step = if of > 1 { (RIGHT - LEFT - 16.0) / (of - 1) as f64 } else { 0.0 };
    let at = |place: usize| if of == 1 { (LEFT + RIGHT) / 2.0 } else { LEFT + 8.0 + step * place as f64 };
    let x = |index: usize| at(places.get(index).copied().unwrap_or(index));
    let y = |value: f64| BOTTOM - scale.share(value) * (BOTTOM - TOP);
    let coordinates: Vec<(f64, f64)> =
        points.iter().enumerate().map(|(index, point)| (x(index), y(point.value))).collect();
    let line = path(&coordinates);
    let area = match (coordinates.first(), coordinates.last()) {
        (Some(first), Some(last)) => {
            format!("{line}L{} {}L{} {}Z", short(last.0), short(BOTTOM), short(first.0), short(BOTTOM))
        }
        _ => String::new(),
    };
    let mut ticks: Vec<Tick> = scale
        .ticks()
        .into_iter()
        .map(|value| Tick { y: short(y(value)), text_y: short(y(value) + 4.0), text: name(value) })
        .collect();
    // Names are rounded: of two that read the same one is enough.
    ticks.dedup_by(|later, earlier| later.text == earlier.text);
    let all = points.len() <= DOTS_MOST;
    let marked = |point: &ChartPoint| matches!(point.mark, "regressed" | "improved");
    let dots =
        points.iter().zip(&coordinates).filter(|(point, _)| all || marked(point)).map(|(point, &(x, y))| {
            Dot {
                x: short(x),
                y: short(y),
                class: point.mark,
                triangle: triangle(point.mark, x, y),
                title: point.title.clone(),
                href: point.href.clone(),
            }
        });
    let others = others.iter().map(|(look, line)| {
        (*look, path(&line.iter().map(|&(place, value)| (at(place), y(value))).collect::<Vec<_>>()))
    });
    Some(Chart {
        ticks,
        line,
        area,
        others: others.collect(),
        dots: dots.collect(),
        labels: labels(points, x),
    })
}

/// First, middle and last.
fn labels(points: &[ChartPoint], x: impl Fn(usize) -> f64) -> Vec<Label> {
    let last = points.len() - 1;
    let label =
        |index: usize, anchor| Label { x: short(x(index)), anchor, text: points[index].label.clone() };
    match last {
        0 => vec![label(0, "middle")],
        1..4 => vec![label(0, "start"), label(last, "end")],
        _ => vec![label(0, "start"), label(last / 2, "middle"), label(last, "end")],
    }
}

/// A small line without axes, `WIDTH` x `HEIGHT` of a sparkline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparkline {
    /// The line.
    pub line: String,
    /// Its end, from the left.
    pub x: String,
    /// Its end, from the top.
    pub y: String,
}

/// The view box of a sparkline; `sparkline.svg` says the same.
const SPARK: (f64, f64) = (120.0, 28.0);

/// A small line through values.
pub fn sparkline(values: &[f64]) -> Option<Sparkline> {
    let scale = Scale::of(values.iter().copied(), Floor::Values)?;
    let (width, height) = (SPARK.0 - 8.0, SPARK.1 - 8.0);
    let step = if values.len() > 1 { width / (values.len() - 1) as f64 } else { 0.0 };
    let x = |index: usize| if values.len() == 1 { 4.0 + width } else { 4.0 + step * index as f64 };
    let points: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .map(|(index, &value)| (x(index), 4.0 + (1.0 - scale.share(value)) * height))
        .collect();
    let &(x, y) = points.last()?;
    Some(Sparkline { line: path(&points), x: short(x), y: short(y) })
}

/// The vertical axis.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, floor: Floor) -> Option<Scale> {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        let least = (high.abs().max(low.abs()) * SPAN_LEAST).max(f64::MIN_POSITIVE);
        let missing = (least - (high - low)).max(0.0) / 2.0;
        let room = (high - low).max(least) * 0.08;
        let positive = low >= 0.0;
        let low = low - missing - room;
        Some(Scale {
            low: match floor {
                Floor::Zero => 0.0_f64.min(low),
                // Costs are never below nothing, and an axis that says so would be odd.
                Floor::Values if positive => low.max(0.0),
                Floor::Values => low,
            },
            high: high + missing + room,
        })
        .map(|scale| if floor == Floor::Zero && positive { Scale { low: 0.0, ..scale } } else { scale })
    }

    /// How high up, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        if value.is_finite() { ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// Round values within, three to six of them.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 4.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * magnitude);
        let step = steps.into_iter().find(|&step| step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil();
        (0..8).map(|index| (first + f64::from(index)) * step).take_while(|&tick| tick <= self.high).collect()
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        // Writing into a text cannot fail.
        let _ = write!(path, "{command}{} {}", short(x), short(y));
    }
    path
}

/// Up for what improved, down for what regressed.
fn triangle(mark: &str, x: f64, y: f64) -> String {
    let corners = match mark {
        "improved" => [(x, y - 7.0), (x + 6.5, y + 5.0), (x - 6.5, y + 5.0)],
        "regressed" => [(x, y + 7.0), (x - 6.5, y - 5.0), (x + 6.5, y - 5.0)],
        _ => return String::new(),
    };
    format!("{}Z", path(&corners))
}

/// A length with one decimal at most.
fn short(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map(str::to_string).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<ChartPoint> {
        let point = |(index, &value): (usize, &f64)| ChartPoint {
            value,
            title: format!("t{index}"),
            href: format!("/{index}"),
            label: format!("l{index}"),
            mark: if index == 1 { "regressed" } else { "" },
        };
        values.iter().enumerate().map(point).collect()
    }

    #[test]
    fn a_chart_of_nothing_is_none() {
        assert_eq!(chart(&[], Floor::Values, |_| String::new()), None);
        assert_eq!(chart(&points(&[f64::NAN]), Floor::Values, |_| String::new()), None);
        assert_eq!(sparkline(&[]), None);
    }

    #[test]
    fn the_line_goes_from_left_to_right_and_higher_is_more() {
        let chart = chart(&points(&[100.0, 200.0]), Floor::Values, |value| value.to_string()).unwrap();
        assert_eq!(chart.line, "M80 211.7L936 32.3");
        assert!(chart.area.starts_with(&chart.line) && chart.area.ends_with('Z'));
        let names: Vec<&str> = chart.ticks.iter().map(|tick| tick.text.as_str()).collect();
        assert_eq!(names, ["100", "150", "200"]);
        assert_eq!(chart.labels.len(), 2);
    }

    #[test]
    fn what_is_laid_over_has_its_own_places_and_the_same_scale() {
        let points = points(&[100.0, 200.0]);
        let others = [(2, vec![(1, 300.0), (3, 100.0)])];
        let laid = Overlaid { points: &points, places: &[0, 3], of: 4, others: &others };
        let chart = overlaid(laid, Floor::Values, |value| value.to_string()).unwrap();
        assert_eq!(chart.line, "M80 211.7L936 122");
        assert_eq!(chart.others, [(2, "M365.3 32.3L936 211.7".to_string())]);
        assert_eq!(overlaid(Overlaid { points: &[], ..laid }, Floor::Values, |_| String::new()), None);
    }

    #[test]
    fn what_regressed_points_down() {
        let chart = chart(&points(&[100.0, 200.0]), Floor::Values, |value| value.to_string()).unwrap();
        assert_eq!(chart.dots[0].triangle, "");
        assert_eq!(chart.dots[1].triangle, "M936 39.3L929.5 27.3L942.5 27.3Z");
    }

    #[test]
    fn equal_values_lie_in_the_middle() {
        let chart = chart(&points(&[7.0, 7.0, 7.0]), Floor::Values, |value| value.to_string()).unwrap();
        assert!(chart.line.starts_with("M80 122L") && chart.line.ends_with("L936 122"), "{}", chart.line);
        assert_eq!(sparkline(&[7.0, 7.0]).unwrap().line, "M4 14L116 14");
    }

    #[test]
    fn an_axis_may_start_at_nothing() {
        let from_zero = chart(&points(&[100.0, 104.0]), Floor::Zero, |value| value.to_string()).unwrap();
        assert_eq!(from_zero.ticks[0].text, "0");
        let nothing = chart(&points(&[0.0, 0.0]), Floor::Values, |value| value.to_string()).unwrap();
        assert!(!nothing.line.contains("NaN"), "{}", nothing.line);
    }

    #[test]
    fn many_points_are_a_line_with_its_marks() {
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let chart = chart(&points(&values), Floor::Values, |value| value.to_string()).unwrap();
        assert_eq!(chart.dots.len(), 1);
    }

    #[test]
    fn ticks_that_read_the_same_are_one() {
        let chart = chart(&points(&[1.0, 2.0]), Floor::Values, |_| "1".to_string()).unwrap();
        assert_eq!(chart.ticks.len(), 1);
    }
}

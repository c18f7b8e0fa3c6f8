//! The scales of the axes and the values that they label.

use std::ops::{Range, RangeInclusive};

use plotters::coord::{
    combinators::{IntoLogRange as _, LogCoord},
    ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    types::RangedCoordf64,
};

/// Exponents of the powers of ten that an axis may label.
const EXPONENTS: RangeInclusive<i32> = -4..=9;
/// Precision of labels: the number of distinguishable fractions of 1.
const NAMED_PARTS: f64 = 1e6;
/// Maximum ratio of the greatest to the least value on a linear scale, on which both can still be distinguished.
const MAX_LINEAR_RATIO: f64 = 25.0;
/// Maximum ratio of both ends up to which the values between the powers of ten are labelled, too.
const MAX_DETAILED_RATIO: f64 = 1e4;
/// Maximum number of steps of a linear scale.
const MAX_STEPS: f64 = 10.0;
/// Factor for the space beyond the values.
const ROOM: f64 = 1.05;

/// An axis.
pub(super) struct Axis {
    scale: Scale,
    /// Values with a grid line and a label.
    named: Vec<f64>,
    /// Values with a grid line only.
    unnamed: Vec<f64>,
}

enum Scale {
    Linear(RangedCoordf64),
    /// Equal ratios have equal distances.
    Logarithmic(LogCoord<f64>),
}

impl Axis {
    /// Returns a linear axis from zero, or a logarithmic axis if the values differ too much.
    pub(super) fn linear_if_close(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (least, greatest) = bounds(values.clone());
        if greatest > least * MAX_LINEAR_RATIO {
            return Self::logarithmic(values);
        }
        let step = steps().find(|step| greatest / step <= MAX_STEPS).unwrap_or(greatest);
        let end = step * (greatest * ROOM / step).ceil();
        let named = (0..).map(|number| f64::from(number) * step).take_while(|value| *value <= end);
        Self { scale: Scale::Linear((0.0..end).into()), named: named.collect(), unnamed: Vec::new() }
    }

    /// Returns a logarithmic axis for positive values.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (least, greatest) = bounds(values);
        let (least, greatest) = (least / ROOM, greatest * ROOM);
        let start = steps().rfind(|step| *step <= least).unwrap_or(least);
        let end = steps().find(|step| *step >= greatest).unwrap_or(greatest);
        let is_power = |value: &f64| (value.log10() - value.log10().round()).abs() < f64::EPSILON * 10.0;
        let has_name = |value: &f64| end / start <= MAX_DETAILED_RATIO || is_power(value);
        let within = steps().filter(|step| (start..=end).contains(step));
        let (named, unnamed) = within.partition(has_name);
        Self { scale: Scale::Logarithmic((start..end).log_scale().into()), named, unnamed }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        match &self.scale {
            Scale::Linear(scale) => scale.map(value, pixels),
            Scale::Logarithmic(scale) => scale.map(value, pixels),
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { self.unnamed.clone() } else { self.named.clone() }
    }

    fn range(&self) -> Range<f64> {
        match &self.scale {
            Scale::Linear(scale) => scale.range(),
            Scale::Logarithmic(scale) => scale.range(),
        }
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        // Rounding hides the error of floating-point numbers, such as 3 × 0.1 > 0.3.
        ((value * NAMED_PARTS).round() / NAMED_PARTS).to_string()
    }
}

/// Returns the least and the greatest value; 1 for both if there are no values.
fn bounds(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (least, greatest) = (values.clone().reduce(f64::min), values.reduce(f64::max));
    (least.unwrap_or(1.0), greatest.unwrap_or(1.0))
}

/// Returns 1, 2 and 5 times each power of ten, in order.
fn steps() -> impl DoubleEndedIterator<Item = f64> {
    EXPONENTS.flat_map(|exponent| [1.0, 2.0, 5.0].map(|first| first * 10f64.powi(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<String> {
        axis.named.iter().map(Axis::format).collect()
    }

    /// Proves that values close to each other get a linear scale from zero, and other values a logarithmic scale.
    #[test]
    fn the_scale_depends_on_the_spread_of_the_values() {
        let close = Axis::linear_if_close([30.0, 570.0].into_iter());
        assert_eq!(names(&close), ["0", "100", "200", "300", "400", "500", "600"]);
        let tenths = Axis::linear_if_close([0.5].into_iter());
        assert_eq!(
            names(&tenths),
            ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3", "0.35", "0.4", "0.45", "0.5", "0.55"]
        );
        let far = Axis::linear_if_close([30.0, 900.0].into_iter());
        assert_eq!(names(&far), ["20", "50", "100", "200", "500", "1000"]);
        assert_eq!([30.0, 300.0].map(|value| far.map(&value, (0, 1_000))), [103, 692]);
    }

    /// Proves that both ends of a logarithmic axis are labelled, and that a long axis labels only powers of ten.
    #[test]
    fn a_long_logarithmic_axis_labels_only_powers_of_ten() {
        let short = Axis::logarithmic([0.03].into_iter());
        assert_eq!(names(&short), ["0.02", "0.05"]);
        assert_eq!((short.range(), short.unnamed.len()), (0.02..0.05, 0));
        let long = Axis::logarithmic([0.0004, 30_000.0].into_iter());
        assert_eq!(names(&long), ["0.001", "0.01", "0.1", "1", "10", "100", "1000", "10000"]);
        assert!(long.unnamed.contains(&20.0), "{:?}", long.unnamed);
    }
}

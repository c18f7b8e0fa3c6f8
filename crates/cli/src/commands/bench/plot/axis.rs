//! The scales of the axes, and which values they name.

use std::ops::{Range, RangeInclusive};

use plotters::coord::{
    combinators::{IntoLogRange as _, LogCoord},
    ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    types::RangedCoordf64,
};

/// Powers of ten that an axis may name.
const EXPONENTS: RangeInclusive<i32> = -4..=9;
/// Parts of one that names tell apart.
const NAMED_PARTS: f64 = 1e6;
/// How many times the least value the greatest may be for both to be told apart on a linear scale.
const MAX_LINEAR_RATIO: f64 = 25.0;
/// Up to this ratio of both ends, the values between the powers of ten are named too.
const MAX_DETAILED_RATIO: f64 = 1e4;
/// Most steps of a linear scale.
const MAX_STEPS: f64 = 10.0;
/// Room beyond the values, as a factor.
const ROOM: f64 = 1.05;

/// An axis.
pub(super) struct Axis {
    scale: Scale,
    /// Values with a line across the picture, and a name.
    named: Vec<f64>,
    /// Values with a line across the picture.
    unnamed: Vec<f64>,
}

enum Scale {
    Linear(RangedCoordf64),
    /// The same factor is the same distance.
    Logarithmic(LogCoord<f64>),
}

impl Axis {
    /// An axis from zero, or a logarithmic one when the values are far from each other.
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

    /// A logarithmic axis for values above zero.
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
        // Three times a tenth is a little more than three tenths.
        ((value * NAMED_PARTS).round() / NAMED_PARTS).to_string()
    }
}

/// The least and the greatest value, if there is any.
fn bounds(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (least, greatest) = (values.clone().reduce(f64::min), values.reduce(f64::max));
    (least.unwrap_or(1.0), greatest.unwrap_or(1.0))
}

/// 1, 2 and 5 times each power of ten, in order.
fn steps() -> impl DoubleEndedIterator<Item = f64> {
    EXPONENTS.flat_map(|exponent| [1.0, 2.0, 5.0].map(|first| first * 10f64.powi(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<String> {
        axis.named.iter().map(Axis::format).collect()
    }

    /// Proves that values near each other are on a linear scale from zero, and others on a logarithmic one.
    #[test]
    fn an_axis_suits_its_values() {
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

    /// Proves that a logarithmic axis has ends with names around its values, and that a long one is not full
    /// of names.
    #[test]
    fn a_logarithmic_axis_names_few_values() {
        let short = Axis::logarithmic([0.03].into_iter());
        assert_eq!(names(&short), ["0.02", "0.05"]);
        assert_eq!((short.range(), short.unnamed.len()), (0.02..0.05, 0));
        let long = Axis::logarithmic([0.0004, 30_000.0].into_iter());
        assert_eq!(names(&long), ["0.001", "0.01", "0.1", "1", "10", "100", "1000", "10000"]);
        assert!(long.unnamed.contains(&20.0), "{:?}", long.unnamed);
    }
}

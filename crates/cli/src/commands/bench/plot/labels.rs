//! Placement of the labels of points.

use std::ops::Range;

/// A pixel.
pub(super) type Position = (i32, i32);
/// A rectangle: its horizontal and its vertical range.
pub(super) type Rectangle = (Range<i32>, Range<i32>);

/// Directions from a point to its label, in order of preference.
const DIRECTIONS: [(i32, i32); 8] = [(0, -1), (0, 1), (1, 0), (-1, 0), (-1, -1), (1, 1), (1, -1), (-1, 1)];
/// Distance between the sampled points of a line.
const STRIDE: i32 = 3;

/// The occupied parts of the area of a chart.
pub(super) struct Labels {
    area: Rectangle,
    occupied: Vec<Rectangle>,
}

impl Labels {
    pub(super) const fn new(area: Rectangle) -> Self {
        Self { area, occupied: Vec::new() }
    }

    /// Reserves the place of a marker, so that no label covers it.
    pub(super) fn reserve_marker(&mut self, (x, y): Position, radius: i32) {
        self.occupied.push(around((x, y), (2 * radius, 2 * radius)));
    }

    /// Reserves the places along a line, so that no label covers it.
    pub(super) fn reserve_line(&mut self, (from_x, from_y): Position, (to_x, to_y): Position) {
        let (width, height) = (to_x - from_x, to_y - from_y);
        let parts = width.abs().max(height.abs()) / STRIDE + 1;
        let at = |part| (from_x + width * part / parts, from_y + height * part / parts);
        self.occupied.extend((0..=parts).map(|part| around(at(part), (STRIDE, STRIDE))));
    }

    /// Reserves a place for a label of this size at this distance from a point. Returns the centre of the label; `None`
    /// if there is no free place.
    pub(super) fn place(&mut self, point: Position, size: Position, distance: i32) -> Option<Position> {
        let centres = DIRECTIONS.map(|(right, down)| {
            (point.0 + right * (distance + size.0 / 2), point.1 + down * (distance + size.1 / 2))
        });
        let free = centres.into_iter().find(|centre| self.is_free(&around(*centre, size)))?;
        self.occupied.push(around(free, size));
        Some(free)
    }

    fn is_free(&self, rectangle: &Rectangle) -> bool {
        let (x, y) = rectangle;
        let (area_x, area_y) = &self.area;
        let inside =
            area_x.start <= x.start && x.end <= area_x.end && area_y.start <= y.start && y.end <= area_y.end;
        inside && !self.occupied.iter().any(|other| overlap(other, rectangle))
    }
}

fn around((x, y): Position, (width, height): Position) -> Rectangle {
    (x - width / 2..x + width - width / 2, y - height / 2..y + height - height / 2)
}

fn overlap(one: &Rectangle, other: &Rectangle) -> bool {
    let meet = |one: &Range<i32>, other: &Range<i32>| one.start < other.end && other.start < one.end;
    meet(&one.0, &other.0) && meet(&one.1, &other.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a label is placed beside its point, overlaps nothing, and is omitted if there is no free place.
    #[test]
    fn a_label_is_where_there_is_room() {
        let mut labels = Labels::new((0..100, 0..100));
        let point = (50, 50);
        labels.reserve_marker(point, 4);
        assert_eq!(labels.place(point, (20, 10), 5), Some((50, 40)));
        assert_eq!(labels.place(point, (20, 10), 5), Some((50, 60)), "not on another label");
        labels.reserve_line((0, 20), (100, 90));
        assert_eq!(labels.place((50, 20), (20, 10), 5), Some((50, 10)));
        let crossed = labels.place((20, 45), (20, 10), 5).unwrap();
        assert_eq!(crossed, (20, 55), "not on the line");
        assert_eq!(labels.place((2, 2), (20, 10), 5), Some((17, 12)), "not outside");
        assert_eq!(labels.place((2, 2), (20, 10), 5), None);
    }
}

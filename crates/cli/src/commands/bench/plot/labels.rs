//! Where the label of a point has room.

use std::ops::Range;

/// A pixel.
pub(super) type Position = (i32, i32);
/// A rectangle: what it takes from left to right, and from top to bottom.
pub(super) type Rectangle = (Range<i32>, Range<i32>);

/// Directions from a point to its label, the best one first.
const DIRECTIONS: [(i32, i32); 8] = [(0, -1), (0, 1), (1, 0), (-1, 0), (-1, -1), (1, 1), (1, -1), (-1, 1)];
/// Distance between the parts of a line that are looked at.
const STRIDE: i32 = 3;

/// What is taken of the area of a chart.
pub(super) struct Labels {
    area: Rectangle,
    taken: Vec<Rectangle>,
}

impl Labels {
    pub(super) const fn new(area: Rectangle) -> Self {
        Self { area, taken: Vec::new() }
    }

    /// A marker is here, so no label may be.
    pub(super) fn take_marker(&mut self, (x, y): Position, radius: i32) {
        self.taken.push(around((x, y), (2 * radius, 2 * radius)));
    }

    /// A line is here, so no label may be.
    pub(super) fn take_line(&mut self, (from_x, from_y): Position, (to_x, to_y): Position) {
        let (width, height) = (to_x - from_x, to_y - from_y);
        let parts = width.abs().max(height.abs()) / STRIDE + 1;
        let at = |part| (from_x + width * part / parts, from_y + height * part / parts);
        self.taken.extend((0..=parts).map(|part| around(at(part), (STRIDE, STRIDE))));
    }

    /// Takes room for a label of this size beside a point, at this distance. Its centre, or nothing when
    /// there is no room.
    pub(super) fn place(&mut self, point: Position, size: Position, distance: i32) -> Option<Position> {
        let centres = DIRECTIONS.map(|(right, down)| {
            (point.0 + right * (distance + size.0 / 2), point.1 + down * (distance + size.1 / 2))
        });
        let free = centres.into_iter().find(|centre| self.is_free(&around(*centre, size)))?;
        self.taken.push(around(free, size));
        Some(free)
    }

    fn is_free(&self, rectangle: &Rectangle) -> bool {
        let (x, y) = rectangle;
        let (area_x, area_y) = &self.area;
        let inside =
            area_x.start <= x.start && x.end <= area_x.end && area_y.start <= y.start && y.end <= area_y.end;
        inside && !self.taken.iter().any(|other| overlap(other, rectangle))
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

    /// Proves that a label is beside its point, on nothing else, and nowhere when there is no room.
    #[test]
    fn a_label_is_where_there_is_room() {
        let mut labels = Labels::new((0..100, 0..100));
        let point = (50, 50);
        labels.take_marker(point, 4);
        assert_eq!(labels.place(point, (20, 10), 5), Some((50, 40)));
        assert_eq!(labels.place(point, (20, 10), 5), Some((50, 60)), "not on another label");
        labels.take_line((0, 20), (100, 90));
        assert_eq!(labels.place((50, 20), (20, 10), 5), Some((50, 10)));
        let crossed = labels.place((20, 45), (20, 10), 5).unwrap();
        assert_eq!(crossed, (20, 55), "not on the line");
        assert_eq!(labels.place((2, 2), (20, 10), 5), Some((17, 12)), "not outside");
        assert_eq!(labels.place((2, 2), (20, 10), 5), None);
    }
}

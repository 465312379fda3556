//! A whole timeline in a few columns: how busy its lanes are, by class. No widget is known here.

use orrery_timeline::{OpClass, Timeline};

use super::lane::Lane;

/// Columns of an overview: as many as are told apart in a strip across the window.
pub(super) const COLUMNS: usize = 240;

/// How busy the lanes of a timeline are in each of [`COLUMNS`] stretches of equal length.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Overview {
    /// Busy time by class in the order of [`OpClass::ALL`], as a share of the busiest column.
    pub(super) columns: Vec<[f32; OpClass::ALL.len()]>,
}

impl Overview {
    /// The overview of `lanes`, which hold the spans of `timeline` and end at `end` picoseconds. Looks at every span once.
    pub(super) fn of(lanes: &[Lane], timeline: &Timeline, end: u64) -> Self {
        if end == 0 {
            return Self::default();
        }
        let mut busy = vec![[0_u64; OpClass::ALL.len()]; COLUMNS];
        let edge = |column: usize| (u128::from(end) * column as u128 / COLUMNS as u128) as u64;
        let column_of = |instant: u64| {
            let column = u128::from(instant) * COLUMNS as u128 / u128::from(end);
            (column as usize).min(COLUMNS - 1)
        };
        for lane in lanes {
            for (at, (&from, &to)) in lane.starts.iter().zip(&lane.ends).enumerate() {
                let class = timeline.kinds.kind(lane.kind_of(at)).class as usize;
                let (first, last) = (column_of(from), column_of(to.saturating_sub(1).max(from)));
                let touched = busy.iter_mut().enumerate().take(last + 1).skip(first);
                for (column, busy) in touched {
                    let inside = to.min(edge(column + 1)).saturating_sub(from.max(edge(column)));
                    busy[class] += inside;
                }
            }
        }
        let most = busy.iter().map(|column| column.iter().sum::<u64>()).max();
        let most = most.unwrap_or(0).max(1) as f32;
        let share = |column: [u64; OpClass::ALL.len()]| column.map(|busy| busy as f32 / most);
        Self {
            columns: busy.into_iter().map(share).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_timeline::OpClass;

    use super::super::tests::model;
    use super::COLUMNS;

    #[test]
    fn every_busy_picosecond_is_in_the_column_where_it_was_spent() {
        // Two lanes busy in the first half, one of them in the second, and nobody in the last tenth of it.
        let given = vec![
            (0, OpClass::Compute, 0, 500, None),
            (1, OpClass::Dispatch, 0, 500, None),
            (0, OpClass::Compute, 500, 400, None),
            (2, OpClass::Combine, 999, 1, None),
        ];
        let columns = &model(given).overview.columns;
        assert_eq!(columns.len(), COLUMNS);
        let sums: Vec<f32> = columns.iter().map(|column| column.iter().sum()).collect();
        assert!(
            (sums[0] - 1.0).abs() < 1e-3 && (sums[COLUMNS / 2 - 1] - 1.0).abs() < 1e-3,
            "both"
        );
        assert!(
            (sums[COLUMNS / 2] - 0.5).abs() < 1e-3,
            "one of them: {}",
            sums[COLUMNS / 2]
        );
        assert!(sums[COLUMNS * 19 / 20].abs() < 1e-6, "nobody");
        let halves = [OpClass::Compute, OpClass::Dispatch].map(|class| columns[3][class as usize]);
        assert!(
            halves.iter().all(|share| (share - 0.5).abs() < 1e-3),
            "{halves:?}"
        );
        let last = columns[COLUMNS - 1][OpClass::Combine as usize];
        // A nanosecond of a column of 4.17.
        assert!((last - 0.12).abs() < 1e-2, "{last}");
    }
}

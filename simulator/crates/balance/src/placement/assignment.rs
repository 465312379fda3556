//! The assignment problem: rows to columns at the least cost.

/// The column of each row such that every column is taken once and the sum of costs is least (the Hungarian method by
/// shortest augmenting paths: Jonker and Volgenant 1987).
///
/// Worked: costs (4 1 / 2 3): the first row takes the second column, the second row the first, for 3.
pub(super) fn least_cost(costs: &[Vec<f64>]) -> Vec<usize> {
    let size = costs.len();
    // Row 0 and column 0 stand for nobody.
    let (mut row_price, mut column_price) = (vec![0.0; size + 1], vec![0.0; size + 1]);
    let mut row_of = vec![0; size + 1];
    for row in 1..=size {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; size + 1];
        let mut came_from = vec![0; size + 1];
        let mut done = vec![false; size + 1];
        while row_of[column] != 0 {
            done[column] = true;
            let at = row_of[column];
            let (mut step, mut next) = (f64::INFINITY, 0);
            for other in (1..=size).filter(|&other| !done[other]) {
                let cost = costs[at - 1][other - 1] - row_price[at] - column_price[other];
                if cost < least[other] {
                    (least[other], came_from[other]) = (cost, column);
                }
                if least[other] < step {
                    (step, next) = (least[other], other);
                }
            }
            for other in 0..=size {
                if done[other] {
                    row_price[row_of[other]] += step;
                    column_price[other] -= step;
                } else {
                    least[other] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[came_from[column]];
            column = came_from[column];
        }
    }
    let mut columns = vec![0; size];
    for column in 1..=size {
        columns[row_of[column] - 1] = column - 1;
    }
    columns
}

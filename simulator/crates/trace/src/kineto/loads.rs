//! Loads of experts, from the split sizes of all-to-all exchanges.
//!
//! A dispatch says how many rows its rank sends to each rank of the group: how many of its tokens chose the experts there.
//! A combine gives back what a dispatch brought, and so has its sizes the other way round; backward, every exchange of
//! forward comes again with the sizes that it had. What is left are the dispatches of forward, in the order in which a step
//! runs them: of one microbatch they are its layers.

use std::collections::BTreeMap;

/// Rows that one dispatch of a step sends to each rank of its group, from all ranks that were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeLoad {
    /// What the trainer calls the group.
    pub group: String,
    /// The step, in the trainer's count.
    pub step: u64,
    /// Which dispatch of the step.
    pub place: u32,
    /// Rows, by the place of the rank in the group.
    pub rows: Vec<u64>,
}

/// Sizes of an exchange on one rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Splits {
    pub(super) sent: Vec<u32>,
    pub(super) received: Vec<u32>,
}

/// Loads that grow rank by rank, by group, place of the step and place in it.
#[derive(Debug, Default)]
pub(super) struct Loads(BTreeMap<(String, u16, u32), Vec<u64>>);

impl Loads {
    /// Adds the exchanges of a rank in one group and step, in the order in which they ran.
    pub(super) fn add(&mut self, group: &str, step: u16, exchanges: &[&Splits]) {
        for (place, splits) in (0..).zip(dispatches(exchanges)) {
            let rows = self.0.entry((group.to_owned(), step, place)).or_default();
            rows.resize(rows.len().max(splits.sent.len()), 0);
            for (sum, &sent) in rows.iter_mut().zip(&splits.sent) {
                *sum += u64::from(sent);
            }
        }
    }

    /// All of them; `number` is that of the step at a place.
    pub(super) fn finish(self, number: impl Fn(u16) -> Option<u64>) -> Vec<ExchangeLoad> {
        let load = |((group, step, place), rows)| {
            let step = number(step)?;
            Some(ExchangeLoad {
                group,
                step,
                place,
                rows,
            })
        };
        self.0.into_iter().filter_map(load).collect()
    }
}

/// The dispatches of forward among `exchanges`.
fn dispatches<'s>(exchanges: &[&'s Splits]) -> Vec<&'s Splits> {
    let mut found: Vec<&Splits> = Vec::new();
    // Dispatches that were not combined yet, and those that backward did not bring again.
    let (mut open, mut forward): (Vec<&Splits>, Vec<&Splits>) = (Vec::new(), Vec::new());
    for &exchange in exchanges {
        let gives_back = |other: &&Splits| other.sent == exchange.received && other.received == exchange.sent;
        if let Some(at) = open.iter().rposition(gives_back) {
            open.remove(at);
            continue;
        }
        open.push(exchange);
        match forward.iter().rposition(|other| *other == exchange) {
            Some(at) => {
                forward.remove(at);
            }
            None => {
                forward.push(exchange);
                found.push(exchange);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(sent: [u32; 2], received: [u32; 2]) -> Splits {
        Splits {
            sent: sent.into(),
            received: received.into(),
        }
    }

    /// Two layers forward and backward: dispatch, combine, each once more in turn.
    #[test]
    fn dispatches_of_forward_are_found() {
        let (first, second) = (splits([3, 5], [4, 2]), splits([1, 7], [6, 6]));
        let back = |of: &Splits| Splits {
            sent: of.received.clone(),
            received: of.sent.clone(),
        };
        let (first_back, second_back) = (back(&first), back(&second));
        let step = [
            &first,
            &first_back,
            &second,
            &second_back, // forward
            &second,
            &second_back,
            &first,
            &first_back, // backward
        ];
        assert_eq!(dispatches(&step), [&first, &second]);
        let mut loads = Loads::default();
        loads.add("ep", 0, &step);
        loads.add("ep", 0, &[&splits([10, 20], [1, 1])]);
        let loads = loads.finish(|place| Some(u64::from(place) + 40));
        let rows: Vec<(u64, u32, &[u64])> = loads
            .iter()
            .map(|load| (load.step, load.place, load.rows.as_slice()))
            .collect();
        assert_eq!(rows, [(40, 0, [13, 25].as_slice()), (40, 1, [1, 7].as_slice())]);
    }
}

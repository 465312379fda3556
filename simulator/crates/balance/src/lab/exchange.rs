//! Rows that the exchange of tokens with experts puts on the ports of devices.
//!
//! The same laws as those of training scenarios (`workload/routing/exchange`; a test holds the two together), for devices
//! that hold unequal numbers of tokens and for replicas that tokens choose by nearness. Rows only, no time.

use orrery_experts::visits::{Visits, admitted, visit};

use super::Loads;

/// What sends tokens to the devices of their experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatcher {
    /// A copy for each of a token's experts (NCCL's all-to-all).
    AllToAll,
    /// A copy for each node that a token visits, to the device of the same place there, and from there one for each
    /// device that it visits (DeepEP).
    OncePerNode,
}

/// How tokens travel between the devices of a group.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What sends them.
    pub dispatcher: Dispatcher,
    /// Devices that share a scale-up network: those of a node, or of a rack.
    pub devices_per_node: usize,
    /// Most nodes that one token is sent to.
    pub max_nodes: Option<u32>,
    /// Tokens of all devices in a step.
    pub tokens: f64,
    /// Experts of a token.
    pub top_k: u32,
    /// Experts of a layer.
    pub experts: f64,
}

/// The shares of the tokens that devices hold, and what follows from them.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSources {
    /// By device.
    device: Vec<f64>,
    /// By node: those of its devices.
    node: Vec<f64>,
    /// By device: those of the devices of the same place on other nodes, which send theirs for its node to it.
    alike: Vec<f64>,
    devices_per_node: usize,
}

impl TokenSources {
    /// Devices that hold these shares of the tokens, so many on a node.
    #[must_use]
    pub fn new(shares: &[f64], devices_per_node: usize) -> Self {
        let place = |device: usize| device % devices_per_node;
        let of_place = |at: usize| shares.iter().skip(at).step_by(devices_per_node).sum::<f64>();
        Self {
            node: shares
                .chunks(devices_per_node)
                .map(|node| node.iter().sum())
                .collect(),
            alike: (0..shares.len())
                .map(|device| of_place(place(device)) - shares[device])
                .collect(),
            device: shares.to_vec(),
            devices_per_node,
        }
    }

    /// `devices` devices that hold equally many.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are few devices")]
    pub fn even(devices: usize, devices_per_node: usize) -> Self {
        Self::new(&vec![(devices as f64).recip(); devices], devices_per_node)
    }

    /// The share of each device.
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.device
    }

    /// Shares of a device's rows that come from other devices of its node and from other nodes, where it gets the same
    /// part of everybody's tokens.
    pub(super) fn ways(&self) -> impl Iterator<Item = [f64; 2]> {
        let nodes = self.device.chunks(self.devices_per_node).zip(&self.node);
        nodes.flat_map(|(devices, &node)| devices.iter().map(move |own| [node - own, 1.0 - node]))
    }
}

impl Exchange {
    /// Fills the rows that each device sends or receives over its ports, whichever is more, once it is known where its
    /// rows come from. Combine is dispatch backwards: the same rows.
    pub(super) fn ports(&self, loads: &mut Loads, sources: &TokenSources) {
        match self.dispatcher {
            Dispatcher::AllToAll => self.all_to_all(loads, sources),
            Dispatcher::OncePerNode => self.once_per_node(loads, sources),
        }
    }

    /// Every assignment by itself. What a device gets comes from the others by the tokens that they hold.
    fn all_to_all(&self, loads: &mut Loads, sources: &TokenSources) {
        let per_node = self.devices_per_node;
        // By node: what a token of another node sends to it.
        let sent_to: Vec<f64> = loads
            .from_network
            .chunks(per_node)
            .zip(&sources.node)
            .map(|(rows, &node)| over(rows.iter().sum(), 1.0 - node))
            .collect();
        let all: f64 = sent_to.iter().sum();
        loads.clear_ports();
        for (number, &node) in sources.node.iter().enumerate() {
            let devices = number * per_node..((number + 1) * per_node).min(sources.device.len());
            let inside = |device: usize| over(loads.from_node[device], node - sources.device[device]);
            let within: f64 = devices.clone().map(inside).sum();
            for device in devices {
                let own = sources.device[device];
                let network = larger(loads.from_network[device], own * (all - sent_to[number]));
                let node = larger(loads.from_node[device], own * (within - inside(device)));
                loads.network.push(network);
                loads.node.push(node);
            }
        }
    }

    /// Once to each node, and once to each device there.
    ///
    /// A token of node `m` visits the node `N` with the chance `p_N` and the device `d` with `v_d`: by the share of its
    /// assignments that fall there ([`visit`]). With the share `s_d` of the tokens `T` on a device, `S_N` on its node and
    /// `a_d` on devices of its place elsewhere:
    ///
    /// * over the network it sends `s_d T Σ_{N ≠ m} p_N` and receives `T a_d p_m`;
    /// * within the node it receives `T (1 − S_m − a_d) v_d` that others there pass on and `T (S_m − s_d) v_d` of theirs,
    ///   and sends what it passes on and its own to the others there.
    fn once_per_node(&self, loads: &mut Loads, sources: &TokenSources) {
        let (per_node, tokens) = (self.devices_per_node, self.tokens);
        let all: f64 = loads.rows.iter().sum();
        loads.clear_ports();
        if all <= 0.0 {
            return loads.no_ports();
        }
        let per_token = all / tokens;
        let share_of_node = |(rows, &node): (&[f64], &f64)| over(rows.iter().sum(), all * (1.0 - node));
        let shares: Vec<f64> = loads
            .from_network
            .chunks(per_node)
            .zip(&sources.node)
            .map(share_of_node)
            .collect();
        let chosen = admitted(&shares, self.max_nodes);
        let is_limited = self.max_nodes.is_some_and(|most| (most as usize) < shares.len());
        self.visits(loads, sources, (&chosen, is_limited), all);
        let visited = |(&share, &chosen): (&f64, &f64)| {
            // Nodes are admitted for their best scores, so that a token visits every node that it is admitted to.
            let visited = if is_limited {
                chosen
            } else {
                visit(share, chosen, self.top_k, self.experts)
            };
            visited.min(per_token * share)
        };
        let visited: Vec<f64> = shares.iter().zip(&chosen).map(visited).collect();
        let everywhere: f64 = visited.iter().sum();
        for (number, &node) in sources.node.iter().enumerate() {
            let devices = number * per_node..((number + 1) * per_node).min(sources.device.len());
            let sum = |column: &[f64]| column[devices.clone()].iter().sum::<f64>();
            let (passed_on, of_node) = (sum(&loads.visits), sum(&loads.visits_of_node));
            for device in devices {
                let (own, alike) = (sources.device[device], sources.alike[device]);
                let (visit, visit_of_node) = (loads.visits[device], loads.visits_of_node[device]);
                let out = own * (everywhere - visited[number]);
                loads.network.push(tokens * larger(out, alike * visited[number]));
                let inside = (1.0 - node - alike) * visit + (node - own) * visit_of_node;
                let others = alike * (passed_on - visit) + own * (of_node - visit_of_node);
                loads.node.push(tokens * larger(inside, others));
            }
        }
    }

    /// How likely a token of another node, and one of another device of its node, visits each device.
    fn visits(
        &self,
        loads: &mut Loads,
        sources: &TokenSources,
        (chosen, is_limited): (&[f64], bool),
        all: f64,
    ) {
        let per_node = self.devices_per_node;
        let per_token = all / self.tokens;
        let nodes = sources.node.len();
        if loads.is_alike {
            // The same part of everybody's tokens: a share of all.
            loads.shares.clear();
            loads.shares.extend(loads.rows.iter().map(|rows| rows / all));
        } else {
            let shares = |column: &[f64], of: &dyn Fn(usize) -> f64, into: &mut Vec<f64>| {
                into.clear();
                into.extend(
                    column
                        .iter()
                        .enumerate()
                        .map(|(device, &rows)| over(rows, all * of(device))),
                );
            };
            let of_node = |device: usize| sources.node[device / per_node] - sources.device[device];
            shares(&loads.from_node, &of_node, &mut loads.shares);
            Visits::new(self.top_k, self.experts).of_all(&loads.shares, &mut loads.visits_of_node);
            let of_network = |device: usize| 1.0 - sources.node[device / per_node];
            shares(&loads.from_network, &of_network, &mut loads.shares);
        }
        if is_limited {
            #[expect(clippy::cast_precision_loss, reason = "there are few nodes")]
            let experts = self.experts
                * self
                    .max_nodes
                    .map_or(1.0, |most| f64::from(most) / nodes as f64)
                    .min(1.0);
            loads.visits.clear();
            let devices = loads.shares.iter().enumerate();
            loads.visits.extend(
                devices.map(|(device, &share)| visit(share, chosen[device / per_node], self.top_k, experts)),
            );
        } else {
            Visits::new(self.top_k, self.experts).of_all(&loads.shares, &mut loads.visits);
        }
        for (visit, share) in loads.visits.iter_mut().zip(&loads.shares) {
            *visit = visit.min(per_token * share);
        }
        if loads.is_alike {
            loads.visits_of_node.clone_from(&loads.visits);
        }
    }
}

/// A part over its whole; nothing where there is no whole.
fn over(part: f64, whole: f64) -> f64 {
    if whole > 1e-12 { part / whole } else { 0.0 }
}

/// The larger of two numbers. Not `max`, which has to mind what is none.
pub(super) const fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of every device's busier direction, over the network and within its node.
    fn ports(exchange: &Exchange, rows: &[f64], sources: &TokenSources) -> (Vec<f64>, Vec<f64>) {
        let mut loads = Loads::of_rows(rows);
        loads.all_from(sources);
        exchange.ports(&mut loads, sources);
        (loads.network, loads.node)
    }

    fn close(found: &[f64], expected: &[f64]) {
        let same = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(same && found.len() == expected.len(), "{found:?} {expected:?}");
    }

    fn exchange(dispatcher: Dispatcher, tokens: f64, top_k: u32, experts: f64) -> Exchange {
        Exchange {
            dispatcher,
            devices_per_node: 2,
            max_nodes: None,
            tokens,
            top_k,
            experts,
        }
    }

    /// The worked cases of `workload/routing/exchange`: four devices on two nodes, an expert each.
    #[test]
    fn even_sources_by_hand() {
        let even = TokenSources::even(4, 2);
        let all_to_all = exchange(Dispatcher::AllToAll, 40.0, 1, 4.0);
        let (network, node) = ports(&all_to_all, &[20.0, 12.0, 8.0, 0.0], &even);
        close(&network, &[10.0, 6.0, 8.0, 8.0]);
        close(&node, &[5.0, 5.0, 2.0, 2.0]);
        let once = exchange(Dispatcher::OncePerNode, 24.0, 2, 4.0);
        let (network, node) = ports(&once, &[12.0; 4], &even);
        close(&network, &[5.0; 4]);
        close(&node, &[6.0; 4]);
    }

    /// Two devices on one node hold 1 and 3 of 4 tokens, which all go to both: the first gets 3 and sends 1.
    #[test]
    fn who_holds_more_sends_more() {
        let sources = TokenSources::new(&[0.25, 0.75], 2);
        for dispatcher in [Dispatcher::AllToAll, Dispatcher::OncePerNode] {
            let (network, node) = ports(&exchange(dispatcher, 4.0, 2, 2.0), &[4.0, 4.0], &sources);
            close(&network, &[0.0, 0.0]);
            close(&node, &[3.0, 3.0]);
        }
        // On a node each: the second sends its three over the network.
        let apart = Exchange {
            devices_per_node: 1,
            ..exchange(Dispatcher::AllToAll, 4.0, 2, 2.0)
        };
        let (network, _) = ports(&apart, &[4.0, 4.0], &TokenSources::new(&[0.25, 0.75], 1));
        close(&network, &[3.0, 3.0]);
    }
}

//! Rows that the exchange of tokens with experts puts on the ports of devices.
//!
//! The same laws as those of training scenarios (`workload/routing/exchange`; a test holds the two together), for devices
//! that hold unequal numbers of tokens and for replicas that tokens choose by nearness. Rows only, no time.

use std::array;

use orrery_experts::visits::{Visits, admitted, visit};

use super::Loads;
use super::layer::sum;

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
    dispatcher: Dispatcher,
    devices_per_node: usize,
    max_nodes: Option<u32>,
    routed: Routed,
    visits: Visits,
}

/// What is routed in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routed {
    /// Tokens of all devices.
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
    /// Tokens sent by `dispatcher` between devices of which so many share a scale-up network: a node, or a rack. A token
    /// goes to at most `max_nodes` of those.
    #[must_use]
    pub fn new(
        dispatcher: Dispatcher,
        devices_per_node: usize,
        max_nodes: Option<u32>,
        routed: Routed,
    ) -> Self {
        Self {
            dispatcher,
            devices_per_node,
            max_nodes,
            visits: Visits::new(routed.top_k, routed.experts),
            routed,
        }
    }

    /// Devices that share a scale-up network.
    #[must_use]
    pub const fn devices_per_node(&self) -> usize {
        self.devices_per_node
    }

    /// Fills the rows that each device sends or receives over its ports, whichever is more, once it is known where its
    /// rows come from. Combine is dispatch backwards: the same rows.
    #[inline(always)]
    pub(super) fn ports<const N: usize>(&self, loads: &mut Loads<N>, sources: &TokenSources) {
        let devices = loads.rows.len();
        loads.node.resize(devices, [0.0; N]);
        loads.network.resize(devices, [0.0; N]);
        match self.dispatcher {
            Dispatcher::AllToAll => self.all_to_all(loads, sources),
            Dispatcher::OncePerNode => self.once_per_node(loads, sources),
        }
    }

    /// Every assignment by itself. What a device gets comes from the others by the tokens that they hold.
    fn all_to_all<const N: usize>(&self, loads: &mut Loads<N>, sources: &TokenSources) {
        let per_node = self.devices_per_node;
        loads.fill_ways(sources);
        // By node: what a token of another node sends to it.
        let sent_to: Vec<[f64; N]> = loads
            .from_network
            .chunks(per_node)
            .zip(&sources.node)
            .map(|(rows, &node)| sum(rows).map(|rows| over(rows, 1.0 - node)))
            .collect();
        let all = sum(&sent_to);
        for (number, &node) in sources.node.iter().enumerate() {
            let devices = number * per_node..((number + 1) * per_node).min(sources.device.len());
            let inside = |device: usize| {
                let others = node - sources.device[device];
                loads.from_node[device].map(|rows| over(rows, others))
            };
            let within = devices
                .clone()
                .map(inside)
                .fold([0.0; N], |sum, own| array::from_fn(|at| sum[at] + own[at]));
            for device in devices {
                let own = sources.device[device];
                let inside = inside(device);
                loads.network[device] = array::from_fn(|at| {
                    larger(
                        loads.from_network[device][at],
                        own * (all[at] - sent_to[number][at]),
                    )
                });
                loads.node[device] =
                    array::from_fn(|at| larger(loads.from_node[device][at], own * (within[at] - inside[at])));
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
    #[inline(always)]
    fn once_per_node<const N: usize>(&self, loads: &mut Loads<N>, sources: &TokenSources) {
        let (per_node, tokens) = (self.devices_per_node, self.routed.tokens);
        self.visits(loads, sources);
        let Loads {
            node,
            network,
            chances,
            ..
        } = loads;
        let of_node = if loads.is_alike {
            &chances.devices
        } else {
            &chances.of_node
        };
        let everywhere = sum(&chances.nodes);
        let columns = network.chunks_mut(per_node).zip(node.chunks_mut(per_node));
        let held = sources
            .device
            .chunks(per_node)
            .zip(sources.alike.chunks(per_node));
        let visits = chances.devices.chunks(per_node).zip(of_node.chunks(per_node));
        let nodes = sources.node.iter().zip(&chances.nodes);
        for (((&share, visited), (network, node)), ((own, alike), (visit, visit_of_node))) in
            nodes.zip(columns).zip(held.zip(visits))
        {
            let (passed_on, sent) = (sum(visit), sum(visit_of_node));
            let ports = network.iter_mut().zip(node);
            let held = own.iter().zip(alike);
            let visits = visit.iter().zip(visit_of_node);
            for (((network, node), (own, alike)), (visit, visit_of_node)) in ports.zip(held).zip(visits) {
                for at in 0..N {
                    let (visited, visit, visit_of_node) = (visited[at], visit[at], visit_of_node[at]);
                    network[at] = tokens * larger(own * (everywhere[at] - visited), alike * visited);
                    let inside = (1.0 - share - alike) * visit + (share - own) * visit_of_node;
                    let others = alike * (passed_on[at] - visit) + own * (sent[at] - visit_of_node);
                    node[at] = tokens * larger(inside, others);
                }
            }
        }
    }

    /// How likely a token of another node visits each node and each device, and one of another device of its node each
    /// device, where that differs. Nobody visits anything in a step without a row.
    #[inline(always)]
    fn visits<const N: usize>(&self, loads: &mut Loads<N>, sources: &TokenSources) {
        let per_node = self.devices_per_node;
        let all = sum(&loads.rows);
        let chances = &mut loads.chances;
        let fill = |shares: &mut Vec<[f64; N]>, rows: &[[f64; N]], of: &dyn Fn(usize) -> f64| {
            shares.clear();
            let rows = rows.iter().enumerate();
            shares.extend(rows.map(|(device, rows)| -> [f64; N] {
                array::from_fn(|at| over(rows[at], all[at] * of(device)))
            }));
        };
        if loads.is_alike {
            // The same part of everybody's tokens: a share of all.
            let part = all.map(|all| if all > 0.0 { all.recip() } else { 0.0 });
            chances.shares.resize(loads.rows.len(), [0.0; N]);
            for (shares, rows) in chances.shares.iter_mut().zip(&loads.rows) {
                *shares = array::from_fn(|at| rows[at] * part[at]);
            }
        } else {
            let of_node = |device: usize| sources.node[device / per_node] - sources.device[device];
            fill(&mut chances.shares, &loads.from_node, &of_node);
            self.of_all(&chances.shares, &mut chances.of_node);
            let of_network = |device: usize| 1.0 - sources.node[device / per_node];
            fill(&mut chances.shares, &loads.from_network, &of_network);
        }
        let nodes = chances.shares.chunks(per_node);
        chances.node_shares.resize(nodes.len(), [0.0; N]);
        for (node, shares) in chances.node_shares.iter_mut().zip(nodes) {
            *node = sum(shares);
        }
        let num_nodes = chances.node_shares.len();
        if self.max_nodes.is_some_and(|most| (most as usize) < num_nodes) {
            self.limited(chances);
        } else {
            self.of_all(&chances.shares, &mut chances.devices);
            self.of_all(&chances.node_shares, &mut chances.nodes);
        }
        // No more visits than assignments.
        let per_token = all.map(|all| all / self.routed.tokens);
        at_most(&mut chances.devices, &per_token, &chances.shares);
        at_most(&mut chances.nodes, &per_token, &chances.node_shares);
    }

    /// How likely a token visits places that attract these shares. A loop over what is there, for `extend` would not be taken
    /// in, and then is none of vectors.
    #[inline(always)]
    fn of_all<const N: usize>(&self, shares: &[[f64; N]], into: &mut Vec<[f64; N]>) {
        into.resize(shares.len(), [0.0; N]);
        for (into, shares) in into.iter_mut().zip(shares) {
            *into = self.visits.side_by_side(shares);
        }
    }

    /// The same where the gate admits some of the nodes only. They are admitted for their best scores, so that a token
    /// visits every node that it is admitted to.
    fn limited<const N: usize>(&self, chances: &mut Chances<N>) {
        chances.nodes.clear();
        chances.nodes.resize(chances.node_shares.len(), [0.0; N]);
        for step in 0..N {
            let shares: Vec<f64> = chances.node_shares.iter().map(|shares| shares[step]).collect();
            for (node, admitted) in chances.nodes.iter_mut().zip(admitted(&shares, self.max_nodes)) {
                node[step] = admitted;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "there are few nodes")]
        let part = f64::from(self.max_nodes.unwrap_or(u32::MAX)) / chances.nodes.len() as f64;
        let experts = self.routed.experts * part.min(1.0);
        chances.devices.clear();
        for (device, shares) in chances.shares.iter().enumerate() {
            let chosen = &chances.nodes[device / self.devices_per_node];
            let visit = |at: usize| visit(shares[at], chosen[at], self.routed.top_k, experts);
            chances.devices.push(array::from_fn(visit));
        }
    }
}

/// Room for the chances that tokens visit nodes and devices.
#[derive(Clone, Debug)]
pub(super) struct Chances<const N: usize> {
    /// Shares of assignments by device and by node.
    shares: Vec<[f64; N]>,
    node_shares: Vec<[f64; N]>,
    /// Chances of a token of another node, by device and by node.
    devices: Vec<[f64; N]>,
    nodes: Vec<[f64; N]>,
    /// Of one of another device of the same node, by device.
    of_node: Vec<[f64; N]>,
}

impl<const N: usize> Default for Chances<N> {
    fn default() -> Self {
        Self {
            shares: Vec::new(),
            node_shares: Vec::new(),
            devices: Vec::new(),
            nodes: Vec::new(),
            of_node: Vec::new(),
        }
    }
}

/// A part over its whole; nothing where there is no whole.
#[inline(always)]
fn over(part: f64, whole: f64) -> f64 {
    if whole > 1e-12 { part / whole } else { 0.0 }
}

/// No more than so many times the share of each place.
#[inline(always)]
fn at_most<const N: usize>(chances: &mut [[f64; N]], times: &[f64; N], shares: &[[f64; N]]) {
    for (chance, share) in chances.iter_mut().zip(shares) {
        for at in 0..N {
            chance[at] = smaller(chance[at], times[at] * share[at]);
        }
    }
}

/// The larger of two numbers. Not `max`, which has to mind what is none.
#[inline(always)]
pub(super) const fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The smaller of two numbers, likewise.
#[inline(always)]
const fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of every device's busier direction, over the network and within its node.
    fn ports(exchange: &Exchange, rows: &[f64], sources: &TokenSources) -> (Vec<f64>, Vec<f64>) {
        let mut loads = Loads::<1>::of_rows(rows);
        loads.all_alike();
        exchange.ports(&mut loads, sources);
        (loads.network.concat(), loads.node.concat())
    }

    fn close(found: &[f64], expected: &[f64]) {
        let same = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(same && found.len() == expected.len(), "{found:?} {expected:?}");
    }

    fn exchange(dispatcher: Dispatcher, per_node: usize, tokens: f64, top_k: u32, experts: f64) -> Exchange {
        let routed = Routed {
            tokens,
            top_k,
            experts,
        };
        Exchange::new(dispatcher, per_node, None, routed)
    }

    /// The worked cases of `workload/routing/exchange`: four devices on two nodes, an expert each.
    #[test]
    fn even_sources_by_hand() {
        let even = TokenSources::even(4, 2);
        let all_to_all = exchange(Dispatcher::AllToAll, 2, 40.0, 1, 4.0);
        let (network, node) = ports(&all_to_all, &[20.0, 12.0, 8.0, 0.0], &even);
        close(&network, &[10.0, 6.0, 8.0, 8.0]);
        close(&node, &[5.0, 5.0, 2.0, 2.0]);
        let once = exchange(Dispatcher::OncePerNode, 2, 24.0, 2, 4.0);
        let (network, node) = ports(&once, &[12.0; 4], &even);
        close(&network, &[5.0; 4]);
        close(&node, &[6.0; 4]);
    }

    /// Two devices on one node hold 1 and 3 of 4 tokens, which all go to both: the first gets 3 and sends 1.
    #[test]
    fn who_holds_more_sends_more() {
        let sources = TokenSources::new(&[0.25, 0.75], 2);
        for dispatcher in [Dispatcher::AllToAll, Dispatcher::OncePerNode] {
            let (network, node) = ports(&exchange(dispatcher, 2, 4.0, 2, 2.0), &[4.0, 4.0], &sources);
            close(&network, &[0.0, 0.0]);
            close(&node, &[3.0, 3.0]);
        }
        // On a node each: the second sends its three over the network.
        let apart = exchange(Dispatcher::AllToAll, 1, 4.0, 2, 2.0);
        let (network, _) = ports(&apart, &[4.0, 4.0], &TokenSources::new(&[0.25, 0.75], 1));
        close(&network, &[3.0, 3.0]);
    }
}

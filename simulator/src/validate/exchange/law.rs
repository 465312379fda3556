//! One law for every exchange of tokens among experts: ports, execution units, floors.

use orrery_profile::fit::{Prior, least_squares};

use super::super::table::{field, number, parse};

const PRIORS: &str = include_str!("../../../../scenarios/platforms/exchange_priors.csv");

/// The parameters of the law, in its order: scenarios/platforms/exchange_priors.csv says what each is.
const PARAMETERS: [&str; 10] = [
    "floor",
    "hop",
    "peer",
    "congestion",
    "node_share",
    "network_share",
    "unit_rate",
    "relay",
    "token",
    "overlap",
];

/// Scatter that is expected of a row.
const SCATTER: f64 = 0.05;

/// One exchange.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exchange {
    /// Ranks among which experts are spread.
    pub(super) ranks: f64,
    /// Of them on each node.
    pub(super) per_node: f64,
    /// Tokens that each rank has.
    pub(super) tokens: f64,
    /// Values of a token.
    pub(super) hidden: f64,
    /// Experts that a token goes to.
    pub(super) chosen: f64,
    /// Experts in all.
    pub(super) experts: f64,
    /// Nodes that a token may go to, where the router limits them; else infinite.
    pub(super) groups: f64,
    /// Bytes of one value, scales included.
    pub(super) width: f64,
    /// Execution units that move data; none where they were not said.
    pub(super) units: Option<f64>,
    /// Rate of a device's links into its node, GB/s.
    pub(super) links: f64,
    /// Rate of the NIC beside a device, GB/s.
    pub(super) nic: f64,
    /// How its tokens travel.
    pub(super) kind: Kind,
}

/// How tokens travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Once for each node, from there to the ranks that need them; experts drawn at random.
    Normal,
    /// The same, each token to as many ranks as there are, or as it has experts.
    Balanced,
    /// Once for each expert.
    LowLatency,
    /// No tokens travel: counts and places are made ready.
    Prepare,
}

/// A fitted law: logarithms of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Law(Vec<f64>);

impl Exchange {
    fn nodes(&self) -> f64 {
        (self.ranks / self.per_node).max(1.0)
    }

    /// Sets of `sets` that a token reaches: `sets (1 − P(none of k experts in one set))`, experts drawn uniformly from
    /// those of the nodes that it may go to. Worked: 8 of 256 experts over 2 sets: 1.99; over 8: 5.31; over 8 nodes of
    /// which it may go to 4: 3.64.
    pub(super) fn reached(&self, sets: f64) -> f64 {
        if self.kind == Kind::Balanced {
            return sets.min(self.chosen);
        }
        let open = (self.groups / self.nodes()).min(1.0);
        let (sets, experts) = (sets * open, self.experts * open);
        let outside = experts * (1.0 - 1.0 / sets);
        let missed = (0..32)
            .map(f64::from)
            .take_while(|&i| i < self.chosen)
            .fold(1.0, |chance, i| chance * ((outside - i) / (experts - i)).max(0.0));
        sets * (1.0 - missed)
    }

    /// Bytes of its tokens, each once.
    pub(super) fn token_bytes(&self) -> f64 {
        self.tokens * self.hidden * self.width
    }

    /// Bytes that a device sends to others of its node, and over its NIC; the copy for itself is neither.
    fn bytes(&self) -> (f64, f64) {
        let (token, nodes) = (self.token_bytes(), self.nodes());
        let remote = (nodes - 1.0) / nodes;
        match self.kind {
            Kind::Prepare => (0.0, 0.0),
            Kind::LowLatency => {
                let copies = token * self.chosen;
                (copies * (self.per_node - 1.0) / self.ranks, copies * remote)
            }
            Kind::Normal | Kind::Balanced => (
                token * self.reached(self.ranks) * (self.per_node - 1.0) / self.per_node,
                token * self.reached(nodes) * remote,
            ),
        }
    }

    /// Peers that a rank waits for: every other one, or with normal kernels those of its node and one on each other node.
    fn peers(&self) -> f64 {
        match self.kind {
            Kind::LowLatency => self.ranks - 1.0,
            Kind::Normal => self.per_node - 1.0 + self.nodes() - 1.0,
            Kind::Balanced | Kind::Prepare => self.reached(self.ranks) - 1.0,
        }
    }

    /// Bytes that the execution units handle: a copy for each rank, its own included, and what passes the network
    /// `relay` times more, as it is put into a buffer and taken out of another.
    fn handled(&self, relay: f64) -> f64 {
        let (token, nodes) = (self.token_bytes(), self.nodes());
        match self.kind {
            Kind::Prepare => 0.0,
            Kind::LowLatency => token * self.chosen,
            Kind::Normal | Kind::Balanced if nodes > 1.0 => {
                token * relay.mul_add(self.reached(nodes), self.reached(self.ranks))
            }
            Kind::Normal | Kind::Balanced => token * self.reached(self.ranks),
        }
    }

    /// Seconds: `floor + hop + peer · peers + (workᵖ + nodeᵖ + networkᵖ)^(1/p)`: a part of the shorter times hides
    /// behind the longest, all of them with a large `p`, none with 1.
    ///
    /// `node` and `network` are the ports' bytes over their share of the line rate, that of the network divided by
    /// `(N / 2)^congestion` on more than two nodes, but for low-latency kernels, whose messages are small; `work` is what the
    /// units do, `(tokens · w + handled / b) / units`, where units were said, else `tokens · w`. Only what crosses nodes has a
    /// hop.
    ///
    /// Worked, for `floor = 10 us`, everything but NVLink free: 4096 tokens of 7168 bytes to 2 balanced ranks at 100 GB/s:
    /// 29.4 MB cross, 303.6 us.
    fn seconds(&self, law: &[f64]) -> f64 {
        let [
            floor,
            hop,
            peer,
            congestion,
            node,
            network,
            unit,
            relay,
            token,
            overlap,
        ] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|at| law[at].exp());
        let (near, far) = self.bytes();
        let tokens = self.tokens * token * 1e-9;
        let work = self.units.map_or(tokens, |units| {
            (tokens + self.handled(relay) / (unit * 1e9)) / units
        });
        let nodes = self.nodes();
        let crowded = match self.kind {
            Kind::LowLatency => 1.0,
            _ => (nodes / 2.0).max(1.0).powf(congestion),
        };
        let node = near / (node * self.links * 1e9);
        let network = far * crowded / (network * self.nic * 1e9);
        let power = overlap.max(1.0);
        let moving = (work.powf(power) + node.powf(power) + network.powf(power)).powf(1.0 / power);
        let hop = if nodes > 1.0 { hop } else { 0.0 };
        let fixed = peer.mul_add(self.peers(), floor) + hop;
        moving + fixed * 1e-6
    }
}

impl Law {
    /// Seconds that `exchange` takes.
    pub(super) fn seconds(&self, exchange: &Exchange) -> f64 {
        exchange.seconds(&self.0)
    }

    /// The law of `rows`, each with its measured seconds; none without rows.
    pub(super) fn fit(rows: &[(&Exchange, f64)]) -> Option<Self> {
        if rows.is_empty() {
            return None;
        }
        let parameters = least_squares(&priors(), |law| {
            rows.iter()
                .map(|(exchange, seconds)| (exchange.seconds(law) / seconds).ln() / SCATTER)
                .collect()
        });
        Some(Self(parameters))
    }
}

/// What is known of each parameter, as logarithms.
///
/// # Panics
/// Never: a test reads the embedded table.
fn priors() -> Vec<Prior> {
    let table = parse(PRIORS).expect("the embedded priors are a table; a test reads them");
    let read = |name: &&str| {
        let row = table.rows.iter().find(|row| field(row, "parameter") == *name)?;
        Some(Prior {
            centre: number(row, "value")?.ln(),
            spread: number(row, "spread")?,
        })
    };
    PARAMETERS
        .iter()
        .map(|name| read(name).expect("every parameter has a prior; a test reads them"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Exchange = Exchange {
        ranks: 8.0,
        per_node: 8.0,
        tokens: 4096.0,
        hidden: 7168.0,
        chosen: 8.0,
        experts: 256.0,
        groups: f64::INFINITY,
        width: 1.0,
        units: None,
        links: 100.0,
        nic: 50.0,
        kind: Kind::Normal,
    };

    #[test]
    fn every_parameter_has_a_prior_and_every_prior_a_parameter() {
        assert_eq!(priors().len(), PARAMETERS.len());
        let table = parse(PRIORS).expect("it is a table");
        assert_eq!(table.rows.len(), PARAMETERS.len());
        for row in &table.rows {
            assert!(PARAMETERS.contains(&field(row, "parameter")), "{row:?}");
            assert!(!field(row, "source").is_empty(), "{row:?}");
        }
    }

    #[test]
    fn reached_sets_worked() {
        let reached = |sets: f64| EXAMPLE.reached(sets);
        assert!((reached(2.0) - 1.993).abs() < 0.002, "{}", reached(2.0));
        assert!((reached(8.0) - 5.31).abs() < 0.05, "{}", reached(8.0));
        let limited = Exchange {
            ranks: 64.0,
            groups: 4.0,
            ..EXAMPLE
        };
        assert!(
            (limited.reached(8.0) - 3.64).abs() < 0.02,
            "{}",
            limited.reached(8.0)
        );
    }

    /// With units alone: 4096 tokens of 7168 bytes to the 5.31 ranks of one node that they reach are 156 MB.
    #[test]
    fn units_alone_worked() {
        let node = Exchange {
            units: Some(10.0),
            ..EXAMPLE
        };
        let free = 1e9_f64.ln();
        let none = 1e-9_f64.ln();
        let law = [none, none, none, none, free, free, 10.0_f64.ln(), 0.0, none, 0.0];
        let seconds = node.seconds(&law);
        assert!((seconds * 1e3 - 1.56).abs() < 0.02, "{seconds}");
    }

    #[test]
    fn links_alone_worked() {
        let pair = Exchange {
            ranks: 2.0,
            per_node: 2.0,
            kind: Kind::Balanced,
            ..EXAMPLE
        };
        let free = 1e-9_f64.ln();
        let law = [10.0_f64.ln(), free, free, free, 0.0, 0.0, 0.0, free, free, 0.0];
        let seconds = pair.seconds(&law);
        assert!((seconds * 1e6 - 303.6).abs() < 0.1, "{seconds}");
    }
}

//! The load of a plan as a process.

use orrery_balance::lab::Stop;
use orrery_experts::gate::Trained;
use orrery_experts::load::{
    Benchmark, Burst, Domain, Draws, Layers, LoadProcess, Mixture, Phase, Scatter, Shape, Workload,
};
use orrery_scenario::plan::{ExpertGroup, LoadKind, LoadPhase, Popularity, Skew};
use orrery_units::Seed;

/// The process that the group's load describes, every random number of it from `seed`; none where routers are to be trained
/// for it.
pub(super) fn of_load(group: &ExpertGroup, seed: Seed) -> Option<Box<dyn LoadProcess>> {
    let experts = group.experts;
    Some(match &group.load.kind {
        LoadKind::Workload(number) => Box::new(Benchmark::new(
            Workload::ALL[*number],
            (experts.layers, experts.experts as usize),
            (group.load.tokens, experts.top_k as usize),
            seed,
        )),
        LoadKind::Phases(phases) => Box::new(mixture(group, phases, seed)),
        LoadKind::Gate(_) => return None,
    })
}

/// The routers whose training is the load, if it is; `go_on` may stop their training.
pub(super) fn routers(
    group: &ExpertGroup,
    seed: Seed,
    go_on: impl FnMut() -> Result<(), Stop>,
) -> Result<Option<Trained>, Stop> {
    let LoadKind::Gate(gate) = &group.load.kind else {
        return Ok(None);
    };
    let steps = (group.load.steps, gate.stretch);
    let drawn = (group.load.tokens, seed);
    Trained::train(gate.recipe, group.experts.layers, steps, drawn, go_on).map(Some)
}

/// Domains of phases; what recurs is drawn once.
struct Domains<'a> {
    known: Vec<(String, &'a Skew)>,
    drawn: Vec<Domain>,
    shape: Shape,
    seed: Seed,
}

impl<'a> Domains<'a> {
    /// The number of the domain `name` of this law. Its name alone says which draw of the law it is: under another law it
    /// has the same popular experts.
    fn number(&mut self, name: String, skew: &'a Skew) -> usize {
        let wanted = (name, skew);
        if let Some(at) = self.known.iter().position(|known| *known == wanted) {
            return at;
        }
        self.drawn.push(match &skew.popularity {
            Popularity::Law(law) => {
                let layers = if skew.layers_apart {
                    Layers::Apart
                } else {
                    Layers::Alike
                };
                Domain::drawn(&wanted.0, *law, layers, self.shape, self.seed)
            }
            Popularity::Recorded(counts) => Domain::recorded(counts),
        });
        self.known.push(wanted);
        self.drawn.len() - 1
    }
}

fn mixture(group: &ExpertGroup, phases: &[LoadPhase], seed: Seed) -> Mixture {
    let experts = group.experts;
    let mut domains = Domains {
        known: Vec::new(),
        drawn: Vec::new(),
        shape: Shape {
            layers: experts.layers,
            experts: experts.experts as usize,
            top_k: u64::from(experts.top_k),
        },
        seed,
    };
    let numbers: Vec<(usize, Option<usize>)> = phases
        .iter()
        .map(|phase| {
            let own = domains.number(phase.domain.clone(), &phase.skew);
            let burst = phase.burst.as_ref();
            let burst = burst.map(|burst| domains.number(format!("{} burst", phase.domain), &burst.skew));
            (own, burst)
        })
        .collect();
    let count = domains.drawn.len();
    let phase = |(phase, &(own, burst)): (&LoadPhase, &(usize, Option<usize>))| {
        let mut weights = vec![0.0; count];
        weights[own] = 1.0;
        let burst = burst.zip(phase.burst.as_ref()).map(|(domain, burst)| Burst {
            every: burst.every,
            steps: burst.steps,
            domain,
            share: burst.share,
        });
        Phase {
            steps: phase.steps,
            weights,
            ramp: phase.ramp,
            burst,
        }
    };
    let phases: Vec<Phase> = phases.iter().zip(&numbers).map(phase).collect();
    let scatter = Scatter {
        kind: if group.load.is_expected {
            Draws::Expected
        } else {
            Draws::Multinomial
        },
        ..Scatter::default()
    };
    let routed = (group.load.tokens, u64::from(experts.top_k));
    Mixture::new(domains.drawn, phases, routed, scatter, seed)
}

//! The desktop app: a window over simulated and measured runs.
//!
//! The document ([`Document`]) is immutable and knows no widget; panels read a snapshot of it and send
//! [`Command`]s. `App::logic` drains channels and applies commands, `App::ui` draws. Simulations run on a
//! thread of their own and are cancelled through the engine's own control; each collector is followed on a
//! thread of its own, over HTTP. Who started the collectors is not known here.

mod app;
mod document;
mod figures;
mod panels;
mod theme;
mod timeline;
mod window;
mod words;

pub use app::{Action, App, Arrangement, Command, Menu, Start, session_path};
pub use document::{
    Access, Apart, Asked, Calibrate, Collector, Course, CourseLine, Device, DeviceId, Document, Elsewhere,
    Explore, Export, Fact, Facts, Finished, Fleet, FleetEvent, FleetMetric, Footing, History, Home, Item,
    Job, Judging, KEPT, Keeping, Link, Load, Look, Measuring, News, Node, Of, Opening, Past, Prepared, Reach,
    Related, Remedies, Run, Running, Runs, SIDES, Scenario, Searching, Seen, Selection, Sheets, Shelved,
    Side, Standing, UnderWay, Wake, Wanted, Weighed, collector_url, is_scenario, short_name,
};
pub use panels::experts::ExpertsModel;
pub use panels::explore::ExploreModel;
pub use panels::links::LinksModel;
pub use timeline::TimelineModel;
pub use window::{OpenError, no_display, open};

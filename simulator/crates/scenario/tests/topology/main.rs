//! Topologies: built, routed, broken, loaded and imported.

mod faults;
mod imports;
mod loads;
mod routes;
mod shapes;
mod spread;

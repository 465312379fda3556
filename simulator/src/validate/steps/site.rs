//! Networks of the machines that published runs ran on, where they are not the usual ones of their device.

use std::sync::OnceLock;

use super::super::table::{self, Table, field};

const SITES: &str = include_str!("../../../../scenarios/hardware/sites.csv");

/// The network cards of a node at the site of `source` as a scenario writes them; nothing where its node is the usual one.
pub(super) fn nics(source: &str) -> String {
    static SITES_TABLE: OnceLock<Table> = OnceLock::new();
    let sites = SITES_TABLE.get_or_init(|| table::parse(SITES).expect("the shipped table of sites is one"));
    let site = sites
        .rows
        .iter()
        .find(|site| source.starts_with(field(site, "source")));
    site.map_or_else(String::new, |site| {
        let (count, rate) = (field(site, "nics_per_node"), field(site, "nic_Gbps"));
        format!("nics = {{ count = {count}, rate = \"{rate} Gbit/s\" }}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 800 Gb/s of a node of eight are four cards of 200.
    #[test]
    fn a_site_of_its_own_has_its_own_cards() {
        let own = "nics = { count = 4, rate = \"200 Gbit/s\" }\n";
        assert_eq!(nics("vTrain ground truth multi-node"), own);
        assert_eq!(nics("llm-foundry benchmarking README"), "");
    }
}

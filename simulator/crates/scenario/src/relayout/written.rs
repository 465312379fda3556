//! A layout that a search found, written as a scenario of its own: what was said of the old layout goes, or is said to
//! be of the old one.
//!
//! Title and name say what the new scenario is. An expectation of a range, of an equality or of a baseline tells what
//! one layout took ([`Check::is_finding`](crate::expect::Check::is_finding)): it stays as a comment that says so. A bound to one side is a demand, to
//! which any layout may be held, and stays.

use super::LayoutChoice;
use crate::edit::{Draft, EditError};
use crate::expect::Expectation;
use crate::load::Searchable;
use crate::plan::Plan;

/// Keys that say how layers lie on the stages of one layout, or what is left of the devices in it.
const OF_ONE_LAYOUT: [&str; 5] = [
    "parallel.dp",
    "parallel.chunks",
    "parallel.layers_per_stage",
    "parallel.first_stage_less",
    "parallel.last_stage_less",
];

/// A scenario made of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name, such as `mixtral-8x22b-h100-64-nodes-tp2-pp4-ep8`.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl LayoutChoice {
    /// The scenario `text`, whose job is `job`, with this layout on `nodes` nodes. What it says of how layers lie on
    /// the stages of its own is taken out; comments and everything else stay as they stand.
    ///
    /// # Errors
    /// When the text is no TOML, or has something else where these keys belong.
    pub fn written(&self, text: &str, job: &Searchable, nodes: u32) -> Result<Written, EditError> {
        let (base, own) = (&job.plan, &job.written);
        let is_resized = nodes != base.cluster.num_nodes;
        let mut draft = Draft::new(text)?;
        self.lay_out(&mut draft)?;
        if is_resized {
            draft.set("cluster.nodes", &nodes.to_string())?;
        }
        let stem = unmarked(&base.identity.name, own, base.cluster.num_nodes);
        let sized = if is_resized {
            format!("-{nodes}-nodes")
        } else {
            String::new()
        };
        let name = format!("{stem}{sized}-{}", self.mark());
        draft.set_text("scenario.name", &name)?;
        draft.set_text("scenario.title", &self.title(base, nodes))?;
        // Its own layout on its own nodes is a scenario anew as well: the text may have been edited since its findings were
        // written.
        let of = format!("{own}, on {} nodes", base.cluster.num_nodes);
        let is_other = is_resized || own != self;
        disown(&mut draft, base, &of, is_other)?;
        let text = draft.to_string();
        Ok(Written { name, text })
    }

    /// Writes the degrees, the schedule and what is recomputed.
    fn lay_out(&self, draft: &mut Draft) -> Result<(), EditError> {
        for key in OF_ONE_LAYOUT {
            // Most scenarios have none of them.
            let _absent = draft.remove(key);
        }
        let extends = draft.get("extends").is_some();
        for (key, value) in self.settings() {
            let goes_without_saying = key == "parallel.cp" && value == "1" && !extends;
            if !goes_without_saying || draft.get(&key).is_some() {
                draft.set(&key, &value)?;
            }
        }
        Ok(())
    }

    /// What names say of it.
    fn mark(&self) -> String {
        format!("tp{}-pp{}-ep{}", self.tp, self.pp, self.ep)
    }

    fn title(&self, base: &Plan, nodes: u32) -> String {
        let devices = nodes * base.cluster.node.num_devices;
        format!(
            "{} on {devices} x {}: {self}",
            base.model.name, base.cluster.device.name
        )
    }
}

/// `name` without what an earlier search put behind it.
fn unmarked<'a>(name: &'a str, own: &LayoutChoice, nodes: u32) -> &'a str {
    let Some(stem) = name.strip_suffix(&format!("-{}", own.mark())) else {
        return name;
    };
    stem.strip_suffix(&format!("-{nodes}-nodes")).unwrap_or(stem)
}

/// Leaves out what `draft` says of the scenario that it was made of, whose layout was `of`; whether this one `is_other`.
fn disown(draft: &mut Draft, base: &Plan, of: &str, is_other: bool) -> Result<(), EditError> {
    let old = &base.identity;
    let mut notes = match is_other {
        true => format!(
            "Another layout of {} ({of}), found by a search. Comments in this file were written for that one.",
            old.name
        ),
        false => format!("The layout of {} itself ({of}), as a search found it.", old.name),
    };
    if !old.notes.is_empty() {
        notes = format!("{notes}\nOf that one was said:\n{}", old.notes);
    }
    draft.set_text("scenario.notes", &notes)?;
    for Expectation { id, .. } in base.expectations.iter().filter(|known| known.check.is_finding()) {
        let key = format!("expect.{id}");
        let why = format!("Left out: it says what {} took ({of}).", old.name);
        if draft.get(&key).is_some() {
            draft.comment_out(&key, &why)?;
        } else {
            // What another file says cannot be left out, but no longer fails.
            draft.set_text(&format!("{key}.level"), "info")?;
            draft.set_text(&format!("{key}.why"), &why)?;
        }
    }
    Ok(())
}

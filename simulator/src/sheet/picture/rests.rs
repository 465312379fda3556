//! What the figures of the picture rest on: expectations, evidence, sources and what was filled in.

use plotters::prelude::*;

use super::super::percent;
use super::{BAD, Fault, INK, Pen, SMALL, SOFT};

impl<B: DrawingBackend> Pen<'_, '_, B> {
    pub(super) fn expected(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        if sheet.expected.is_empty() {
            return Ok(());
        }
        self.heading("Expectations")?;
        for expected in &sheet.expected {
            let (word, colour) = if expected.pass {
                (expected.word().to_owned(), INK)
            } else {
                (expected.word().to_uppercase(), BAD)
            };
            let words = format!("{word} {}: {}", expected.id, expected.check);
            self.paragraph(&words, SMALL, colour)?;
            self.paragraph(&expected.words(), SMALL, SOFT)?;
        }
        Ok(())
    }

    pub(super) fn foot(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        self.heading("What it rests on")?;
        let share = |(evidence, share): &(String, f64)| format!("{} {evidence}", percent(*share));
        let shares: Vec<String> = sheet.provenance.iter().map(share).collect();
        if !shares.is_empty() {
            self.paragraph(&format!("simulated time: {}", shares.join(", ")), SMALL, INK)?;
        }
        let (sources, origin): (Vec<_>, Vec<_>) =
            sheet.origin.iter().partition(|(name, _)| *name == "source");
        let words = |(name, words): &&(&str, String)| format!("{name} {words}");
        let origin: Vec<String> = origin.iter().map(words).collect();
        self.paragraph(&origin.join(" · "), SMALL, SOFT)?;
        for (_, source) in sources {
            self.paragraph(&format!("source {source}"), SMALL, SOFT)?;
        }
        Ok(())
    }

    pub(super) fn assumptions(&mut self) -> Result<(), Fault<B>> {
        let sheet = self.sheet;
        if sheet.assumptions.is_empty() {
            return Ok(());
        }
        self.heading(&sheet.assumptions_title())?;
        for [key, value, reason] in &sheet.assumptions {
            self.paragraph(&format!("{key} = {value}: {reason}"), SMALL, INK)?;
        }
        Ok(())
    }
}

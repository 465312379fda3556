//! Which questions a device does not answer, so that it is asked them once: a driver is slow to say no.

use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;
use orrery_telemetry::{Absence, Reading};

use super::fault::absence;
use super::fields::{self, Field, FieldValue};

/// The questions that were answered with a no for good, with the reason.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Few: looked through one by one, a text of another length is another at a glance.
    calls: Vec<(&'static str, Absence)>,
    /// In order: looked up for every field of every reading, and seldom added to.
    fields: Vec<(Field, Absence)>,
}

/// The answers to many fields, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<(Field, Result<FieldValue, Absence>)>);

/// Whether a reason holds for as long as the driver is loaded and the device is divided as it is.
fn is_for_good(absence: &Absence) -> bool {
    matches!(absence, Absence::NotSupported | Absence::DriverTooOld)
}

impl Asked {
    /// Asks `question`, which is known as `name`, unless the answer is known to be no.
    pub(super) fn ask<T>(
        &mut self,
        name: &'static str,
        question: impl FnOnce() -> Result<T, NvmlError>,
    ) -> Reading<T> {
        if let Some((_, known)) = self.calls.iter().find(|(known, _)| *known == name) {
            return Reading::absent(known.clone());
        }
        let reading: Reading<T> = question().map_err(|fault| absence(&fault)).into();
        if let Some(reason) = reading.absence().filter(|reason| is_for_good(reason)) {
            self.calls.push((name, reason.clone()));
        }
        reading
    }

    /// Asks for all of `fields` in one call, save those whose answer is known to be no.
    pub(super) fn ask_fields(&mut self, device: &Device<'_>, fields: &[Field]) -> Answers {
        let mut answers = Vec::with_capacity(fields.len());
        let mut open = Vec::with_capacity(fields.len());
        for field in fields {
            match self.place_of(field) {
                Ok(place) => answers.push((*field, Err(self.fields[place].1.clone()))),
                Err(_) => open.push(*field),
            }
        }
        if !open.is_empty() {
            match fields::ask(device, &open) {
                Ok(values) => answers.extend(open.into_iter().zip(values).map(|(field, value)| {
                    let value = value.map_err(|fault| field_absence(&fault));
                    if let Some(reason) = value.as_ref().err().filter(|reason| is_for_good(reason)) {
                        self.refuse(field, reason.clone());
                    }
                    (field, value)
                })),
                Err(fault) => {
                    let reason = absence(&fault);
                    answers.extend(open.into_iter().map(|field| (field, Err(reason.clone()))));
                }
            }
        }
        answers.sort_unstable_by_key(|(field, _)| *field);
        Answers(answers)
    }

    fn place_of(&self, field: &Field) -> Result<usize, usize> {
        self.fields.binary_search_by_key(field, |(known, _)| *known)
    }

    fn refuse(&mut self, field: Field, reason: Absence) {
        if let Err(place) = self.place_of(&field) {
            self.fields.insert(place, (field, reason));
        }
    }

    /// Forgets every no: the device is divided otherwise now, or is another.
    pub(super) fn forget(&mut self) {
        self.calls.clear();
        self.fields.clear();
    }
}

/// Why a field has no value: a driver that does not know its number calls it an invalid argument.
fn field_absence(fault: &NvmlError) -> Absence {
    match fault {
        NvmlError::InvalidArg => Absence::DriverTooOld,
        other => absence(other),
    }
}

impl Answers {
    /// The answer to field `id` about link `scope`.
    pub(super) fn of(&self, id: u32, scope: u32) -> Reading<FieldValue> {
        let place = self
            .0
            .binary_search_by_key(&Field { id, scope }, |(field, _)| *field);
        place
            .map_or(Err(Absence::NotSupported), |place| self.0[place].1.clone())
            .into()
    }

    /// The number of field `id` about no link.
    pub(super) fn number(&self, id: u32) -> Reading<u64> {
        self.of(id, 0).map(|value| value.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_remembered_and_a_failure_is_tried_again() {
        let mut asked = Asked::default();
        let mut num_asked = 0;
        let mut ask = |asked: &mut Asked, answer: Result<u32, NvmlError>| {
            asked.ask("power", || {
                num_asked += 1;
                answer
            })
        };
        assert!(ask(&mut asked, Err(NvmlError::Timeout)).absence().is_some());
        assert_eq!(ask(&mut asked, Ok(5)), Reading::Value(5));
        for _ in 0..3 {
            let no = ask(&mut asked, Err(NvmlError::NotSupported));
            assert_eq!(no.absence(), Some(&Absence::NotSupported));
        }
        asked.forget();
        assert_eq!(ask(&mut asked, Ok(6)), Reading::Value(6));
        assert_eq!(num_asked, 4);
    }
}

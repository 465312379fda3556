//! The keys that are changed most, as a form: each change is one of the text, in which all else stays as it is.

use eframe::egui::{
    Button, ComboBox, DragValue, Grid, Label, Response, RichText, Role, Sense, Ui, WidgetInfo,
};
use orrery_scenario::Money;
use orrery_scenario::edit::{Draft, EditError};
use serde_json::Value;
use time::OffsetDateTime;

use super::View;
use super::fields::{CURRENCY, FORM, Field, PRICE, PRICED_ON, Values};
use crate::app::Commands;
use crate::{Document, figures, theme};

/// The text as keys and values, read once for each text.
#[derive(Debug, Default)]
pub(super) struct Form {
    text: String,
    draft: Option<Result<Draft, EditError>>,
    /// Choices of catalogues, which do not change.
    choices: Vec<(Values, Vec<String>)>,
    /// Why what was typed as a price is none.
    refused: Option<String>,
}

impl Form {
    /// The keys of `text`.
    fn read(&mut self, text: &str) -> Result<&Draft, String> {
        if self.text != text || self.draft.is_none() {
            text.clone_into(&mut self.text);
            self.draft = Some(Draft::new(text));
        }
        match self.draft.as_ref() {
            Some(Ok(draft)) => Ok(draft),
            Some(Err(why)) => Err(why.to_string()),
            None => Err(String::new()),
        }
    }

    fn choices(&mut self, values: Values) -> Vec<String> {
        if let Some((_, known)) = self.choices.iter().find(|(other, _)| *other == values) {
            return known.clone();
        }
        let found = values.choices();
        self.choices.push((values, found.clone()));
        found
    }
}

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    /// The value, as TOML has it.
    value: String,
    /// Why it is not in the text, if it is not.
    from: Option<String>,
}

/// Draws the form.
pub(super) fn show(ui: &mut Ui, document: &Document, view: &mut View, commands: &Commands) {
    let draft = match view.form.read(&view.draft) {
        Ok(draft) => draft.clone(),
        Err(why) => {
            ui.strong("Form");
            ui.colored_label(
                theme::warn(ui.visuals()),
                format!("The form waits for the text: {why}"),
            );
            return;
        }
    };
    if draft
        .get("scenario.kind")
        .is_some_and(|kind| kind != "\"training\"")
    {
        ui.weak("There is a form for training scenarios; this one is edited as text.");
        return;
    }
    let mut change = None;
    for (heading, fields) in FORM {
        ui.strong(heading);
        Grid::new(heading)
            .num_columns(3)
            .spacing([8.0, 4.0])
            .show(ui, |ui| {
                for field in fields {
                    if let Some(standing) = standing(document, &draft, field)
                        && let Some(value) = row(ui, field, &standing, &mut view.form)
                    {
                        change = Some((field.key, value));
                    }
                }
            });
        ui.add_space(4.0);
    }
    if let Some((key, value)) = change {
        let mut draft = draft;
        // A value of a form is one, and its key has its table: nothing can be wrong with them but the text itself.
        if draft.set(key, &value).is_ok() {
            // A price is of a day, and one that is written now is of today.
            if key == PRICE && draft.get(CURRENCY).is_some() {
                let currency = value.trim_matches('"').rsplit(' ').next().unwrap_or_default();
                let agreed = draft.set(CURRENCY, &format!("\"{currency}\""));
                debug_assert!(agreed.is_ok(), "it is there");
            }
            if key == PRICE && draft.get(PRICED_ON).is_none() {
                let today = OffsetDateTime::now_utc().date();
                let dated = draft.set(PRICED_ON, &format!("\"{today}\""));
                debug_assert!(dated.is_ok(), "its table was just written");
            }
            view.change(draft.to_string(), commands);
        }
    }
}

/// What stands at the key of `field`, in the text, in what it extends, or as a default; none if it does not apply.
fn standing(document: &Document, draft: &Draft, field: &Field) -> Option<Standing> {
    if let Some(value) = draft.get(field.key) {
        return Some(Standing { value, from: None });
    }
    let plan = document.training_plan();
    let resolved = plan.and_then(|plan| {
        let mut value = &plan.identity.resolved;
        for part in field.key.split('.') {
            value = value.get(part)?;
        }
        Some(value)
    });
    if let Some(value) = resolved {
        let value = match value {
            Value::String(text) => format!("\"{text}\""),
            other => other.to_string(),
        };
        let from = Some("from the file that this one extends".to_owned());
        return Some(Standing { value, from });
    }
    // A file's own table of another shape, such as a model from a config.json or a schedule by its name, has no such key.
    let (table, _) = field.key.rsplit_once('.')?;
    if field.key == "model.name" || field.key == "parallel.schedule.chunks" {
        return None;
    }
    let assumed = plan.and_then(|plan| plan.assumptions.iter().find(|known| known.key == field.key));
    let default = match field.values {
        Values::Count | Values::Degree => "1",
        Values::Choice(names) => names[0],
        Values::Price => "",
        Values::Model | Values::Device => return None,
    };
    let (value, from) = match assumed {
        Some(known) => (known.value.clone(), known.reason.clone()),
        None if table.is_empty() => return None,
        None => (default.to_owned(), "not written".to_owned()),
    };
    Some(Standing {
        value,
        from: Some(from),
    })
}

/// A line of the form; the new value, if it was changed.
fn row(ui: &mut Ui, field: &Field, standing: &Standing, form: &mut Form) -> Option<String> {
    let words = RichText::new(field.name);
    let words = if standing.from.is_some() {
        words.weak()
    } else {
        words
    };
    let about = match &standing.from {
        Some(from) => format!("{}\n{} = {} ({from})", field.about, field.key, standing.value),
        None => format!("{}\n{} = {}", field.about, field.key, standing.value),
    };
    let label = ui
        .add(Label::new(words).sense(Sense::hover()))
        .on_hover_text(&about);
    let found = match field.values {
        Values::Count | Values::Degree => number(ui, standing, field, &label),
        Values::Price => price(ui, standing, &label, &mut form.refused),
        _ => choice(ui, standing, field, (form, &label)),
    };
    ui.end_row();
    found
}

fn number(ui: &mut Ui, standing: &Standing, field: &Field, label: &Response) -> Option<String> {
    let digits = standing.value.replace('_', "");
    let Ok(mut value) = digits.parse::<u64>() else {
        ui.weak(&standing.value)
            .on_hover_text("Written otherwise than as a number; edit the text");
        return None;
    };
    let before = value;
    ui.horizontal(|ui| {
        let drag = DragValue::new(&mut value).range(1..=100_000_000).speed(0.1);
        ui.add(drag).labelled_by(label.id);
        if field.values == Values::Degree {
            let half = ui.add_enabled(value > 1, Button::new("÷2").small());
            half.widget_info(|| {
                let is_enabled = value > 1;
                WidgetInfo::labeled(Role::Button, is_enabled, format!("Halve {}", field.name))
            });
            if half.on_hover_text(format!("Half: {}", value / 2)).clicked() {
                value = (value / 2).max(1);
            }
            let double = ui.add(Button::new("×2").small());
            double.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Double {}", field.name)));
            if double.on_hover_text(format!("Twice: {}", value * 2)).clicked() {
                value *= 2;
            }
        }
    });
    (value != before).then(|| value.to_string())
}

fn price(ui: &mut Ui, standing: &Standing, label: &Response, fault: &mut Option<String>) -> Option<String> {
    let words = standing.value.trim_matches('"').trim();
    let standing = match words {
        "" => Ok((0.0, "USD")),
        words => Money::parse(words).map(|money| (money.amount, money.currency.unwrap_or("USD"))),
    };
    let (amount, currency) = match standing {
        Ok(standing) => standing,
        Err(why) => {
            ui.weak(words).on_hover_text(why);
            return None;
        }
    };
    let (field, changed) = figures::money(ui, (amount, currency), 0.01, fault);
    let hint = "Such as 2.50, $2.50/h or 1,99 EUR";
    let _labelled = field.labelled_by(label.id).on_hover_text(hint);
    if let Some(why) = fault {
        ui.colored_label(theme::bad(ui.visuals()), format!("not taken: {why}"));
    }
    changed.map(|(amount, currency)| format!("\"{} {currency}\"", figures::money_in_files(amount)))
}

fn choice(
    ui: &mut Ui,
    standing: &Standing,
    field: &Field,
    (form, label): (&mut Form, &Response),
) -> Option<String> {
    let plain = |value: &str| value.trim_matches('"').to_owned();
    let mut found = None;
    let shown = ComboBox::from_id_salt(field.key)
        .selected_text(plain(&standing.value))
        .width(150.0)
        .show_ui(ui, |ui| {
            for value in form.choices(field.values) {
                if ui
                    .selectable_label(value == standing.value, plain(&value))
                    .clicked()
                {
                    found = Some(value);
                }
            }
        });
    let _labelled = shown.response.labelled_by(label.id);
    found.filter(|value| *value != standing.value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXTS: [&str; 4] = [
        include_str!("../../../../scenarios/training/deepseek-v3-2048-h800.scenario.toml"),
        include_str!("../../../../scenarios/training/gpt3-175b-a100.scenario.toml"),
        include_str!("../../../../scenarios/training/llama3-405b-8192-h100.scenario.toml"),
        include_str!("../../../../scenarios/training/mixtral-8x22b-h100.scenario.toml"),
    ];

    fn fields() -> Vec<Field> {
        FORM.iter()
            .flat_map(|(_, fields)| fields.iter().copied())
            .collect()
    }

    /// Lines without the values of `key`: what must stay as it is.
    fn comments(text: &str) -> Vec<&str> {
        let comment = |line: &&str| line.contains('#');
        let after = |line| str::split_once(line, '#').map_or("", |(_, comment)| comment);
        text.lines().filter(comment).map(after).collect()
    }

    fn value(field: &Field, number: u64) -> String {
        let choices = field.values.choices();
        match field.values {
            Values::Count | Values::Degree => number.to_string(),
            Values::Price => format!("\"{number}.25 EUR\""),
            _ => choices[usize::try_from(number).unwrap() % choices.len()].clone(),
        }
    }

    proptest! {
        /// Changes of a form, one after the other: each value is there, every comment stays, and what was changed back
        /// leaves the text as it was.
        #[test]
        fn a_form_keeps_comments(
            text in prop::sample::select(TEXTS.to_vec()),
            changes in prop::collection::vec((prop::sample::select(fields()), 1_u64..4096), 1..8),
        ) {
            let mut draft = Draft::new(text).unwrap();
            prop_assert_eq!(draft.to_string(), text);
            for (field, number) in &changes {
                let value = value(field, *number);
                draft.set(field.key, &value).unwrap();
                prop_assert_eq!(draft.get(field.key), Some(value));
                let changed = draft.to_string();
                prop_assert_eq!(comments(&changed), comments(text));
            }
            let written = Draft::new(text).unwrap();
            let known = changes.iter().filter(|(field, _)| written.get(field.key).is_some()).count();
            if known == changes.len() {
                for (field, _) in &changes {
                    draft.set(field.key, &written.get(field.key).unwrap()).unwrap();
                }
                prop_assert_eq!(draft.to_string(), text);
            }
        }
    }
}

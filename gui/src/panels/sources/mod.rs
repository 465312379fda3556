//! Sources: everything that is open, as a tree, with how it does; a click brings it to the front, a cross closes it.

mod model;

use eframe::egui::{
    Align, AtomExt as _, Button, CollapsingHeader, Color32, IntoAtoms as _, Layout, RichText, Role,
    ScrollArea, Sense, TextStyle, TextWrapMode, Ui, Visuals, WidgetInfo, WidgetText, vec2,
};

use crate::app::{Action, Command, Commands};
use crate::{Document, theme};
use model::{Entry, Mood, sections};

/// Room that is left to how an entry does, at least, where its name leaves any.
const STATE: f32 = 24.0;

/// Draws the panel.
pub(crate) fn show(ui: &mut Ui, document: &Document, commands: &Commands) {
    let now = ui.input(|input| input.time);
    ui.horizontal(|ui| {
        ui.heading("Sources");
        let open = ui.add(Button::new("+").small());
        open.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Open a source"));
        if open.on_hover_text(Action::Open.meaning()).clicked() {
            commands.send(Command::Do(Action::Open));
        }
    });
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        for section in sections(document, now) {
            ui.add_space(6.0);
            ui.strong(section.title);
            if section.entries.is_empty() {
                ui.weak(section.empty);
            }
            for entry in &section.entries {
                line(ui, entry, commands);
            }
        }
    });
}

/// A line, and what is inside it where that is opened.
fn line(ui: &mut Ui, entry: &Entry, commands: &Commands) {
    row(ui, entry, commands);
    if entry.inside.is_empty() {
        return;
    }
    ui.indent(("inside", &entry.name), |ui| {
        for inside in &entry.inside {
            if inside.inside.is_empty() {
                row(ui, inside, commands);
                continue;
            }
            let head = RichText::new(format!("{}  {}", inside.name, inside.state));
            CollapsingHeader::new(head.color(color(inside.mood, ui.visuals())))
                .id_salt(("node", &entry.name, &inside.name))
                .show(ui, |ui| {
                    for device in &inside.inside {
                        row(ui, device, commands);
                    }
                });
        }
    });
}

fn row(ui: &mut Ui, entry: &Entry, commands: &Commands) {
    let height = ui.spacing().interact_size.y;
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), height),
        Layout::right_to_left(Align::Center),
        |ui| {
            if let Some((words, command)) = &entry.close {
                let cross = ui.add(Button::new("×").frame(false).small());
                cross.widget_info(|| WidgetInfo::labeled(Role::Button, true, words));
                if cross.on_hover_text(words).clicked() {
                    commands.send(command.clone());
                }
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                dot(ui, entry.mood);
                named(ui, entry, commands);
            });
        },
    );
}

/// The name with how it does; both are said, for colours are not seen by all.
fn named(ui: &mut Ui, entry: &Entry, commands: &Commands) {
    let label = format!("{}: {}", entry.name, entry.state);
    let state = RichText::new(&entry.state)
        .small()
        .color(ui.visuals().weak_text_color());
    // How it does gives way before what it is called, and leaves it all the room where that is not enough: the dot tells.
    let name = RichText::new(&entry.name);
    let whole = WidgetText::from(name.clone());
    let whole = whole.into_galley(ui, Some(TextWrapMode::Extend), f32::INFINITY, TextStyle::Button);
    let room = ui.available_width() - 2.0 * ui.spacing().button_padding.x - STATE;
    let words = match whole.size().x <= room {
        true => (name.atom_shrink(false), state.atom_shrink(true)).into_atoms(),
        false => name.into_atoms(),
    };
    let button = match entry.click.is_some() {
        true => Button::selectable(entry.is_chosen, words).truncate(),
        false => Button::new(words).frame(false).truncate(),
    };
    let response = ui.add(button);
    response
        .widget_info(|| WidgetInfo::selected(Role::Button, entry.click.is_some(), entry.is_chosen, &label));
    let more = match entry.more.as_str() {
        "" => label,
        more => format!("{label}\n{more}"),
    };
    if response.on_hover_text(more).clicked()
        && let Some(command) = &entry.click
    {
        commands.send(command.clone());
    }
}

fn dot(ui: &mut Ui, mood: Mood) {
    let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    let ink = color(mood, ui.visuals());
    match mood {
        // A ring, for it is not there yet.
        Mood::Busy => {
            ui.painter().circle_stroke(rect.center(), 3.5, (1.5, ink));
        }
        _ => {
            ui.painter().circle_filled(rect.center(), 3.5, ink);
        }
    }
}

fn color(mood: Mood, visuals: &Visuals) -> Color32 {
    match mood {
        Mood::Quiet => visuals.weak_text_color(),
        Mood::Good => theme::good(visuals),
        Mood::Warn => theme::warn(visuals),
        Mood::Bad => theme::bad(visuals),
        Mood::Busy => theme::line(visuals),
    }
}

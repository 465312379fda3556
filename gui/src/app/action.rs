//! The one table of what can be asked for by menu, key and palette.

use eframe::egui::{Context, Key, KeyboardShortcut, Modifiers};

use super::arrangement::Arrangement;
use crate::Document;
use crate::document::Home;

/// What can be asked for without saying more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a scenario to open.
    Open,
    /// Open the scenario that ships with the program.
    OpenExample,
    /// Write the text in front to its file.
    Save,
    /// Ask for a file to write the text in front to.
    SaveAs,
    /// Close the scenario in front.
    Close,
    /// Close the window.
    Quit,
    /// Simulate the scenario in front.
    Run,
    /// Stop the run under way.
    Stop,
    /// Search the layouts of the scenario in front.
    Search,
    /// The run that others are held against becomes one that is held against it.
    SwapSides,
    /// Select the rank that the others wait for, and go to its lane.
    GoToWaitedFor,
    /// Put the panels in this order.
    Arrange(Arrangement),
    /// Show the sources, or hide them.
    ShowSources,
    /// Show the inspector, or hide it.
    ShowInspector,
    /// Show the time strip, or hide it.
    ShowStrip,
    /// Dark colours if they are light, and the other way round.
    SwitchColours,
    /// Colours as the system has them.
    SystemColours,
    /// The list of commands.
    Palette,
    /// The list of keys.
    Keys,
}

/// The menu an action is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// Scenarios and the window.
    File,
    /// Runs.
    Run,
    /// How things look.
    View,
    /// Where to find the rest.
    Help,
}

impl Menu {
    /// Every menu, from left to right.
    pub const ALL: [Self; 4] = [Self::File, Self::Run, Self::View, Self::Help];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "File",
            // `Run` is what the action is called.
            Self::Run => "Simulation",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

const CONTROL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

impl Action {
    /// Every action, in the order of menus, palette and key list.
    pub const ALL: [Self; 27] = [
        Self::Open,
        Self::OpenExample,
        Self::Save,
        Self::SaveAs,
        Self::Close,
        Self::Quit,
        Self::Run,
        Self::Stop,
        Self::Search,
        Self::SwapSides,
        Self::GoToWaitedFor,
        Self::Arrange(Arrangement::Overview),
        Self::Arrange(Arrangement::Observe),
        Self::Arrange(Arrangement::Plan),
        Self::Arrange(Arrangement::Timeline),
        Self::Arrange(Arrangement::Compare),
        Self::Arrange(Arrangement::Experts),
        Self::Arrange(Arrangement::Explore),
        Self::Arrange(Arrangement::Report),
        Self::Arrange(Arrangement::Calibrate),
        Self::ShowSources,
        Self::ShowInspector,
        Self::ShowStrip,
        Self::SwitchColours,
        Self::SystemColours,
        Self::Palette,
        Self::Keys,
    ];

    /// Its name in menus and in the palette.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "Open a file…",
            Self::OpenExample => "Open the example",
            Self::Save => "Save",
            Self::SaveAs => "Save as…",
            Self::Close => "Close scenario",
            Self::Quit => "Quit",
            Self::Run => "Run",
            Self::Stop => "Stop",
            Self::Search => "Search layouts",
            Self::SwapSides => "Swap A and B",
            Self::GoToWaitedFor => "Go to the rank that is waited for",
            Self::Arrange(Arrangement::Overview) => "Arrangement: overview (reset)",
            Self::Arrange(Arrangement::Observe) => "Arrangement: observe",
            Self::Arrange(Arrangement::Plan) => "Arrangement: plan",
            Self::Arrange(Arrangement::Timeline) => "Arrangement: timeline",
            Self::Arrange(Arrangement::Compare) => "Arrangement: compare",
            Self::Arrange(Arrangement::Experts) => "Arrangement: experts",
            Self::Arrange(Arrangement::Explore) => "Arrangement: explore",
            Self::Arrange(Arrangement::Report) => "Arrangement: report",
            Self::Arrange(Arrangement::Calibrate) => "Arrangement: calibrate",
            Self::ShowSources => "Sources",
            Self::ShowInspector => "Inspector",
            Self::ShowStrip => "Time strip",
            Self::SwitchColours => "Switch light and dark",
            Self::SystemColours => "Colours of the system",
            Self::Palette => "All commands…",
            Self::Keys => "Keys",
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Open => {
                "Opens a scenario, a stored run, a recorded trace or a recorded load of experts beside what is open."
            }
            Self::OpenExample => "Opens DeepSeek-V3 on 2,048 H800, which ships with the program.",
            Self::Save => "Writes the scenario in front to its file.",
            Self::SaveAs => "Writes the scenario in front to another file, and goes on with that.",
            Self::Close => "Closes the scenario in front; asks first if it was edited.",
            Self::Quit => "Closes the window; asks first if a scenario was edited.",
            Self::Run => "Simulates the scenario in front as it is written.",
            Self::Stop => "Stops the run or the search under way and keeps what it has.",
            Self::Search => "Estimates every legal layout of the scenario in front and simulates the best.",
            Self::SwapSides => "What was A in the comparison is B, and the other way round.",
            Self::GoToWaitedFor => {
                "Selects the straggler of the run in front, or else its slowest rank, and goes to its lane in the timeline."
            }
            Self::Arrange(Arrangement::Overview) => "Plan at the left, timeline and fleet at the right.",
            Self::Arrange(Arrangement::Observe) => "The fleet, with the timeline below.",
            Self::Arrange(Arrangement::Plan) => "The plan at the left, the timeline beside it.",
            Self::Arrange(Arrangement::Timeline) => "The timeline alone; plan and fleet are tabs.",
            Self::Arrange(Arrangement::Compare) => "The comparison of runs alone; the other panels are tabs.",
            Self::Arrange(Arrangement::Experts) => "Loads of experts, with the plan at the left.",
            Self::Arrange(Arrangement::Explore) => {
                "Layouts and cluster sizes alone; the other panels are tabs."
            }
            Self::Arrange(Arrangement::Report) => "The decision sheet alone; the other panels are tabs.",
            Self::Arrange(Arrangement::Calibrate) => {
                "Predictions beside measurements, kernels and collectives."
            }
            Self::ShowSources => "Shows or hides the tree of everything that is open.",
            Self::ShowInspector => {
                "Shows or hides what is known of what is looked at, and where that comes from."
            }
            Self::ShowStrip => "Shows or hides the whole step in front, with the part in view to be dragged.",
            Self::SwitchColours => "Dark text on light, or light text on dark.",
            Self::SystemColours => "Light or dark as the rest of the desktop.",
            Self::Palette => "Finds any command by a part of its name.",
            Self::Keys => "Lists what every key does.",
        }
    }

    /// Other words that people look for it by.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Open => "load import histogram routing counts trace profile recording kineto nsight eplb",
            Self::OpenExample => "demo sample template",
            Self::Save | Self::SaveAs => "write store",
            Self::Run => "simulate start",
            Self::Stop => "cancel abort",
            Self::Search => "find best layout parallelism sweep optimise tensor pipeline expert",
            Self::SwapSides => "baseline exchange",
            Self::GoToWaitedFor => "straggler slowest drags node imbalance wait",
            Self::Arrange(Arrangement::Overview) => "home default",
            Self::Arrange(Arrangement::Observe) => "fleet monitor gpus devices nodes live alerts",
            Self::Arrange(Arrangement::Plan) => "scenario editor form",
            Self::Arrange(Arrangement::Timeline) => "trace spans gantt",
            Self::Arrange(Arrangement::Compare) => "difference why slower waterfall runs",
            Self::Arrange(Arrangement::Experts) => "eplb balance moe load imbalance routing",
            Self::Arrange(Arrangement::Explore) => "size cluster how many gpus pareto tornado sweep",
            Self::Arrange(Arrangement::Report) => "sheet decision export html pdf png csv print",
            Self::Arrange(Arrangement::Calibrate) => {
                "trust accuracy error measured kernels collectives roofline"
            }
            Self::ShowSources => "left panel tree files",
            Self::ShowInspector => "right panel details properties",
            Self::ShowStrip => "bottom panel range",
            Self::SwitchColours | Self::SystemColours => "theme mode appearance",
            Self::Keys => "shortcuts help cheat sheet keyboard",
            Self::Close | Self::Quit | Self::Palette => "",
        }
    }

    /// The menu it is in.
    #[must_use]
    pub const fn menu(self) -> Menu {
        match self {
            Self::Open | Self::OpenExample | Self::Save | Self::SaveAs | Self::Close | Self::Quit => {
                Menu::File
            }
            Self::Run | Self::Stop | Self::Search | Self::SwapSides | Self::GoToWaitedFor => Menu::Run,
            Self::Arrange(_)
            | Self::ShowSources
            | Self::ShowInspector
            | Self::ShowStrip
            | Self::SwitchColours
            | Self::SystemColours => Menu::View,
            Self::Palette | Self::Keys => Menu::Help,
        }
    }

    /// Its keys; the first is the one that is shown.
    #[must_use]
    pub const fn shortcuts(self) -> &'static [KeyboardShortcut] {
        const fn control(key: Key) -> KeyboardShortcut {
            KeyboardShortcut::new(Modifiers::COMMAND, key)
        }
        match self {
            Self::Open => &const { [control(Key::O)] },
            Self::Save => &const { [control(Key::S)] },
            Self::SaveAs => &const { [KeyboardShortcut::new(CONTROL_SHIFT, Key::S)] },
            Self::Close => &const { [control(Key::W)] },
            Self::Quit => &const { [control(Key::Q)] },
            Self::Run => &const { [control(Key::Enter)] },
            // Escape stops when nothing else wants it; see `App::draw`.
            Self::Stop => &const { [KeyboardShortcut::new(Modifiers::NONE, Key::Escape)] },
            Self::ShowSources => &const { [control(Key::B)] },
            Self::ShowInspector => &const { [control(Key::I)] },
            Self::ShowStrip => &const { [control(Key::J)] },
            Self::Arrange(Arrangement::Overview) => &const { [control(Key::Num1)] },
            Self::Arrange(Arrangement::Observe) => &const { [control(Key::Num2)] },
            Self::Arrange(Arrangement::Plan) => &const { [control(Key::Num3)] },
            Self::Arrange(Arrangement::Timeline) => &const { [control(Key::Num4)] },
            Self::Arrange(Arrangement::Compare) => &const { [control(Key::Num5)] },
            Self::Arrange(Arrangement::Experts) => &const { [control(Key::Num6)] },
            Self::Arrange(Arrangement::Explore) => &const { [control(Key::Num7)] },
            Self::Arrange(Arrangement::Report) => &const { [control(Key::Num8)] },
            Self::Arrange(Arrangement::Calibrate) => &const { [control(Key::Num9)] },
            Self::Search => &const { [control(Key::L)] },
            Self::GoToWaitedFor => &const { [control(Key::G)] },
            Self::Palette => {
                &const {
                    [
                        control(Key::K),
                        KeyboardShortcut::new(CONTROL_SHIFT, Key::P),
                        KeyboardShortcut::new(Modifiers::NONE, Key::F1),
                    ]
                }
            }
            Self::Keys => &const { [KeyboardShortcut::new(Modifiers::NONE, Key::Questionmark)] },
            Self::OpenExample | Self::SwapSides | Self::SwitchColours | Self::SystemColours => &[],
        }
    }

    /// Its first key as the system writes it; empty if it has none.
    pub(crate) fn keys(self, context: &Context) -> String {
        let keys = self.shortcuts().first();
        match keys {
            // The name of the key is no help in finding it.
            Some(keys) if keys.logical_key == Key::Questionmark => "?".to_owned(),
            Some(keys) if keys.logical_key == Key::Escape => "Esc".to_owned(),
            Some(keys) => context.format_shortcut(keys),
            None => String::new(),
        }
    }

    /// Why it can do nothing now, if so.
    pub(crate) fn refusal(self, document: &Document) -> Option<&str> {
        let runs = document.running.as_ref().is_some_and(|running| !running.stopping);
        let searches = document.explore.searching.as_ref();
        let is_running = runs || searches.is_some_and(|searching| !searching.stopping);
        match (self, document.keeping()) {
            (Self::Run, _) => document.run_refusal(),
            (Self::Stop, _) if !is_running => Some("nothing is under way"),
            (Self::Search, _) => document.search_refusal(),
            (Self::GoToWaitedFor, _) => document.waited_for_refusal(),
            (Self::SwapSides, _) if document.runs.kept.is_empty() => Some("there is no run to compare"),
            (Self::Save | Self::SaveAs | Self::Close, None) => Some("no scenario is open"),
            (Self::Save, Some(kept)) => {
                let is_kept = kept.home == Home::File && kept.elsewhere.is_none();
                (is_kept && !document.is_edited(document.front)).then_some("its file holds this text already")
            }
            _ => None,
        }
    }

    /// The actions of which a key was pressed; the keys are then taken, so that nothing else sees them. Keys
    /// without a modifier are left to whoever has the focus while `typing`.
    pub(super) fn pressed(context: &Context, typing: bool) -> Vec<Self> {
        let mut found = Vec::new();
        let taken = |action: Self, keys: &KeyboardShortcut| {
            let plain = keys.modifiers == Modifiers::NONE;
            let writes = plain && keys.logical_key != Key::F1;
            action != Self::Stop
                && !(typing && writes)
                && context.input_mut(|input| input.consume_shortcut(keys))
        };
        // A shortcut is heard with Shift held as well: the ones that ask for it come first.
        for with_shift in [true, false] {
            for action in Self::ALL {
                let keys = action.shortcuts().iter();
                let mut keys = keys.filter(|keys| keys.modifiers.shift == with_shift);
                if keys.any(|keys| taken(action, keys)) {
                    found.push(action);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline;

    #[test]
    fn no_two_actions_share_a_key_or_a_name_and_none_takes_a_key_of_the_timeline() {
        for (at, one) in Action::ALL.iter().enumerate() {
            for other in &Action::ALL[..at] {
                assert_ne!(one.name(), other.name());
                for keys in one.shortcuts() {
                    assert!(
                        !other.shortcuts().contains(keys),
                        "{} and {}",
                        one.name(),
                        other.name()
                    );
                }
            }
            for keys in one.shortcuts() {
                let plain = keys.modifiers == Modifiers::NONE;
                let name = keys.logical_key.symbol_or_name();
                let listed = timeline::KEYS
                    .iter()
                    .flat_map(|(keys, _)| keys.split([',', ';', ' ']));
                // Escape clears in the timeline first, and stops when there is nothing to clear.
                let is_free = *one == Action::Stop || !listed.into_iter().any(|key| key == name);
                assert!(!plain || is_free, "{} takes a key of the timeline", one.name());
            }
        }
    }

    #[test]
    fn every_action_says_what_it_does_in_a_sentence() {
        for action in Action::ALL {
            assert!(action.meaning().ends_with('.'), "{}", action.name());
            assert!(Menu::ALL.contains(&action.menu()), "{}", action.name());
        }
    }
}

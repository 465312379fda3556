//! What is kept of a scenario on disk, and whether it is as it is in the window. No file is touched here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery::files;

use super::Document;

/// A scenario to open: its text, and where that came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its file, which need not exist; what it refers to is found relative to it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Where the text came from.
    pub home: Home,
}

/// Where a text came from, which decides where it may be saved without a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// It ships with the program, and is never overwritten.
    Shipped,
    /// It is in no file yet.
    #[default]
    New,
    /// It is in its file.
    File,
}

/// How the file of a scenario differs from what was last read of it or written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It holds this text now.
    Changed(Arc<str>),
    /// It is not there any more, or cannot be read, and why.
    Gone(String),
}

/// What is kept of an open scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Tells it from every other scenario that was opened in this window.
    pub id: u64,
    /// Where its text came from.
    pub home: Home,
    /// The text as it was last read or written.
    pub original: Arc<str>,
    /// How its file differs from that, if it does.
    pub elsewhere: Option<Elsewhere>,
}

impl Scenario {
    /// A scenario that is in no file yet, and will be in `file`.
    #[must_use]
    pub fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            home: Home::New,
        }
    }

    /// The scenario in `file`, or the one of that path which ships with the program.
    ///
    /// # Errors
    /// Why it cannot be read, with the path last.
    pub fn read(file: &str) -> Result<Self, String> {
        let home = if Path::new(file).exists() {
            Home::File
        } else {
            Home::Shipped
        };
        let text = files::read_scenario(file)?;
        Ok(Self {
            file: file.to_owned(),
            text,
            home,
        })
    }

    /// The scenario that is opened when none is named. Be it read from disk or not, it is the program's and not
    /// the user's.
    ///
    /// # Errors
    /// Why it cannot be read, with the path last.
    pub fn shipped() -> Result<Self, String> {
        let shipped = Self::read(files::DEFAULT_SCENARIO)?;
        Ok(Self {
            home: Home::Shipped,
            ..shipped
        })
    }
}

impl Document {
    /// The scenario with `id` was read again from its file, which holds `text`.
    pub(crate) fn reload(&mut self, id: u64, text: &Arc<str>) {
        let Some(place) = self.place_of(id) else { return };
        self.written(id, None, text);
        if place == self.front {
            self.edit(Arc::clone(text));
            self.begin_anew();
        } else {
            self.shelf[place].revision = self.next_revision();
            self.shelf[place].text = Arc::clone(text);
        }
    }

    /// `text` of the scenario with `id` is in its file, which is `file` from now on if that is given.
    pub(crate) fn written(&mut self, id: u64, file: Option<&str>, text: &Arc<str>) {
        let Some(place) = self.place_of(id) else { return };
        let keeping = &mut self.shelf[place].keeping;
        keeping.home = Home::File;
        keeping.original = Arc::clone(text);
        keeping.elsewhere = None;
        let Some(file) = file.filter(|file| *file != self.file_of(place)) else {
            return;
        };
        self.shelf[place].file = file.to_owned();
        if place == self.front {
            self.file = file.to_owned();
            // What it refers to is now found elsewhere, and its faults name the new file.
            self.begin_anew();
        }
    }

    /// The text of the scenario with `id` stays, though its file holds another; it is saved over that.
    pub(crate) fn keep_mine(&mut self, id: u64) {
        let place = self.place_of(id);
        let kept = place
            .and_then(|place| self.shelf.get_mut(place))
            .map(|shelved| &mut shelved.keeping);
        if let Some(kept) = kept
            && let Some(Elsewhere::Changed(theirs)) = kept.elsewhere.take()
        {
            kept.original = theirs;
        }
    }

    /// What a look at the file of the scenario with `id` found, if `held` is still what it was compared with.
    pub(crate) fn looked(&mut self, id: u64, held: &Arc<str>, elsewhere: Option<Elsewhere>) {
        let place = self.place_of(id);
        let shelved = place.and_then(|place| self.shelf.get_mut(place));
        if let Some(shelved) = shelved.filter(|shelved| shelved.keeping.original == *held) {
            shelved.keeping.elsewhere = elsewhere;
        }
    }

    /// Whether the text of the scenario at `place` was edited and is in no file.
    #[must_use]
    pub fn is_edited(&self, place: usize) -> bool {
        let original = self.shelf.get(place).map(|shelved| &shelved.keeping.original);
        original.is_some_and(|original| {
            let text = self.text_of(place);
            !Arc::ptr_eq(text, original) && text != original
        })
    }

    /// Whether the text of the scenario at `place` is another than the one of `revision` that was run: an edit that was taken
    /// back is none.
    #[must_use]
    pub fn is_edited_since(&self, place: usize, revision: u64) -> bool {
        let now = match place == self.front {
            true => self.revision,
            false => self.shelf.get(place).map_or(0, |shelved| shelved.revision),
        };
        let ran = self.ran.iter().find(|(known, _)| *known == revision);
        now != revision && ran.is_none_or(|(_, text)| text != self.text_of(place))
    }

    /// Whether closing the scenario at `place` would lose something: edits, or a text that is in no file yet.
    #[must_use]
    pub fn is_at_stake(&self, place: usize) -> bool {
        let home = self.shelf.get(place).map(|shelved| shelved.keeping.home);
        home == Some(Home::New) || self.is_edited(place)
    }

    /// What is kept of the scenario in front, if there is one.
    #[must_use]
    pub fn keeping(&self) -> Option<&Keeping> {
        self.shelf.get(self.front).map(|shelved| &shelved.keeping)
    }

    /// `file` as seen from the folder of the scenario in front.
    #[must_use]
    pub fn beside(&self, file: &str) -> String {
        beside(&self.file, file)
    }
}

/// `file` as seen from the folder of `from`.
fn beside(from: &str, file: &str) -> String {
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    folder.join(file).display().to_string()
}

/// Whether `one` and `other` name the same file, as far as their names tell.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let absolute = |file: &str| std::path::absolute(file).unwrap_or_else(|_empty| PathBuf::from(file));
    one == other || absolute(one) == absolute(other)
}

/// The name of `file` in a tab or a title: without its folder and the ending that scenarios have.
#[must_use]
pub fn short_name(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.strip_suffix(".scenario.toml").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_told_apart_and_found_beside_each_other() {
        assert_eq!(short_name("a/b.scenario.toml"), "b");
        assert_eq!(short_name(r"c:\a\base.toml"), "base.toml");
        assert_eq!(beside("a/b.toml", "../c.toml"), "a/../c.toml");
        assert_eq!(beside("b.toml", "c.toml"), "c.toml");
        assert!(same("./a.toml", "a.toml") && same("", ""), "one file");
        assert!(!same("a.toml", "b.toml"), "two files");
    }

    #[test]
    fn what_ships_is_never_a_file_of_the_user() {
        assert_eq!(
            Scenario::shipped().map(|scenario| scenario.home),
            Ok(Home::Shipped)
        );
        assert!(Scenario::read("no/such.toml").is_err(), "there is none");
    }
}

//! Puts the sources together and checks the whole.

use std::{cell::RefCell, ffi::OsString, fs, io, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    mistake::{Mistake, Mistakes},
    node::{Content, Node},
    origin::Origin,
    path::Path,
    reader::{Fault, Problem, Reader, SECTION, Unknown},
    setting::{self, Secrets, Setting},
    suggestion, toml_text,
    variables::{self, Naming},
};

/// The sources of a configuration. Nothing is read before [`load`](Self::load).
#[derive(Debug)]
#[must_use = "nothing is read before `load`"]
pub struct Loader {
    file: Option<(PathBuf, bool)>,
    env_file: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(String, String, String)>,
    naming: Naming,
    secrets: Secrets,
}

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub config: T,
    settings: Vec<Setting>,
}

impl<T> Loaded<T> {
    /// Every setting in force with its value as text and where that comes from; secrets are hidden.
    #[must_use]
    pub fn sources(&self) -> &[Setting] {
        &self.settings
    }

    /// The same as a listing, one setting a line.
    #[must_use]
    pub fn listing(&self) -> String {
        setting::listing(&self.settings)
    }
}

impl Loader {
    /// No source yet but the defaults. `prefix` is that of the environment variables, such as `STREAMER_`.
    pub fn new(prefix: &str) -> Self {
        let naming =
            Naming { prefix: prefix.to_owned(), aliases: Default::default(), others: Default::default() };
        Self {
            file: None,
            env_file: None,
            variables: Vec::new(),
            flags: Vec::new(),
            naming,
            secrets: Secrets::default(),
        }
    }

    /// A TOML file that somebody named: it is a mistake if it is missing.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some((path.into(), true));
        self
    }

    /// The TOML file to read if there is one and no other was named.
    pub fn default_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file.get_or_insert_with(|| (path.into(), false));
        self
    }

    /// A file of variables to read if there is one; the process's environment is not changed by it.
    pub fn env_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.env_file = Some(path.into());
        self
    }

    /// The environment, as `std::env::vars_os()` gives it. `{PREFIX}ENGINE__QUEUE_DEPTH_MAX` sets
    /// `engine.queue_depth_max`; an empty variable counts as not set; a list is `a,b` or `["a", "b"]`.
    pub fn variables(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// A well-known variable that stands for a setting: `("JWT_PUBLIC_KEY", "auth.public_key")`.
    pub fn alias(mut self, variable: &str, setting: &str) -> Self {
        self.naming.aliases.insert(variable.to_owned(), setting.to_owned());
        self
    }

    /// A variable that has the prefix and is no setting, such as the one that names the file.
    pub fn not_a_setting(mut self, variable: &str) -> Self {
        self.naming.others.insert(variable.to_owned());
        self
    }

    /// A setting given on the command line: `("--port", "listen.port", "8080")`.
    pub fn flag(mut self, flag: &str, setting: &str, value: impl Into<String>) -> Self {
        self.flags.push((flag.to_owned(), setting.to_owned(), value.into()));
        self
    }

    /// A setting or section whose values are never shown, beside those whose names end in `key`, `token`,
    /// `secret` or `password`.
    pub fn secret(mut self, setting: &str) -> Self {
        self.secrets.named.push(setting.to_owned());
        self
    }

    /// Reads every source, reads the settings out of them, and lets `check` add what only the whole can show.
    /// All mistakes come at once: the rules see defaults in place of what could not be read, and what they
    /// say of a setting that already has a mistake is dropped.
    pub fn load<T>(self, check: impl FnOnce(&T, &mut Mistakes)) -> Result<Loaded<T>, Mistakes>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        let mut mistakes = Mistakes::default();
        let defaults = match serde_json::to_value(T::default()) {
            Ok(value) => Node::of_defaults(value),
            Err(e) => {
                let problem = format!("the defaults cannot be written down: {e}");
                mistakes.add(Mistake::of_source(Origin::Default, problem));
                return Err(mistakes);
            }
        };
        let given = self.read_sources(&mut mistakes);
        let mut reading = Reading { loader: &self, defaults: &defaults, given: given.clone(), mistakes };
        let config: Option<T> = reading.read();
        let mut mistakes = reading.mistakes;
        let Some(config) = config else { return Err(mistakes) };

        let mut broken_rules = Mistakes::default();
        check(&config, &mut broken_rules);
        for mistake in broken_rules {
            let name = mistake.setting.clone().unwrap_or_default();
            if !mistakes.names(&name) {
                let origin = Path::parse(&name).map(|path| given.origin_at(path.segments()));
                mistakes.add(Mistake { origin: mistake.origin.or(origin), ..mistake });
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let in_force = serde_json::to_value(&config).unwrap_or_default();
        let settings = setting::in_force(&in_force, &given, &self.secrets);
        Ok(Loaded { config, settings })
    }

    /// What was given, the stronger over the weaker.
    fn read_sources(&self, mistakes: &mut Mistakes) -> Node {
        let mut found = Vec::new();
        let file = self.read_file(&mut found);
        let env_file = self.env_file.as_deref().map(|path| variables::of_file(path, &mut found));
        let process = variables::of_process(self.variables.clone(), &self.naming, &mut found);
        let mut given = file
            .overlay(variables::tree(env_file.unwrap_or_default(), &self.naming))
            .overlay(variables::tree(process, &self.naming));
        for (flag, setting, value) in &self.flags {
            let origin = Origin::Flag(flag.clone());
            match Path::parse(setting) {
                Some(path) => {
                    let leaf = Node::new(origin, Content::Text(value.clone()));
                    given = given.overlay(Node::at(&path, leaf));
                }
                None => found.push(Mistake::of_source(
                    origin,
                    format!("{setting:?} is not a setting's name; one looks like engine.queue_depth_max"),
                )),
            }
        }
        for mistake in found {
            mistakes.add(mistake);
        }
        given
    }

    fn read_file(&self, mistakes: &mut Vec<Mistake>) -> Node {
        let Some((path, named)) = &self.file else { return Node::empty() };
        let problem = match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                let (tree, errors) = toml_text::read(&text, path);
                mistakes.extend(errors);
                return tree;
            }
            Ok(Err(_)) => "is not UTF-8 text".to_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return Node::empty(),
            Err(e) => format!("cannot be read: {e}; correct its path or leave it out"),
        };
        mistakes.push(Mistake {
            setting: None,
            origin: None,
            problem: format!("{}: {problem}", path.display()),
        });
        Node::empty()
    }
}

/// Reads the settings again and again, each time without what was found wrong the time before.
struct Reading<'a> {
    loader: &'a Loader,
    defaults: &'a Node,
    given: Node,
    mistakes: Mistakes,
}

impl Reading<'_> {
    /// None if not even the defaults can be read.
    fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            let tree = self.defaults.clone().overlay(self.given.clone());
            let unknown = RefCell::default();
            let outcome = T::deserialize(Reader::new(&tree, &unknown));
            for unknown in unknown.into_inner() {
                self.note_unknown(&unknown);
            }
            match outcome {
                Ok(config) => return Some(config),
                Err(fault) => {
                    self.note_fault(&fault, &tree);
                    if !self.mend(&fault) {
                        return None;
                    }
                }
            }
        }
    }

    fn note(&mut self, path: &Path, origin: Origin, problem: String) {
        let name = path.to_string();
        // Around a syntax error the rest of the line is guesswork.
        let guesswork =
            self.mistakes.iter().any(|m| m.setting.is_none() && m.origin.as_ref() == Some(&origin));
        if !self.mistakes.names(&name) && !guesswork {
            self.mistakes.add(Mistake::of_setting(name, origin, problem));
        }
    }

    fn note_unknown(&mut self, unknown: &Unknown) {
        // What an enum's other variant has by default is not somebody's mistake.
        if unknown.origin == Origin::Default {
            return;
        }
        let known = self.defaults.places();
        let meant = suggestion::setting(&unknown.path, unknown.beside, &known);
        let problem = match meant {
            Some(meant) if unknown.origin.variable().is_some() => {
                let variable = meant.variable(&self.loader.naming.prefix);
                format!("there is no such setting; did you mean {variable}?")
            }
            Some(meant) => format!("there is no such setting; did you mean {meant}?"),
            None => "there is no such setting; remove it".to_owned(),
        };
        self.note(&unknown.path, unknown.origin.clone(), problem);
    }

    fn note_fault(&mut self, fault: &Fault, tree: &Node) {
        let mut path = fault.path.clone().unwrap_or_default();
        let origin = tree.origin_at(path.segments());
        let here = tree.nearest(path.segments());
        let secret = self.loader.secrets.contain_any_of(&path, here);
        let found = Some(here).filter(|_| !secret).map(|here| match &fault.problem {
            // A section as text that cannot be read may hold any of its settings, secrets among them.
            Problem::Expected(expected) if expected == SECTION && text(here).is_some() => {
                "this text".to_owned()
            }
            _ => describe(here),
        });
        let not = found.as_ref().map(|found| format!(", not {found}")).unwrap_or_default();
        let problem = match &fault.problem {
            Problem::Missing(field) => {
                path = path.key(field);
                "is required and missing".to_owned()
            }
            Problem::Expected(expected) => format!("{expected} is expected{not}"),
            Problem::Word(words) => {
                let given = text(here).unwrap_or_default();
                let meant = suggestion::nearest(given, words.iter().copied()).filter(|_| !secret);
                let hint = meant.map(|word| format!("; did you mean {word}?")).unwrap_or_default();
                format!("one of {} is expected{not}{hint}", words.join(", "))
            }
            Problem::Other(_) if secret => "is not valid (a secret's value is not shown)".to_owned(),
            Problem::Other(message) => match found {
                Some(found) => format!("{message} (it is {found})"),
                None => message.clone(),
            },
        };
        self.note(&path, origin, problem);
    }

    /// Takes out what was wrong, or the nearest thing around it. False if nothing is left to take out.
    fn mend(&mut self, fault: &Fault) -> bool {
        let path = fault.path.clone().unwrap_or_default();
        if let Problem::Missing(field) = fault.problem
            && self.given.fill_in(path.segments(), field)
        {
            return true;
        }
        let mut here = path.segments();
        while let [up @ .., _] = here {
            if self.given.take_out(here) {
                return true;
            }
            here = up;
        }
        false
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.content {
        Content::String(text) | Content::Text(text) => Some(text),
        _ => None,
    }
}

/// What stands there, short enough for a message.
fn describe(node: &Node) -> String {
    const CHARS_MAX: usize = 60;
    match &node.content {
        Content::Table(_) => "a section".to_owned(),
        Content::List(_) => "a list".to_owned(),
        Content::Null | Content::Placeholder => "nothing".to_owned(),
        Content::Bool(value) => value.to_string(),
        Content::Integer(number) => number.to_string(),
        Content::Float(number) => number.to_string(),
        Content::String(text) | Content::Text(text) if text.chars().count() > CHARS_MAX => {
            format!("{:?}...", text.chars().take(CHARS_MAX).collect::<String>())
        }
        Content::String(text) | Content::Text(text) => format!("{text:?}"),
    }
}

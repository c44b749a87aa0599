//! Rules as configured, and as checked and compiled.

use std::sync::{Arc, OnceLock};

use golang::regexp::Regexp;
use golang::strconv::quote;
use model::names::ValidationScheme;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Action;

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

/// A rule of `relabel_configs`, with upstream's defaults filled in. Reading it checks the action's name
/// and the expression; what the fields have to do with each other is for [`Config::compile`], which
/// knows what names are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub source_labels: Option<Vec<String>>,
    pub separator: String,
    /// `None` is the default, which some actions tell from the same expression written out.
    pub regex: Option<String>,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    /// `None` for an action that is empty.
    pub action: Option<Action>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            source_labels: None,
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: Some(Action::Replace),
        }
    }
}

/// Why a rule makes no sense. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("relabel action cannot be empty")]
    NoAction,
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    NoModulus,
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(Action),
    #[error("{} is invalid 'target_label' for {action} action", quote(.label))]
    Target { label: String, action: Action },
    #[error("'replacement' can not be set for {0} action")]
    ReplacementSet(Action),
    #[error("{} is invalid 'replacement' for {action} action", quote(.replacement))]
    Replacement { replacement: String, action: Action },
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(Action),
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(Action),
    #[error(transparent)]
    Regex(#[from] golang::regexp::Error),
}

/// A rule that has been checked, ready for use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rule(Arc<Compiled>);

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) config: Config,
    pub(crate) action: Action,
    pub(crate) regex: Regexp,
    pub(crate) scheme: ValidationScheme,
    /// Neither target nor replacement refer to groups.
    pub(crate) plain: bool,
}

impl Rule {
    /// The rule as configured.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn compiled(&self) -> &Compiled {
        &self.0
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.0.config == other.0.config && self.0.scheme == other.0.scheme
    }
}

impl Eq for Rule {}

/// Compiles a list of rules.
///
/// # Errors
/// The first rule's [`Error`].
pub fn compile_all(configs: &[Config], scheme: ValidationScheme) -> Result<Vec<Rule>, Error> {
    configs
        .iter()
        .map(|config| config.compile(scheme))
        .collect()
}

impl Config {
    /// Checks the rule and makes it ready for use.
    ///
    /// # Errors
    /// [`Error`], in upstream's order.
    pub fn compile(&self, scheme: ValidationScheme) -> Result<Rule, Error> {
        let action = self.check(scheme)?;
        let regex = Regexp::anchored(self.regex.as_deref().unwrap_or(DEFAULT_REGEX))?;
        let plain = !has_variable(&self.target_label) && !has_variable(&self.replacement);
        Ok(Rule(Arc::new(Compiled {
            config: self.clone(),
            action,
            regex,
            scheme,
            plain,
        })))
    }

    fn check(&self, scheme: ValidationScheme) -> Result<Action, Error> {
        use Action::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace,
            Uppercase,
        };
        let action = self.action.ok_or(Error::NoAction)?;
        let target = &self.target_label;
        let bad_target = || Error::Target {
            label: target.clone(),
            action,
        };
        if self.modulus == 0 && action == HashMod {
            return Err(Error::NoModulus);
        }
        let has_target = matches!(
            action,
            Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual
        );
        if has_target && target.is_empty() {
            return Err(Error::NoTarget(action));
        }
        if action == Replace && !has_variable(target) && !scheme.is_label_name(target) {
            return Err(bad_target());
        }
        if action == Replace && has_variable(target) && !is_name_template(target, scheme) {
            return Err(bad_target());
        }
        let takes_whole = matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual);
        if takes_whole && !scheme.is_label_name(target) {
            return Err(bad_target());
        }
        if takes_whole && self.replacement != DEFAULT_REPLACEMENT {
            return Err(Error::ReplacementSet(action));
        }
        if action == LabelMap && !is_name_template(&self.replacement, scheme) {
            return Err(Error::Replacement {
                replacement: self.replacement.clone(),
                action,
            });
        }
        if action == HashMod && !scheme.is_label_name(target) {
            return Err(bad_target());
        }
        let others_set = self.modulus != 0
            || self.separator != DEFAULT_SEPARATOR
            || self.replacement != DEFAULT_REPLACEMENT;
        if matches!(action, DropEqual | KeepEqual) && (self.regex.is_some() || others_set) {
            return Err(Error::OnlySourceAndTarget(action));
        }
        if matches!(action, LabelDrop | LabelKeep)
            && (self.source_labels.is_some() || !target.is_empty() || others_set)
        {
            return Err(Error::OnlyRegex(action));
        }
        Ok(action)
    }

    pub(crate) fn sources(&self) -> &[String] {
        self.source_labels.as_deref().unwrap_or_default()
    }
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

/// Whether a template can make a label name. Any UTF-8 text can be one, with its `$` or without.
fn is_name_template(template: &str, scheme: ValidationScheme) -> bool {
    static LEGACY: OnceLock<Option<Regexp>> = OnceLock::new();
    match scheme {
        ValidationScheme::Utf8 => scheme.is_label_name(template),
        ValidationScheme::Legacy => LEGACY
            .get_or_init(|| Regexp::new(r"^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$").ok())
            .as_ref()
            .is_some_and(|regex| regex.is_match(template)),
    }
}

/// As written: what is absent gets upstream's default, what is `null` the zero value.
#[derive(serde::Deserialize)]
#[serde(rename = "relabel.plain", default)]
struct Plain {
    source_labels: Option<Vec<LabelName>>,
    separator: String,
    regex: Written,
    modulus: u64,
    target_label: String,
    replacement: String,
    action: Option<Action>,
}

impl Default for Plain {
    fn default() -> Plain {
        Plain {
            source_labels: None,
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: Written(None),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: Some(Action::Replace),
        }
    }
}

/// An expression that was written, if only as `null`, which is the empty one.
struct Written(Option<String>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Written, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        Regexp::anchored(&text).map_err(serde::de::Error::custom)?;
        Ok(Written(Some(text)))
    }
}

struct LabelName(String);

impl<'de> Deserialize<'de> for LabelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LabelName, D::Error> {
        let name = String::deserialize(deserializer)?;
        if !ValidationScheme::Utf8.is_label_name(&name) {
            let text = format!("{} is not a valid label name", quote(&name));
            return Err(serde::de::Error::custom(text));
        }
        Ok(LabelName(name))
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Config, D::Error> {
        let plain = Plain::deserialize(deserializer)?;
        let names = |names: Vec<LabelName>| names.into_iter().map(|name| name.0).collect();
        Ok(Config {
            source_labels: plain.source_labels.map(names),
            separator: plain.separator,
            regex: plain.regex.0,
            modulus: plain.modulus,
            target_label: plain.target_label,
            replacement: plain.replacement,
            action: plain.action,
        })
    }
}

/// As upstream prints its configuration: the defaults too, empty fields not.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.sources().is_empty() {
            map.serialize_entry("source_labels", self.sources())?;
        }
        if !self.separator.is_empty() {
            map.serialize_entry("separator", &self.separator)?;
        }
        if let Some(regex) = self.regex.as_ref() {
            map.serialize_entry("regex", regex)?;
        }
        if self.modulus != 0 {
            map.serialize_entry("modulus", &self.modulus)?;
        }
        if !self.target_label.is_empty() {
            map.serialize_entry("target_label", &self.target_label)?;
        }
        if !self.replacement.is_empty() {
            map.serialize_entry("replacement", &self.replacement)?;
        }
        if let Some(action) = self.action {
            map.serialize_entry("action", &action)?;
        }
        map.end()
    }
}

/// A rule as `/api/v1/targets/relabel_steps` shows it.
#[derive(Clone, Copy, Debug)]
pub struct JsonConfig<'a>(pub &'a Config);

impl Serialize for JsonConfig<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !config.sources().is_empty() {
            map.serialize_entry("source_labels", config.sources())?;
        }
        if !config.separator.is_empty() {
            map.serialize_entry("separator", &config.separator)?;
        }
        map.serialize_entry("regex", config.regex.as_deref().unwrap_or(DEFAULT_REGEX))?;
        if config.modulus != 0 {
            map.serialize_entry("modulus", &config.modulus)?;
        }
        if !config.target_label.is_empty() {
            map.serialize_entry("target_label", &config.target_label)?;
        }
        if !config.replacement.is_empty() {
            map.serialize_entry("replacement", &config.replacement)?;
        }
        if let Some(action) = config.action {
            map.serialize_entry("action", &action)?;
        }
        map.end()
    }
}

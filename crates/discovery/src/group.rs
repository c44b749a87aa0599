//! Target groups, and their two notations (prometheus/prometheus `discovery/targetgroup`).

use std::collections::BTreeMap;

use model::Labels;
use model::names::ValidationScheme;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Targets that share labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Names the group among those of its mechanism: a newer group of the same name replaces it.
    pub source: String,
    /// A label set for each target, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels of all of them.
    pub labels: Labels,
}

/// A group as `static_configs`, target files and HTTP discovery spell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSection {
    /// Addresses.
    pub targets: Vec<String>,
    /// Empty ones are shown, though they are no labels of the targets.
    pub labels: BTreeMap<String, String>,
}

impl GroupSection {
    /// The group itself, with more labels.
    pub fn into_group(self, source: String, more: &[(&str, &str)]) -> TargetGroup {
        let address = |address: String| Labels::from([("__address__", address.as_str())]);
        let own = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        TargetGroup {
            source,
            targets: self.targets.into_iter().map(address).collect(),
            labels: Labels::from_pairs(own.chain(more.iter().copied())),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(
    default,
    deny_unknown_fields,
    rename = "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }"
)]
#[derive(Default)]
struct Written {
    targets: Vec<String>,
    labels: Option<BTreeMap<String, Value>>,
}

/// Label values in YAML may be written as numbers; a missing one is the empty text.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Value(Option<String>);

impl<'de> Deserialize<'de> for GroupSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GroupSection, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let labels = written.labels.unwrap_or_default();
        for name in labels.keys() {
            if !ValidationScheme::Utf8.is_label_name(name) {
                let name = golang::strconv::quote(name);
                return Err(D::Error::custom(format!(
                    "{name} is not a valid label name"
                )));
            }
        }
        let pairs = labels
            .into_iter()
            .map(|(name, Value(value))| (name, value.unwrap_or_default()));
        Ok(GroupSection {
            targets: written.targets,
            labels: pairs.collect(),
        })
    }
}

impl Serialize for GroupSection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("targets", &self.targets)?;
        if !self.labels.is_empty() {
            map.serialize_entry("labels", &self.labels)?;
        }
        map.end()
    }
}

/// Reads a list of groups in JSON.
///
/// # Errors
/// What is wrong with it; then none of it holds.
pub fn parse_groups_json(text: &[u8]) -> Result<Vec<GroupSection>, String> {
    let groups: Option<Vec<Option<GroupSection>>> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    all_there(groups.unwrap_or_default())
}

/// Reads a list of groups in YAML.
///
/// # Errors
/// As [`parse_groups_json`].
pub fn parse_groups_yaml(text: &str) -> Result<Vec<GroupSection>, String> {
    let groups: Option<Vec<Option<GroupSection>>> =
        yaml_config::from_str(text).map_err(|error| error.to_string())?;
    all_there(groups.unwrap_or_default())
}

fn all_there(groups: Vec<Option<GroupSection>>) -> Result<Vec<GroupSection>, String> {
    let there = |(i, group): (usize, Option<GroupSection>)| {
        group.ok_or_else(|| format!("nil target group item found (index {i})"))
    };
    groups.into_iter().enumerate().map(there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations() {
        let expected = vec![
            GroupSection {
                targets: vec!["a:1".to_owned(), "b:2".to_owned()],
                labels: BTreeMap::from([("x".to_owned(), "1".to_owned())]),
            },
            GroupSection::default(),
        ];
        let yaml = "- targets: ['a:1', 'b:2']\n  labels: {x: 1}\n- targets: []\n";
        assert_eq!(parse_groups_yaml(yaml), Ok(expected.clone()));
        let json = br#"[{"targets":["a:1","b:2"],"labels":{"x":"1"}},{"targets":[]}]"#;
        assert_eq!(parse_groups_json(json), Ok(expected));
        assert_eq!(parse_groups_json(b"[]"), Ok(Vec::new()));
        assert_eq!(parse_groups_json(b"null"), Ok(Vec::new()));
    }

    #[test]
    fn refuses_what_is_no_list_of_groups() {
        let nil = Err("nil target group item found (index 1)".to_owned());
        assert_eq!(parse_groups_json(br#"[{"targets":[]},null]"#), nil);
        assert_eq!(parse_groups_yaml("- targets: []\n- null\n"), nil);
        for json in [
            "{}",
            r#"[{"target":[]}]"#,
            r#"[{"targets":"a"}]"#,
            r#"[{"labels":{"":"x"}}]"#,
            "[",
            "",
        ] {
            assert!(parse_groups_json(json.as_bytes()).is_err(), "{json}");
        }
        for yaml in [
            "a: b",
            "- target: []",
            "- targets: a",
            "- labels: {'': x}",
            "- [",
        ] {
            assert!(parse_groups_yaml(yaml).is_err(), "{yaml}");
        }
    }
}

//! The labels every series of a container has: `id`, `name`, `image`, `container_label_*`,
//! `container_env_*`; over all containers the union of their names, empty where a container has none.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use crate::info::Container;

/// Which container labels become labels of the series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelPolicy {
    /// `-store_container_labels=true`.
    All,
    /// `-whitelisted_container_labels`.
    Only(HashSet<String>),
}

/// The union of label names over a page.
#[derive(Debug)]
pub struct LabelNames {
    names: BTreeSet<String>,
}

impl LabelNames {
    /// The names of these containers' labels.
    pub fn of<'c>(
        containers: impl IntoIterator<Item = &'c Container>,
        policy: &LabelPolicy,
    ) -> LabelNames {
        let mut names = BTreeSet::new();
        for container in containers {
            each(container, policy, |name, _| {
                if !names.contains(&*name) {
                    names.insert(name.into_owned());
                }
            });
        }
        LabelNames { names }
    }

    /// The labels of one container, sorted by name. Of two labels whose names become the same, the
    /// first that says something counts.
    pub fn values<'a>(
        &'a self,
        container: &'a Container,
        policy: &LabelPolicy,
    ) -> Vec<(&'a str, &'a str)> {
        let mut labels: Vec<(&str, &str)> = self.names.iter().map(|n| (n.as_str(), "")).collect();
        each(container, policy, |name, value| {
            let at = labels.binary_search_by(|(known, _)| (*known).cmp(&*name));
            if let Ok(at) = at
                && labels[at].1.is_empty()
            {
                labels[at].1 = value;
            }
        });
        labels
    }
}

fn each<'c>(
    container: &'c Container,
    policy: &LabelPolicy,
    mut label: impl FnMut(Cow<'static, str>, &'c str),
) {
    label("id".into(), &container.name);
    if let Some(alias) = container.aliases.first() {
        label("name".into(), alias);
    }
    if !container.spec.image.is_empty() {
        label("image".into(), &container.spec.image);
    }
    for (name, value) in &container.spec.labels {
        let wanted = match policy {
            LabelPolicy::All => true,
            LabelPolicy::Only(names) => names.contains(name),
        };
        if wanted {
            label(sanitized("container_label_", name).into(), value);
        }
    }
    for (name, value) in &container.spec.envs {
        label(sanitized("container_env_", name).into(), value);
    }
}

/// A label name: every character upstream does not take becomes `_`.
pub fn sanitized(prefix: &str, name: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + name.len());
    out.push_str(prefix);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    out.extend(name.chars().map(plain));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, labels: &[(&str, &str)]) -> Container {
        let mut container = Container {
            name: id.to_owned(),
            ..Container::default()
        };
        container.spec.labels = labels
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        container
    }

    #[test]
    fn the_union_of_names_in_order() {
        let both = [
            container("/a", &[("x.y", "1"), ("ключ", "2")]),
            container("/b", &[("x-y", "3"), ("z", "4")]),
        ];
        let names = LabelNames::of(&both, &LabelPolicy::All);
        let all = LabelPolicy::All;
        assert_eq!(
            names.values(&both[0], &all),
            [
                ("container_label_____", "2"),
                ("container_label_x_y", "1"),
                ("container_label_z", ""),
                ("id", "/a"),
            ]
        );
        assert_eq!(names.values(&both[1], &all)[1].1, "3");
    }

    #[test]
    fn a_whitelist() {
        let one = [container("/a", &[("x", "1"), ("y", "2")])];
        let policy = LabelPolicy::Only(HashSet::from(["y".to_owned()]));
        let names = LabelNames::of(&one, &policy);
        assert_eq!(
            names.values(&one[0], &policy),
            [("container_label_y", "2"), ("id", "/a")]
        );
    }
}

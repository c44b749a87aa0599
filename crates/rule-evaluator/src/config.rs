//! What rule-evaluator takes from `prometheus.yml` and the rule files it names.

use std::path::Path;

use model::Labels;
use prometheus_config::{Config, LoadOptions};
use relabel::Rule;
use rules::{CheckOptions, Group, GroupDefaults, RuleFile};

use crate::receivers::name_scheme;

/// A configuration that has been read and checked as a whole.
pub struct Loaded {
    pub config: Config,
    pub groups: Vec<Group>,
    pub external_labels: Labels,
    pub alert_relabel: Vec<Rule>,
}

/// Reads the configuration and its rule files.
///
/// # Errors
/// Everything that is wrong with the first file that has something wrong.
pub fn load(path: &Path, features: promql::Features) -> Result<Loaded, String> {
    let config = Config::load(path, &LoadOptions::default()).map_err(|e| e.to_string())?;
    let sets = config.alerting.alertmanagers.iter();
    let refused: Vec<&str> = sets
        .flat_map(|set| {
            let sigv4 = set.section.sigv4.is_some().then_some("sigv4");
            set.discovery.refused().into_iter().chain(sigv4)
        })
        .collect();
    if !refused.is_empty() {
        return Err(format!(
            "{}: alerting: not available in this version of rule-evaluator: {}",
            path.display(),
            refused.join(", ")
        ));
    }
    let scheme = name_scheme(&config);
    let options = CheckOptions {
        names: scheme,
        features,
    };
    let defaults = GroupDefaults {
        interval_ms: config.global.evaluation_interval.as_ms(),
        query_offset_ms: config.global.rule_query_offset.as_ms(),
    };
    let mut groups = Vec::new();
    for file in config.rule_file_paths().map_err(|e| e.to_string())? {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{shown}: {e}"))?;
        let parsed = RuleFile::parse(&text, &options)
            .map_err(|errors| format!("{shown}: {}", errors.join("\n")))?;
        for spec in &parsed.groups {
            groups.push(
                Group::build(spec, &shown, defaults, features)
                    .map_err(|e| format!("{shown}: group {}: {e}", spec.name))?,
            );
        }
    }
    let rules: Vec<relabel::Config> = config
        .alerting
        .alert_relabel_configs
        .iter()
        .flatten()
        .cloned()
        .collect();
    let alert_relabel = relabel::compile_all(&rules, scheme).map_err(|e| e.to_string())?;
    Ok(Loaded {
        external_labels: config.global.external_labels(),
        config,
        groups,
        alert_relabel,
    })
}

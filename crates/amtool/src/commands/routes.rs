//! `config routes show` and `config routes test`.

use std::path::Path;
use std::process::ExitCode;

use alert_router::config::Config;
use alert_router::matcher::{Mode, all_match, list_to_string};
use alert_router::route::{Route, RouteIndex, Tree};
use model::Labels;

use super::{check_config, config, label_set};
use crate::cli::Invocation;

/// A node of a drawn tree.
struct Branch {
    text: String,
    below: Vec<Branch>,
}

async fn tree(invocation: &Invocation, mode: Mode) -> Result<Tree, String> {
    let config = match invocation.text("config.file") {
        "" => {
            let status = config::status(invocation).await?;
            let text = &status.config.original;
            Config::parse(text, mode, Path::new("")).map_err(|e| e.message().to_owned())?
        }
        file => {
            if invocation.is_given("alertmanager.url") {
                eprintln!("Warning: --config.file flag overrides the --alertmanager.url.");
            }
            check_config::read(Path::new(file), mode)?
        }
    };
    Ok(Tree::new(&config.route))
}

pub async fn show(invocation: &Invocation, mode: Mode) -> Result<(), String> {
    let tree = tree(invocation, mode).await?;
    let whole = whole(&tree, tree.root());
    println!("Routing tree:\n{}", draw(&whole));
    Ok(())
}

pub async fn test(invocation: &Invocation, mode: Mode) -> Result<ExitCode, String> {
    let tree = tree(invocation, mode).await?;
    let labels = label_set(&invocation.words, mode, "Labels")
        .map(Labels::from_pairs)
        .map_err(|e| match e.starts_with("Labels must") {
            true => e,
            false => format!("Failed to parse labels: {e}"),
        })?;
    if invocation.is_on("tree") {
        let matching = matching(&tree, tree.root(), &labels);
        println!("Matching routes:\n{}\n", draw(&matching));
    }
    let receivers: Vec<&str> = tree
        .matching(&labels)
        .into_iter()
        .map(|index| &*tree.get(index).options.receiver)
        .collect();
    let receivers = receivers.join(",");
    println!("{receivers}");
    let expected = invocation.text("verify.receivers");
    if !expected.is_empty() && expected != receivers {
        println!("WARNING: Expected receivers did not match resolved receivers.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn text(route: &Route, with_continue: bool, with_receiver: bool) -> String {
    let mut text = if route.matchers.is_empty() {
        "default-route".to_owned()
    } else {
        list_to_string(&route.matchers)
    };
    if with_continue && route.goes_on {
        text.push_str("  continue: true");
    }
    if with_receiver {
        text.push_str("  receiver: ");
        text.push_str(&route.options.receiver);
    }
    text
}

fn whole(tree: &Tree, index: RouteIndex) -> Branch {
    Branch {
        text: text(tree.get(index), true, true),
        below: tree.children(index).map(|c| whole(tree, c)).collect(),
    }
}

fn matching(tree: &Tree, index: RouteIndex, labels: &Labels) -> Branch {
    let mut below = Vec::new();
    for child in tree.children(index) {
        let route = tree.get(child);
        if all_match(&route.matchers, labels) {
            below.push(matching(tree, child, labels));
            if !route.goes_on {
                break;
            }
        }
    }
    Branch {
        text: text(tree.get(index), false, below.is_empty()),
        below,
    }
}

/// A tree with a dot for its root, as upstream draws it.
fn draw(root: &Branch) -> String {
    let mut out = ".\n".to_owned();
    branches(std::slice::from_ref(root), "", &mut out);
    out
}

fn branches(branches_: &[Branch], indent: &str, out: &mut String) {
    for (i, branch) in branches_.iter().enumerate() {
        let last = i + 1 == branches_.len();
        let (edge, next) = if last {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        out.push_str(&format!("{indent}{edge}{}\n", branch.text));
        branches(&branch.below, &format!("{indent}{next}"), out);
    }
}

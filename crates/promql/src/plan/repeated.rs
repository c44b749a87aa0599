//! Finds subtrees that occur more than once, so that they are evaluated once.

use hashbrown::HashMap;

use crate::ast::Expr;

/// Subtrees of a plan of which there is another alike: a number for all that are alike, by address of
/// the node. Good as long as the plan stays where it is.
#[derive(Debug, Default)]
pub(crate) struct Repeated(HashMap<usize, u32>);

impl Repeated {
    /// The subtrees of `plan` that select series and occur again.
    pub(crate) fn of(plan: &Expr) -> Repeated {
        let mut selectors = 0;
        count_selectors(plan, &mut selectors);
        let mut found = Repeated::default();
        if selectors < 2 {
            return found;
        }
        let mut by_text: HashMap<String, Vec<usize>> = HashMap::new();
        collect(plan, &mut by_text);
        for (number, nodes) in by_text.into_values().filter(|n| n.len() > 1).enumerate() {
            for node in nodes {
                found.0.insert(node, number as u32);
            }
        }
        found
    }

    /// The number of a node that occurs again.
    #[inline]
    pub(crate) fn number(&self, expr: &Expr) -> Option<u32> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&address(expr)).copied()
    }
}

fn address(expr: &Expr) -> usize {
    std::ptr::from_ref(expr).addr()
}

fn count_selectors(expr: &Expr, count: &mut usize) {
    match expr {
        Expr::Vector(_) | Expr::Matrix(_) => *count += 1,
        _ => expr.for_each_child(|child| count_selectors(child, count)),
    }
}

/// Enters the nodes that can be evaluated on their own.
fn collect(expr: &Expr, by_text: &mut HashMap<String, Vec<usize>>) {
    if matches!(
        expr,
        Expr::Vector(_) | Expr::Call(_) | Expr::Aggregate(_) | Expr::Binary(_)
    ) {
        let mut selectors = 0;
        count_selectors(expr, &mut selectors);
        if selectors > 0 {
            by_text
                .entry(expr.to_string())
                .or_default()
                .push(address(expr));
        }
    }
    expr.for_each_child(|child| collect(child, by_text));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(query: &str) -> usize {
        let expr = crate::parse_expr(query, crate::Features::default()).unwrap();
        Repeated::of(&expr).0.len()
    }

    #[test]
    fn finds_what_is_alike() {
        for (query, want) in [
            ("a", 0),
            ("a + b", 0),
            ("a + a", 2),
            ("rate(a[1m]) + rate(a[2m])", 0),
            ("rate(a[1m]) + rate(a[1m])", 2),
            // The sums and what is in them.
            ("sum(a) / (sum(a) + sum(b))", 4),
            ("a offset 1m - a", 0),
            ("time() + time()", 0),
        ] {
            assert_eq!(repeated(query), want, "{query}");
        }
    }
}

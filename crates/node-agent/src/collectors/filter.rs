//! Which devices a collector shows: `--collector.x.device-{include,exclude}`.

use golang::regexp::Regexp;
use service::Args;

/// Compiles the expression of a flag; `None` if it is empty.
pub fn pattern(args: &Args, flag: &str) -> Result<Option<Regexp>, String> {
    match args.get(flag).unwrap_or_default() {
        "" => Ok(None),
        // Compose files write `$` as `$$`, and some pass it on that way.
        text => Regexp::new(&text.replace("$$", "$"))
            .map(Some)
            .map_err(|e| format!("--{flag}: {e}")),
    }
}

/// An include and an exclude expression; either may be absent.
#[derive(Debug, Default)]
pub struct Filter {
    exclude: Option<Regexp>,
    include: Option<Regexp>,
}

impl Filter {
    /// From a pair of flags, of which one may be given.
    pub fn exclusive(args: &Args, exclude: &str, include: &str) -> Result<Filter, String> {
        let filter = Filter::both(args, exclude, include)?;
        if filter.exclude.is_some() && filter.include.is_some() {
            let last = |flag: &str| flag.rsplit('.').next().unwrap_or_default().to_owned();
            return Err(format!(
                "{} & {} are mutually exclusive",
                last(exclude),
                last(include)
            ));
        }
        Ok(filter)
    }

    /// From a pair of flags that both apply.
    pub fn both(args: &Args, exclude: &str, include: &str) -> Result<Filter, String> {
        Ok(Filter {
            exclude: pattern(args, exclude)?,
            include: pattern(args, include)?,
        })
    }

    /// From a pair of flags whose exclude flag has a default that a given include flag switches off.
    pub fn include_over_default(
        args: &Args,
        exclude: &str,
        include: &str,
    ) -> Result<Filter, String> {
        let included = pattern(args, include)?;
        if included.is_none() {
            return Filter::both(args, exclude, include);
        }
        if args.is_set(exclude) && !args.str(exclude).is_empty() {
            return Err(format!(
                "--{exclude} and --{include} are mutually exclusive"
            ));
        }
        Ok(Filter {
            exclude: None,
            include: included,
        })
    }

    /// Whether the name is left out.
    pub fn ignored(&self, name: &str) -> bool {
        self.exclude.as_ref().is_some_and(|e| e.is_match(name))
            || self.include.as_ref().is_some_and(|i| !i.is_match(name))
    }
}

/// An expression that is asked about the same names at every scrape: answers are kept.
#[derive(Debug)]
#[cfg(target_os = "linux")]
pub struct Fields {
    pattern: Option<Regexp>,
    known: parking_lot::Mutex<std::collections::HashMap<String, bool>>,
}

/// More names than any kernel has.
#[cfg(target_os = "linux")]
const MOST_NAMES: usize = 10_000;

#[cfg(target_os = "linux")]
impl Fields {
    /// From the flag with the expression.
    pub fn new(args: &Args, flag: &str) -> Result<Fields, String> {
        Ok(Fields {
            pattern: pattern(args, flag)?,
            known: parking_lot::Mutex::default(),
        })
    }

    /// Whether the field is shown. An empty expression matches all, as in Go.
    pub fn wants(&self, name: &str) -> bool {
        let Some(pattern) = &self.pattern else {
            return true;
        };
        let mut known = self.known.lock();
        if let Some(wanted) = known.get(name) {
            return *wanted;
        }
        let wanted = pattern.is_match(name);
        if known.len() < MOST_NAMES {
            known.insert(name.to_owned(), wanted);
        }
        wanted
    }
}

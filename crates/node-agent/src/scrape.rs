//! One scrape: the enabled collectors run one after the other; one that hangs is left alone and the
//! page says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exposition::{Family, Writer};

use crate::collectors::{CollectError, Collector};
use crate::deadline::{self, Crew, Jobs, Patience};
use crate::files::{Files, Paths};
use crate::page::{Page, render};

/// How long a collector may take before the others go on beside it.
const MOVE_ON: Duration = Duration::from_millis(500);

/// A collector that is enabled.
pub struct Enabled {
    name: &'static str,
    collect: Collector,
    /// It hung in an earlier scrape and has not returned.
    stuck: AtomicBool,
    /// Its last error was logged.
    failing: AtomicBool,
}

/// What runs, and how long it may take.
pub struct Collectors {
    /// Sorted by name.
    all: Vec<Arc<Enabled>>,
    paths: Paths,
    timeout: Duration,
    crew: Crew,
}

/// What one collector had to say.
struct Report {
    page: Page,
    seconds: f64,
    success: bool,
}

impl Collectors {
    /// From the collectors that are enabled; `timeout` is for each of them.
    pub fn new(enabled: Vec<(&'static str, Collector)>, paths: Paths, timeout: Duration) -> Self {
        let all = enabled.into_iter().map(|(name, collect)| {
            Arc::new(Enabled {
                name,
                collect,
                stuck: AtomicBool::new(false),
                failing: AtomicBool::new(false),
            })
        });
        let mut all: Vec<Arc<Enabled>> = all.collect();
        all.sort_by_key(|enabled| enabled.name);
        Collectors {
            all,
            paths,
            timeout,
            crew: Crew::default(),
        }
    }

    /// The names of what is enabled, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|enabled| enabled.name)
    }

    /// Runs the collectors that `wanted` names and writes the page, with `others` among its families.
    /// Blocks: at most the timeout for each collector that hangs.
    pub fn scrape(&self, wanted: &dyn Fn(&str) -> bool, others: &[Family], writer: &mut Writer) {
        let chosen: Vec<Arc<Enabled>> = self
            .all
            .iter()
            .filter(|enabled| wanted(enabled.name))
            .cloned()
            .collect();
        let count = chosen.len();
        let scrape = Arc::new(Scrape {
            chosen,
            paths: self.paths.clone(),
            timeout: self.timeout,
        });
        let patience = Patience {
            move_on: MOVE_ON.min(self.timeout),
            give_up: self.timeout,
        };
        let answers = deadline::run(&self.crew, &scrape, count, patience);
        let reports = answers.into_iter().map(|report| {
            report.unwrap_or_else(|| Report {
                page: Page::new(),
                seconds: self.timeout.as_secs_f64(),
                success: false,
            })
        });
        let reports: Vec<Report> = reports.collect();
        let mut own = Page::new();
        for (enabled, report) in scrape.chosen.iter().zip(&reports) {
            own.gauge(
                "node_scrape_collector_duration_seconds",
                "node_exporter: Duration of a collector scrape.",
                &[("collector", enabled.name)],
                report.seconds,
            );
        }
        for (enabled, report) in scrape.chosen.iter().zip(&reports) {
            own.gauge(
                "node_scrape_collector_success",
                "node_exporter: Whether a collector succeeded.",
                &[("collector", enabled.name)],
                if report.success { 1.0 } else { 0.0 },
            );
        }
        let mut pages: Vec<Page> = reports.into_iter().map(|report| report.page).collect();
        pages.push(own);
        render(&pages, others, writer);
    }
}

/// The collectors of one scrape as jobs.
struct Scrape {
    chosen: Vec<Arc<Enabled>>,
    paths: Paths,
    timeout: Duration,
}

impl Jobs for Scrape {
    type Answer = Report;
    type Tools = Files;

    fn tools(&self) -> Files {
        Files::new(self.paths.clone())
    }

    fn run(&self, at: usize, files: &mut Files) -> Report {
        self.chosen[at].run(files)
    }

    fn hung(&self, at: usize) {
        let enabled = &self.chosen[at];
        enabled.stuck.store(true, Ordering::SeqCst);
        tracing::error!(name = enabled.name, timeout = ?self.timeout, "collector timed out");
    }

    fn returned(&self, at: usize) {
        self.chosen[at].stuck.store(false, Ordering::SeqCst);
    }
}

impl Enabled {
    fn run(&self, files: &mut Files) -> Report {
        let begin = Instant::now();
        let mut page = Page::new();
        let outcome = if self.stuck.load(Ordering::SeqCst) {
            Err(CollectError::Other(
                "still busy with an earlier scrape".to_owned(),
            ))
        } else {
            let run = std::panic::AssertUnwindSafe(|| (self.collect)(files, &mut page));
            std::panic::catch_unwind(run)
                .unwrap_or_else(|_| Err(CollectError::Other("the collector panicked".to_owned())))
        };
        let seconds = begin.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => self.failing.store(false, Ordering::Relaxed),
            Err(CollectError::NoData) => {
                tracing::debug!(name = self.name, "collector returned no data");
            }
            // Said once until it works again: a scrape every few seconds would fill the log.
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) && !error.is_missing() => {
                tracing::error!(name = self.name, err = %error, "collector failed");
            }
            Err(error) => tracing::debug!(name = self.name, err = %error, "collector failed"),
        }
        Report {
            page,
            seconds,
            success: outcome.is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exposition::Format;

    #[test]
    fn a_hung_collector_costs_its_own_metrics_only() {
        let hung: Collector = Box::new(|_, out| {
            std::thread::sleep(Duration::from_millis(1500));
            out.gauge("late", "Late.", &[], 1.0);
            Ok(())
        });
        let panics: Collector = Box::new(|_, _| panic!("broken"));
        let works: Collector = Box::new(|_, out| {
            out.gauge("works", "Works.", &[], 1.0);
            Ok(())
        });
        let paths = Paths {
            proc: "/nowhere".into(),
            sys: "/nowhere".into(),
            root: "/nowhere".into(),
            udev: "/nowhere".into(),
        };
        let all = vec![("a", hung), ("b", panics), ("c", works)];
        let collectors = Collectors::new(all, paths, Duration::from_millis(200));
        let page = || {
            let mut writer = Writer::new(Format::default());
            collectors.scrape(&|_| true, &[], &mut writer);
            String::from_utf8(writer.finish().unwrap()).unwrap()
        };
        let success = "node_scrape_collector_success";
        for _ in 0..2 {
            let page = page();
            assert!(
                page.contains("works 1\n") && !page.contains("late"),
                "{page}"
            );
            for (name, value) in [("a", 0), ("b", 0), ("c", 1)] {
                let line = format!("{success}{{collector=\"{name}\"}} {value}\n");
                assert!(page.contains(&line), "{line} in {page}");
            }
        }
        std::thread::sleep(Duration::from_millis(1500));
        // It returned: from now on it is asked again, and hangs again.
        let begin = Instant::now();
        assert!(page().contains("works 1\n"));
        assert!(begin.elapsed() >= Duration::from_millis(200));
    }
}

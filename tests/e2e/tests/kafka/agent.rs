//! kafka-lag-agent under test, and its page.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use e2e::{Process, free_port, get, part, wait_for};

/// The longest wait for anything: what shares the machine may be many builds.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The folder of our programs. Built together: one by one cargo would choose other features of what
/// they share, and build that again.
pub fn programs() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| part::build(&["kafka-lag-agent", "scraper-store"]))
}

/// A running agent.
pub struct Agent {
    pub process: Process,
    pub address: String,
}

impl Agent {
    /// Starts an agent that polls each half second.
    pub fn start(dir: &Path, name: &str, flags: &[&str]) -> Agent {
        let address = format!("127.0.0.1:{}", free_port());
        let mut args = vec![
            format!("--web.listen-address={address}"),
            "--poll.interval=500ms".to_owned(),
            "--refresh.details=1s".to_owned(),
        ];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let program = programs().join("kafka-lag-agent");
        Agent {
            process: Process::start(name, &program, &args, dir),
            address,
        }
    }

    /// The samples of the page; none while nothing listens yet.
    pub fn page(&self) -> Page {
        Page::read(&self.address)
    }

    /// What a person sees at `/`.
    pub fn home(&self) -> String {
        get(&format!("http://{}/", self.address)).map_or(String::new(), |(_, body)| body)
    }

    /// Waits until all `expected` series have their values; those with no value are to be absent.
    ///
    /// # Panics
    /// In the end, with what the page has instead.
    #[track_caller]
    pub fn shows(&self, expected: &[(&str, Option<f64>)]) -> Page {
        let start = std::time::Instant::now();
        loop {
            let page = self.page();
            let wrong = expected
                .iter()
                .find(|(series, value)| page.value(series) != *value || page.0.is_empty());
            let Some((series, value)) = wrong else {
                return page;
            };
            if start.elapsed() > PATIENCE {
                let name = series.split('{').next().unwrap_or_default();
                let near: Vec<_> = page.0.iter().filter(|(s, _)| s.starts_with(name)).collect();
                let log = self.process.log_text();
                panic!("{series}: expected {value:?}, the page has {near:#?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until something is true of the page.
    #[track_caller]
    pub fn becomes<T>(&self, what: &str, condition: impl Fn(&Page) -> Option<T>) -> T {
        wait_for(what, PATIENCE, || condition(&self.page()))
    }
}

/// Samples by series, as they are printed.
pub struct Page(pub Vec<(String, f64)>);

impl Page {
    /// What is at `address` now.
    pub fn read(address: &str) -> Page {
        let answer = get(&format!("http://{address}/metrics"));
        let text = answer.map(|(_, body)| body).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Page(samples.collect())
    }

    /// A series' value.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.0
            .iter()
            .find(|(s, _)| s == series)
            .map(|(_, value)| *value)
    }

    /// The series whose text begins with `start`.
    pub fn starting(&self, start: &str) -> Vec<&(String, f64)> {
        self.0
            .iter()
            .filter(|(s, _)| s.starts_with(start))
            .collect()
    }
}

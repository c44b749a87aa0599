//! StatsD servers under a flood of packets on loopback, side by side: what they lose, and what a line
//! costs them. One metric name with 1,000 tag sets and a mapping of 100 globs.
//!
//! ```text
//! cargo run --release -p statsd-bridge --example flood -- \
//!     target/release/statsd-bridge $GOBIN/statsd_exporter --lines 1,20 --rates 50000,100000 --seconds 4
//! ```
//!
//! All programs take statsd_exporter's flags. They get their turns in each step, each time as a new
//! process; each row is one step of one program.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Packets a system call sends at most.
const BATCH: usize = 64;
/// What is behind schedule by more is given up: a burst would measure the sender's absence.
const ARREARS: Duration = Duration::from_millis(5);

struct Flood {
    programs: Vec<String>,
    lines: Vec<usize>,
    /// Packets a second.
    rates: Vec<u64>,
    seconds: u64,
    senders: u64,
    read_buffer: u64,
    /// What follows the name, as `1|c`.
    value: String,
}

struct Outcome {
    sent: u64,
    counted: u64,
    took: Duration,
    cpu: Duration,
    peak_kib: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let flood = Flood::parse()?;
    let dir = std::env::temp_dir().join(format!("flood-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mapping = dir.join("mapping.yml");
    std::fs::write(&mapping, hundred_globs())?;
    println!(
        "{:<18}{:>6}{:>12}{:>12}{:>9}{:>10}{:>10}",
        "program", "lines", "packets/s", "lines/s", "lost %", "µs/line", "peak MiB"
    );
    for lines in &flood.lines {
        for rate in &flood.rates {
            for program in &flood.programs {
                let outcome = flood.step(program, &mapping.display().to_string(), *lines, *rate)?;
                outcome.print(program, *lines);
            }
        }
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn hundred_globs() -> String {
    let mut mapping = String::from("mappings:\n");
    for i in 0..100 {
        // Writing to a string cannot fail.
        let _ = writeln!(
            mapping,
            "- {{match: \"app.part{i}.*.*\", name: \"app_part{i}_$1\", labels: {{verb: $2}}}}"
        );
    }
    mapping
}

impl Flood {
    fn parse() -> Result<Flood, Box<dyn Error>> {
        let mut flood = Flood {
            programs: Vec::new(),
            lines: vec![1, 20],
            rates: vec![50_000, 100_000],
            seconds: 4,
            senders: 1,
            read_buffer: 4 << 20,
            value: "1|c".to_owned(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            if !arg.starts_with("--") {
                flood.programs.push(arg);
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
            match arg.as_str() {
                "--lines" => flood.lines = numbers(&value)?,
                "--rates" => flood.rates = numbers(&value)?,
                "--seconds" => flood.seconds = value.parse()?,
                "--senders" => flood.senders = value.parse()?,
                "--read-buffer" => flood.read_buffer = value.parse()?,
                "--value" => flood.value = value,
                _ => return Err(format!("unknown flag {arg}").into()),
            }
        }
        if flood.programs.is_empty() || flood.senders == 0 {
            return Err(
                "usage: flood PROGRAM... [--lines 1,20] [--rates 50000,...] [--seconds 4] \
                        [--senders 1] [--read-buffer 4194304] [--value '1|c']"
                    .into(),
            );
        }
        Ok(flood)
    }

    fn step(
        &self,
        program: &str,
        mapping: &str,
        lines: usize,
        rate: u64,
    ) -> Result<Outcome, Box<dyn Error>> {
        // Both ports were free a moment ago.
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let udp = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let server = Command::new(program)
            .args([
                &format!("--web.listen-address={http}"),
                &format!("--statsd.listen-udp={udp}"),
                "--statsd.listen-tcp=",
                &format!("--statsd.mapping-config={mapping}"),
                &format!("--statsd.read-buffer={}", self.read_buffer),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Server(server);
        let begun = Instant::now();
        while counted(http).is_err() {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("{program} answers nothing on {http}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let bodies = bodies(lines, &self.value);
        let before = server.cpu()?;
        let begun = Instant::now();
        let sent: u64 = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..self.senders)
                .map(|_| scope.spawn(|| send(udp, &bodies, rate / self.senders, self.seconds)))
                .collect();
            senders
                .into_iter()
                .map(|sender| sender.join().map_err(|_| "a sender panicked".to_owned())?)
                .sum::<Result<u64, String>>()
        })?;
        let (sent, took) = (sent * lines as u64, begun.elapsed());
        // What waits in its buffers is not lost.
        let mut last = 0;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = counted(http)?;
            if now == sent || now == last {
                break;
            }
            last = now;
        }
        Ok(Outcome {
            sent,
            counted: counted(http)?,
            took,
            cpu: server.cpu()? - before,
            peak_kib: server.peak_kib()?,
        })
    }
}

impl Outcome {
    fn print(&self, program: &str, lines: usize) {
        let lost = 100.0 * (self.sent - self.counted.min(self.sent)) as f64 / self.sent as f64;
        println!(
            "{:<18}{lines:>6}{:>12.0}{:>12.0}{lost:>9.3}{:>10.2}{:>10.1}",
            program.rsplit('/').next().unwrap_or(program),
            self.sent as f64 / lines as f64 / self.took.as_secs_f64(),
            self.sent as f64 / self.took.as_secs_f64(),
            self.cpu.as_secs_f64() * 1e6 / self.counted.max(1) as f64,
            self.peak_kib as f64 / 1024.0,
        );
    }
}

fn numbers<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, T::Err> {
    text.split(',').map(str::parse).collect()
}

/// Packets with 1,000 tag sets in turn.
fn bodies(lines: usize, value: &str) -> Vec<String> {
    let line = |set: usize| {
        let (set, zone) = (set % 1000, set % 7);
        format!("app.part77.requests.get:{value}|#host:h{set},zone:z{zone}")
    };
    (0..1000)
        .map(|first| {
            let lines: Vec<String> = (0..lines).map(|i| line(first + i * 7)).collect();
            lines.join("\n")
        })
        .collect()
}

/// How many packets went out.
fn send(to: SocketAddr, bodies: &[String], rate: u64, seconds: u64) -> Result<u64, String> {
    let fault = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(fault)?;
    socket.connect(to).map_err(fault)?;
    let begun = Instant::now();
    let (mut sent, mut given_up) = (0_u64, 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let schedule = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        let mut due = schedule.saturating_sub(sent + given_up);
        let most = (ARREARS.as_secs_f64() * rate as f64) as u64 + BATCH as u64;
        if due > most {
            given_up += due - most;
            due = most;
        }
        if due < 16 {
            std::thread::sleep(Duration::from_micros(100));
            continue;
        }
        sent += send_batch(&socket, bodies, sent, due.min(BATCH as u64) as usize).map_err(fault)?;
    }
    Ok(sent)
}

fn send_batch(
    socket: &UdpSocket,
    bodies: &[String],
    first: u64,
    count: usize,
) -> std::io::Result<u64> {
    let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|i| {
        let body = &bodies[(first as usize + i) % bodies.len()];
        libc::iovec {
            iov_base: body.as_ptr().cast_mut().cast(),
            iov_len: body.len(),
        }
    });
    // SAFETY: all zeroes are a valid `mmsghdr`: null pointers and lengths of 0.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (header, part) in headers.iter_mut().zip(&mut parts) {
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: each header names one part, each part a body; all outlive the call, which only reads
    // the bodies.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            0,
        )
    };
    u64::try_from(sent).map_err(|_| std::io::Error::last_os_error())
}

/// The sum of all counters (or counts) of the flood on a metrics page.
fn counted(http: SocketAddr) -> Result<u64, Box<dyn Error>> {
    let mut stream = TcpStream::connect(http)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: flood\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    let mut sum = 0.0;
    for line in page.lines() {
        let counts = ["app_part77_requests{", "app_part77_requests_count{"];
        if counts.iter().any(|start| line.starts_with(start)) && !line.contains("quantile=") {
            let value = line.rsplit(' ').next().unwrap_or_default();
            sum += value.parse::<f64>()?;
        }
    }
    Ok(sum as u64)
}

/// A process that ends with this value.
struct Server(Child);

impl Server {
    /// User and system time so far.
    fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut times = fields.split_whitespace().skip(11);
        let mut ticks = || -> Result<u64, Box<dyn Error>> {
            Ok(times.next().ok_or("/proc/PID/stat is short")?.parse()?)
        };
        // 100 ticks a second on every Linux.
        Ok(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }

    fn peak_kib(&self) -> Result<u64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.ok_or("no VmHWM")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! `cargo xtask programs`: the services as static programs, laid out as the images take them.
//!
//! ```text
//! DIR/<service>/bin/<service>               the program
//! DIR/<service>/bin/<upstream's name> ->    the same, for command lines that name it
//! ```
//!
//! Only the last step differs from an ordinary build: everything below the program is compiled as
//! always, the C library is linked in statically. So a build that was made anyway costs seconds more.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{cargo, root};

/// A service, and where upstream's image has its program.
struct Image {
    service: &'static str,
    upstream: &'static [&'static str],
    /// Small before fast: the agents, of which every host runs one.
    is_agent: bool,
}

const fn image(service: &'static str, upstream: &'static [&'static str]) -> Image {
    Image {
        service,
        upstream,
        is_agent: false,
    }
}

const IMAGES: [Image; 7] = [
    image("scraper-store", &["bin/prometheus"]),
    image("rule-evaluator", &[]),
    image("alert-router", &["bin/alertmanager"]),
    image("statsd-bridge", &["bin/statsd_exporter"]),
    image(
        "kafka-lag-agent",
        &[
            "bin/kafka_exporter",
            "opt/bitnami/kafka-exporter/bin/kafka_exporter",
        ],
    ),
    Image {
        is_agent: true,
        ..image("node-agent", &["bin/node_exporter"])
    },
    Image {
        is_agent: true,
        ..image("container-agent", &["usr/bin/cadvisor"])
    },
];

/// What the images are built with, but for the agents'.
const IMAGE_PROFILE: &str = "image";

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    out: PathBuf,
    /// cargo's profile; `None`: `image`, and for the agents `agent`.
    profile: Option<String>,
    /// Empty: all.
    services: Vec<String>,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options {
            out: root().join("target/images"),
            profile: None,
            services: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                args.next()
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| format!("programs: {arg} needs a value"))
            };
            match arg.as_str() {
                "--out" => options.out = PathBuf::from(value()?),
                "--profile" => options.profile = Some(value()?.clone()),
                "--dev" => options.profile = Some("dev".to_owned()),
                name if IMAGES.iter().any(|image| image.service == name) => {
                    options.services.push(name.to_owned());
                }
                other => {
                    return Err(format!(
                        "programs: {other:?} is no service and no option, see cargo xtask help"
                    ));
                }
            }
        }
        options.out = std::path::absolute(&options.out)
            .map_err(|error| format!("{}: {error}", options.out.display()))?;
        Ok(options)
    }

    fn wants(&self, image: &Image) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == image.service)
    }
}

/// Builds and lays out what was asked for.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    for image in IMAGES.iter().filter(|image| options.wants(image)) {
        let usual = if image.is_agent {
            "agent"
        } else {
            IMAGE_PROFILE
        };
        let profile = options.profile.as_deref().unwrap_or(usual);
        build(image, profile)?;
        // The folder of the profile `dev` has a name of its own.
        let built = target()
            .join(if profile == "dev" { "debug" } else { profile })
            .join(image.service);
        let size = lay_out(image, &built, &options.out.join(image.service))?;
        eprintln!(
            "{}: {:.1} MiB ({profile})",
            image.service,
            size as f64 / f64::from(1 << 20)
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn build(image: &Image, profile: &str) -> Result<(), String> {
    let mut command = cargo();
    command
        .args(["rustc", "--quiet", "--package", image.service])
        .args(["--bin", image.service, "--profile", profile])
        .args(["--", "-C", "target-feature=+crt-static"])
        .args(["-C", "strip=symbols"])
        .args(link_args(image));
    // In the other profiles' folders there is what was built without; it would be built anew each time.
    if profile == IMAGE_PROFILE {
        command.env("CFLAGS", c_flags());
    }
    let status = command
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{} does not build, see above", image.service)),
    }
}

/// Of zstd's ways to compress the programs use the fastest alone, and each of the others is there for
/// four kinds of input (344 kB). Which of them a level means, zstd looks up in what there is.
const C_FLAGS: [&str; 7] = [
    "-DZSTD_EXCLUDE_DFAST_BLOCK_COMPRESSOR",
    "-DZSTD_EXCLUDE_GREEDY_BLOCK_COMPRESSOR",
    "-DZSTD_EXCLUDE_LAZY_BLOCK_COMPRESSOR",
    "-DZSTD_EXCLUDE_LAZY2_BLOCK_COMPRESSOR",
    "-DZSTD_EXCLUDE_BTLAZY2_BLOCK_COMPRESSOR",
    "-DZSTD_EXCLUDE_BTOPT_BLOCK_COMPRESSOR",
    "-DZSTD_EXCLUDE_BTULTRA_BLOCK_COMPRESSOR",
];

/// The user's own, then [`C_FLAGS`].
fn c_flags() -> String {
    let own = std::env::var("CFLAGS").unwrap_or_default();
    let own = Some(own.trim()).filter(|own| !own.is_empty());
    let all: Vec<&str> = own.into_iter().chain(C_FLAGS).collect();
    all.join(" ")
}

/// What makes a static program smaller and changes nothing else: the places that are moved when it
/// starts as a bitmap (6 kB in node-agent). For the agents the code that seldom runs apart from the rest
/// (a megabyte less resident); both lld, which is usual, and GNU ld know how. For the others functions
/// that are the same but in name only once (113 kB in scraper-store), which lld knows.
fn link_args(image: &Image) -> Vec<String> {
    let mut args = Vec::new();
    if !cfg!(target_os = "linux") {
        return args;
    }
    let mut link = |arg: &str| args.extend(["-C".to_owned(), format!("link-arg=-Wl,{arg}")]);
    if reads_packed_relocations(&libc_version()) {
        link("-z,pack-relative-relocs");
    }
    if image.is_agent {
        let script = root().join("crates/xtask/src/seldom.ld");
        link(&format!("-T,{}", script.display()));
    } else if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        // Where Rust links with lld of its own accord.
        link("--icf=all");
    }
    args
}

/// `glibc 2.36`, as the system says; empty where it says nothing.
fn libc_version() -> String {
    let asked = std::process::Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output();
    asked.map_or_else(
        |_| String::new(),
        |answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned(),
    )
}

/// Whether the start of a static program understands them: glibc does since 2.36.
fn reads_packed_relocations(libc: &str) -> bool {
    let version = libc.strip_prefix("glibc ").and_then(|v| v.split_once('.'));
    let number = |text: &str| text.parse::<u32>().ok();
    version.is_some_and(|(major, minor)| (number(major), number(minor)) >= (Some(2), Some(36)))
}

/// Where cargo builds.
fn target() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target)
}

/// Copies the program and makes the links; the program's size in bytes.
fn lay_out(image: &Image, program: &Path, to: &Path) -> Result<u64, String> {
    let fail = |path: &Path, error| format!("{}: {error}", path.display());
    let place = Path::new("bin").join(image.service);
    let own = to.join(&place);
    std::fs::create_dir_all(to.join("bin")).map_err(|error| fail(to, error))?;
    // A program that runs cannot be written over, but it can be replaced.
    let _ = std::fs::remove_file(&own);
    let size = std::fs::copy(program, &own).map_err(|error| fail(program, error))?;
    for link in image.upstream {
        let link = to.join(link);
        if let Some(parent) = link.parent() {
            std::fs::create_dir_all(parent).map_err(|error| fail(parent, error))?;
        }
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(Path::new("/").join(&place), &link)
            .map_err(|error| fail(&link, error))?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Options::parse(&args)
    }

    #[test]
    fn old_libraries_get_plain_relocations() {
        for (version, packed) in [
            ("glibc 2.36", true),
            ("glibc 2.41", true),
            ("glibc 3.0", true),
            ("glibc 2.35", false),
            ("musl 1.2", false),
            ("", false),
        ] {
            assert_eq!(reads_packed_relocations(version), packed, "{version}");
        }
    }

    #[test]
    fn options() {
        let all = parse(&[]).unwrap();
        assert!(all.out.ends_with("target/images") && all.profile.is_none());
        assert!(IMAGES.iter().all(|image| all.wants(image)));
        let one = parse(&["--out", "/x", "--dev", "node-agent"]).unwrap();
        assert_eq!(one.out, Path::new("/x"));
        assert_eq!(one.profile.as_deref(), Some("dev"));
        let wanted: Vec<&str> = IMAGES
            .iter()
            .filter(|image| one.wants(image))
            .map(|image| image.service)
            .collect();
        assert_eq!(wanted, ["node-agent"]);
        assert_eq!(
            parse(&["--out"]).unwrap_err(),
            "programs: --out needs a value"
        );
        assert!(parse(&["grafana"]).unwrap_err().contains("is no service"));
    }

    #[test]
    fn programs_and_their_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("built");
        std::fs::write(&program, "1234").unwrap();
        let to = dir.path().join("out");
        for _ in 0..2 {
            let kafka = IMAGES
                .iter()
                .find(|image| image.service == "kafka-lag-agent");
            assert_eq!(lay_out(kafka.unwrap(), &program, &to), Ok(4));
        }
        let link = to.join("opt/bitnami/kafka-exporter/bin/kafka_exporter");
        assert_eq!(
            std::fs::read_link(link).unwrap(),
            Path::new("/bin/kafka-lag-agent")
        );
        assert!(to.join("bin/kafka-lag-agent").is_file());
    }

    /// The Dockerfile has a stage for each of them.
    #[test]
    fn every_service_has_a_stage() {
        let file = root().join("deploy/docker/Dockerfile");
        let text = std::fs::read_to_string(file).unwrap();
        for image in &IMAGES {
            let stage = format!(" AS {}\n", image.service);
            assert!(text.contains(&stage), "{stage}");
        }
    }
}

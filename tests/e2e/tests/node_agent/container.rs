//! As users run it: in a container with the host's trees mounted, started by a compose file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::docker::{Docker, engine};
use e2e::part::peer;
use e2e::{free_port, get, wait_for};

use crate::agent;
use crate::page::Page;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{error}");
    text
}

/// What a program that is not static needs, copied below `root` at the same paths.
fn copy_libraries(program: &Path, root: &Path) {
    for word in run(Command::new("ldd").arg(program)).split_whitespace() {
        let from = Path::new(word);
        if word.starts_with('/') && from.is_file() {
            let to = root.join(from.strip_prefix("/").unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// What was made from a compose file; it goes when this does, and its image.
struct Stack<'s> {
    engine: &'s Docker,
    compose: &'s Path,
    file: PathBuf,
    image: String,
}

impl Stack<'_> {
    fn compose(&self) -> Command {
        let mut command = Command::new(self.compose);
        let socket = format!("unix://{}", self.engine.socket().display());
        command.env("DOCKER_HOST", socket).arg("--file");
        command.arg(&self.file);
        command
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        let _ = self.compose().args(["down", "--timeout", "1"]).output();
        let mut remove = self.engine.command();
        let _ = remove
            .args(["image", "rm", "--force", &self.image])
            .output();
    }
}

#[test]
fn a_container_shows_the_host() {
    let (Some(engine), Some(compose)) = (engine(), peer("docker-compose")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let context = dir.path().join("image");
    std::fs::create_dir(&context).unwrap();
    let agent = agent();
    std::fs::copy(&agent, context.join("node-agent")).unwrap();
    copy_libraries(&agent, &context);
    std::fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY . /\nENTRYPOINT [\"/node-agent\"]\n",
    )
    .unwrap();
    let image = format!("node-agent-test:{}", std::process::id());
    let folder = context.display().to_string();
    engine.docker(&["build", "--quiet", "--tag", &image, &folder]);
    let port = free_port();
    // The section that most compose files have, `$$` included.
    let file = format!(
        "services:\n  node-exporter:\n    image: {}\n    network_mode: host\n    pid: host\n    volumes:\n      \
         - /proc:/host/proc:ro\n      - /sys:/host/sys:ro\n      - /:/rootfs:ro\n    command:\n      \
         - --path.procfs=/host/proc\n      - --path.sysfs=/host/sys\n      - --path.rootfs=/rootfs\n      \
         - --web.listen-address=127.0.0.1:{port}\n      \
         - --collector.filesystem.mount-points-exclude=^/(sys|proc|dev|host|etc)($$|/)\n",
        image
    );
    let stack = Stack {
        engine: &engine,
        compose: &compose,
        image,
        file: dir.path().join("compose.yml"),
    };
    std::fs::write(&stack.file, file).unwrap();
    run(stack.compose().args(["up", "--detach"]));
    let url = format!("http://127.0.0.1:{port}/metrics");
    let text = wait_for("the container answers", Duration::from_secs(30), || {
        get(&url).filter(|(status, _)| *status == 200)
    });
    let page = Page::parse(&text.1);
    // The host's memory, processors, start, name and interfaces.
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: f64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(
        page.value("node_memory_MemTotal_bytes"),
        Some(total * 1024.0)
    );
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let start = stat.lines().find_map(|l| l.strip_prefix("btime ")).unwrap();
    assert_eq!(page.value("node_boot_time_seconds"), start.parse().ok());
    let devices = std::fs::read_dir("/sys/class/net").unwrap();
    for device in devices {
        let name = device.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("veth") && name != "bonding_masters" {
            let series = format!("node_network_up{{device=\"{name}\"}}");
            assert!(page.value(&series).is_some(), "{series}");
        }
    }
    let uname = run(Command::new("uname").arg("-n"));
    let mut names = page.of("node_uname_info").map(|(series, _)| series);
    let nodename = format!("nodename=\"{}\"", uname.trim());
    assert!(names.any(|series| series.contains(&nodename)), "{nodename}");
    // Mount points without the prefix, the excluded ones left out.
    let points: Vec<String> = page
        .of("node_filesystem_size_bytes")
        .filter_map(|(series, _)| {
            let rest = series.split("mountpoint=\"").nth(1)?;
            Some(rest.split('"').next()?.to_owned())
        })
        .collect();
    assert!(points.iter().any(|p| p == "/"), "{points:?}");
    for point in &points {
        let excluded = ["/rootfs", "/sys", "/proc", "/dev", "/host", "/etc"];
        let is_below = |dir: &&&str| point == **dir || point.starts_with(&format!("{dir}/"));
        assert_eq!(excluded.iter().find(is_below), None, "{point}");
    }
}

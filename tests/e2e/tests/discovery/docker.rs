//! Containers of a real engine, and the services, tasks and nodes of a swarm of one.

use e2e::docker::{Docker, engine, own_engine};

use crate::store::{Store, addresses};

const IMAGE: &str = "firewatch-test/discovery:1";

/// Runs for as long as the test needs it.
const SLEEP: [&str; 2] = ["sleep", "600"];

fn config(section: &str, docker: &Docker, more: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: docker\n  scrape_interval: 10m\n  {section}:\n  - host: unix://{}\n    refresh_interval: 1s\n{more}",
        docker.socket().display()
    )
}

#[test]
fn containers_come_and_go() {
    let Some(docker) = engine() else {
        return;
    };
    if !docker.busybox(IMAGE) {
        return;
    }
    let mark = format!("discovery-{}", std::process::id());
    let label = format!("test.mark={mark}");
    let name = |what: &str| format!("{mark}-{what}");
    let filters = format!("    filters: [{{name: label, values: ['{label}']}}]\n");
    let store = Store::start(&config("docker_sd_configs", &docker, &filters), &[]);
    let run = |what: &str, options: &[&str]| {
        let mut all = vec!["--label", label.as_str()];
        all.extend(options);
        docker.run(&name(what), &all, IMAGE, &SLEEP)
    };
    let id = run(
        "web",
        &[
            "--expose",
            "8080",
            "--label",
            "com.example/team=a",
            "--network",
            "bridge",
        ],
    );
    let ip = docker.inspect(&id, "{{.NetworkSettings.Networks.bridge.IPAddress}}");
    let web = format!("{ip}:8080");
    let targets = store.until_addresses(&[&web]);
    let discovered = &targets[0].discovered;
    for (label, value) in [
        ("container_id", id.as_str()),
        ("container_name", &format!("/{}", name("web"))),
        ("container_image", IMAGE),
        ("container_label_com_example_team", "a"),
        ("container_network_mode", "bridge"),
        ("network_name", "bridge"),
        ("network_ip", &ip),
        ("network_scope", "local"),
        ("port_private", "8080"),
    ] {
        let found = discovered.get(&format!("__meta_docker_{label}"));
        assert_eq!(found.map(String::as_str), Some(value), "{label}");
    }

    // In the network of another one: its addresses. In the host's: the host.
    run("beside", &["--network", &format!("container:{id}")]);
    run("host", &["--network", "host"]);
    let plain = format!("{ip}:80");
    let mut all = [web.as_str(), &plain, "localhost:80"];
    all.sort_unstable();
    store.until_addresses(&all);
    docker.remove(&name("beside"));
    docker.remove(&name("host"));
    store.until_addresses(&[&web]);
    docker.remove(&name("web"));
    store.until_addresses(&[]);
}

#[test]
fn a_swarm_of_one() {
    let Some(docker) = own_engine(&[]) else {
        return;
    };
    if !docker.busybox(IMAGE) {
        return;
    }
    let output = docker
        .command()
        .args([
            "swarm",
            "init",
            "--advertise-addr",
            "docker0",
            "--listen-addr",
            "172.17.0.1:2377",
        ])
        .output()
        .expect("the client can be run");
    if !output.status.success() {
        // Needs more of the kernel than containers do. The answers of a swarm are in the unit tests as well.
        eprintln!(
            "SKIPPED: this engine cannot be a swarm: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    docker.docker(&[
        "service",
        "create",
        "--detach",
        "--name",
        "web",
        "--label",
        "com.example/team=a",
        "--container-label",
        "own=c",
        "--replicas",
        "2",
        "--publish",
        "8080:80",
        IMAGE,
        "sleep",
        "600",
    ]);
    let store = |role: &str| {
        let role = format!("    role: {role}\n    port: 9323\n");
        Store::start(&config("dockerswarm_sd_configs", &docker, &role), &[])
    };
    let check = |discovered: &std::collections::BTreeMap<String, String>,
                 expected: &[(&str, &str)]| {
        for (label, value) in expected {
            let found = discovered.get(&format!("__meta_dockerswarm_{label}"));
            assert_eq!(found.map(String::as_str), Some(*value), "{label}");
        }
    };
    let host = docker.docker(&[
        "node",
        "inspect",
        "self",
        "--format",
        "{{.Description.Hostname}}",
    ]);
    let id = docker.docker(&["node", "inspect", "self", "--format", "{{.ID}}"]);

    let nodes = store("nodes");
    let targets = nodes.until("a node", |targets| targets.len() == 1);
    assert!(addresses(&targets)[0].ends_with(":9323"));
    check(
        &targets[0].discovered,
        &[
            ("node_id", &id),
            ("node_hostname", &host),
            ("node_role", "manager"),
            ("node_availability", "active"),
            ("node_platform_os", "linux"),
            ("node_manager_leader", "true"),
        ],
    );
    drop(nodes);

    let services = store("services");
    let targets = services.until("a service", |targets| targets.len() == 1);
    assert!(addresses(&targets)[0].ends_with(":8080"));
    check(
        &targets[0].discovered,
        &[
            ("service_name", "web"),
            ("service_mode", "replicated"),
            ("service_label_com_example_team", "a"),
            ("service_endpoint_port_publish_mode", "ingress"),
            ("network_name", "ingress"),
            ("network_ingress", "true"),
        ],
    );
    drop(services);

    // What becomes of tasks depends on the kernel; that they are there, and whose they are, does not.
    let tasks = store("tasks");
    let of_web = |targets: &[crate::store::Target], slot: &str| {
        let label = |target: &crate::store::Target, name: &str| {
            target
                .discovered
                .get(&format!("__meta_dockerswarm_{name}"))
                .cloned()
                .unwrap_or_default()
        };
        targets.iter().any(|target| {
            label(target, "task_slot") == slot
                && label(target, "service_name") == "web"
                && label(target, "node_hostname") == host
                && label(target, "container_label_own") == "c"
        })
    };
    tasks.until("both tasks", |targets| {
        of_web(targets, "1") && of_web(targets, "2")
    });
    docker.docker(&["service", "rm", "web"]);
    tasks.until("no tasks", <[_]>::is_empty);
    drop(tasks);
    docker.docker(&["swarm", "leave", "--force"]);
}

//! What stands beside the agent: Kafka's own tool, which says the same, and the JMX exporter, whose
//! page scraper-store scrapes together with the agent's.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use e2e::{Process, Stack, free_port, query, wait_for};
use serde_json::Value;

use crate::agent::{Agent, PATIENCE, programs};
use crate::cluster::Cluster;

/// `kafka-consumer-groups --describe` has the offsets and lags that the page has.
pub fn kafkas_own_tool(agent: &Agent, cluster: &Cluster) {
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    let server = cluster.servers();
    let text = cluster.tool(
        class,
        &["--bootstrap-server", &server, "--describe", "--all-groups"],
    );
    let page = agent.page();
    let mut compared = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [group, topic, partition, offset, end, lag, ..] = words[..] else {
            continue;
        };
        let (Ok(offset), Ok(end), Ok(lag)) = (offset.parse(), end.parse(), lag.parse()) else {
            continue;
        };
        let labels =
            format!(r#"{{consumergroup="{group}",partition="{partition}",topic="{topic}"}}"#);
        let log = format!(r#"{{partition="{partition}",topic="{topic}"}}"#);
        for (series, value) in [
            (
                format!("kafka_consumergroup_current_offset{labels}"),
                offset,
            ),
            (format!("kafka_topic_partition_current_offset{log}"), end),
            (format!("kafka_consumergroup_lag{labels}"), lag),
        ] {
            assert_eq!(page.value(&series), Some(value), "{series}\n{text}");
        }
        compared += 1;
    }
    assert!(compared >= 4, "{text}");
}

/// A real ZooKeeper, with a commit of an old consumer; gives its address.
pub fn zookeeper(cluster: &Cluster) -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let port = address.rsplit(':').next().unwrap_or_default();
    let data = cluster.dir.join("zookeeper").display().to_string();
    let class = "org.apache.zookeeper.server.ZooKeeperServerMain";
    let server = cluster.start_tool("zookeeper", class, &[port, &data]);
    // It listens before it serves.
    wait_for("ZooKeeper serves", PATIENCE, || {
        let mut stream = std::net::TcpStream::connect(&address).ok()?;
        // One that listens but does not serve yet keeps the question, and never answers it.
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("Mode:").then_some(())
    });
    let mut orders = String::new();
    for (path, data) in [
        ("/consumers", ""),
        ("/consumers/ancient", ""),
        ("/consumers/ancient/offsets", ""),
        ("/consumers/ancient/offsets/orders", ""),
        ("/consumers/ancient/offsets/orders/1", "33"),
    ] {
        orders += &format!("create {path} \"{data}\"\n");
    }
    let class = "org.apache.zookeeper.ZooKeeperMain";
    cluster.tool_with_input(class, &["-server", &address], &orders);
    (server, address)
}

/// scraper-store scrapes both pages; they agree, and every query of the dashboard has an answer.
pub fn the_jmx_exporter(agent: &Agent, jmx: u16, dir: &Path) {
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - job_name: kafka\n  static_configs: [{{targets: ['{}']}}]\n\
         - job_name: jmx\n  static_configs: [{{targets: ['127.0.0.1:{jmx}']}}]\n",
        agent.address
    );
    std::fs::write(&config, text).expect("the folder can be written");
    let address = format!("127.0.0.1:{}", free_port());
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("store").display()),
        format!("--web.listen-address={address}"),
        format!("--grpc-address=127.0.0.1:{}", free_port()),
    ];
    let _store = Process::start("store", &programs().join("scraper-store"), &args, dir);
    let url = format!("http://{address}");
    Stack::wait_ready("scraper-store", &url);
    let ends = |query: &str| {
        let what = format!("{query} has answers");
        wait_for(&what, PATIENCE, || {
            let found = instant(&url, query);
            (!found.is_empty()).then_some(found)
        })
    };
    let by_jmx = ends(r#"sort(kafka_log_log_logendoffset{topic="orders"})"#);
    let by_agent = ends(r#"sort(kafka_topic_partition_current_offset{topic="orders"})"#);
    assert_eq!(by_jmx, by_agent);
    assert_eq!(by_agent, ["7", "50", "100"]);
    assert_eq!(
        ends("kafka_server_replicamanager_offlinereplicacount"),
        ["0"]
    );
    let logs = ends(r#"sort(kafka_log_log_size{topic="orders"})"#);
    assert_eq!(
        logs,
        ends(r#"sort(kafka_topic_partition_log_size_bytes{topic="orders"})"#)
    );
    for query in dashboard_queries() {
        ends(&query);
    }
}

/// The values an instant query answers with, in its order.
fn instant(url: &str, expr: &str) -> Vec<String> {
    let samples = query(url, expr).unwrap_or_default();
    let values = samples.iter();
    values
        .filter_map(|sample| Some(sample["value"][1].as_str()?.to_owned()))
        .collect()
}

/// Those of `deploy/grafana/dashboards/kafka.json`, with everything chosen in its lists, and those of
/// kafka_exporter's own dashboard (7589), as its users have them.
fn dashboard_queries() -> Vec<String> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/dashboards/kafka.json");
    let text = std::fs::read_to_string(file).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let mut queries: Vec<String> = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push(target["expr"].as_str().expect("a query").to_owned());
        }
    }
    assert!(queries.len() > 10, "{queries:?}");
    queries.extend([
        r#"sum(rate(kafka_topic_partition_current_offset{instance=~"$instance", topic=~"$topic"}[1m])) by (topic)"#.to_owned(),
        r#"sum(delta(kafka_consumergroup_current_offset{instance=~'$instance',topic=~"$topic"}[5m])/5) by (consumergroup, topic)"#.to_owned(),
        r#"sum(kafka_consumergroup_lag{instance=~"$instance",topic=~"$topic"}) by (consumergroup, topic)"#.to_owned(),
        r#"sum by(topic) (kafka_topic_partitions{instance=~"$instance",topic=~"$topic"})"#.to_owned(),
    ]);
    let chosen = [
        ("$__rate_interval", "1m"),
        ("$instance", ".+"),
        ("$topic", ".+"),
        ("$group", ".+"),
    ];
    for query in &mut queries {
        for (variable, value) in chosen {
            *query = query.replace(variable, value);
        }
        assert!(!query.contains('$'), "{query}");
    }
    queries
}

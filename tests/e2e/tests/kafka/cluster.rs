//! Real brokers in KRaft mode, of the jars that `get-kafka.sh` fetched.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Process, free_port, part, wait_for};

/// Where the jars are; `None`, said loudly, where they are not.
pub fn jars() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = match std::env::var_os("KAFKA_JARS") {
        Some(dir) => root.join(dir),
        None => root.join("target/kafka"),
    };
    if !dir.join("jmx/.complete").is_file() {
        let how = "run tests/e2e/get-kafka.sh target/kafka and set KAFKA_JARS";
        part::missing("Kafka", how);
        return None;
    }
    part::program("java", "apt install default-jre-headless")?;
    Some(dir)
}

/// A broker: its ports, its process.
pub struct Broker {
    pub plain: u16,
    pub sasl: u16,
    pub sasl_tls: u16,
    pub tls: u16,
    pub process: Process,
}

/// A cluster of brokers that are controllers too.
pub struct Cluster {
    pub brokers: Vec<Broker>,
    pub version: &'static str,
    pub dir: PathBuf,
    jars: PathBuf,
}

/// What a test wants of its brokers.
#[derive(Default)]
pub struct Wishes {
    pub version: &'static str,
    pub brokers: usize,
    /// Where `ca.pem` and `server.pem` (key and certificate) are: with it come SASL and TLS listeners.
    pub certificates: Option<PathBuf>,
    /// Port of the JMX exporter's page.
    pub jmx: Option<u16>,
}

impl Cluster {
    /// Formats the folders and starts the brokers.
    ///
    /// # Panics
    /// Where a broker does not come up.
    pub fn start(jars: &Path, dir: &Path, wishes: &Wishes) -> Cluster {
        let dir = dir.join(format!("kafka-{}", wishes.version));
        std::fs::create_dir_all(&dir).expect("the folder can be written");
        let mut cluster = Cluster {
            brokers: Vec::new(),
            version: wishes.version,
            dir,
            jars: jars.to_owned(),
        };
        let controllers: Vec<u16> = (0..wishes.brokers).map(|_| free_port()).collect();
        let voters: Vec<String> = controllers
            .iter()
            .enumerate()
            .map(|(at, port)| format!("{}@127.0.0.1:{port}", at + 1))
            .collect();
        for (at, controller) in controllers.iter().enumerate() {
            let id = at + 1;
            let [plain, sasl, sasl_tls, tls] = [(); 4].map(|()| free_port());
            let data = cluster.dir.join(format!("data-{id}"));
            let properties = properties(
                id,
                &data,
                wishes,
                &voters.join(","),
                &[
                    ("PLAIN", plain),
                    ("SASL", sasl),
                    ("SASLTLS", sasl_tls),
                    ("TLS", tls),
                    ("CONTROLLER", *controller),
                ],
            );
            let file = cluster.dir.join(format!("{id}.properties"));
            std::fs::write(&file, properties).expect("the folder can be written");
            match at {
                0 => cluster.format(&file, wishes),
                // What the first one's folder knows of the cluster is the same for all.
                _ => copy_format(&cluster.dir.join("data-1"), &data, id),
            }
            let mut args = cluster.java(256);
            if let Some(port) = wishes.jmx.filter(|_| at == 0) {
                let rules = cluster.dir.join("jmx.yml");
                std::fs::write(&rules, JMX_RULES).expect("the folder can be written");
                let agent = jar(&jars.join("jmx"));
                args.push(format!(
                    "-javaagent:{agent}=127.0.0.1:{port}:{}",
                    rules.display()
                ));
            }
            args.extend(["kafka.Kafka".to_owned(), file.display().to_string()]);
            let name = format!("kafka-{id}");
            let process = Process::start(&name, Path::new("java"), &args, &cluster.dir);
            cluster.brokers.push(Broker {
                plain,
                sasl,
                sasl_tls,
                tls,
                process,
            });
        }
        for broker in &cluster.brokers {
            broker.wait();
        }
        cluster
    }

    /// `host:port` of each broker's plain listener.
    pub fn servers(&self) -> String {
        let servers = self
            .brokers
            .iter()
            .map(|b| format!("127.0.0.1:{}", b.plain));
        servers.collect::<Vec<_>>().join(",")
    }

    /// Runs one of Kafka's own tools and gives what it prints.
    ///
    /// # Panics
    /// Where it fails.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        self.tool_with_input(class, args, "")
    }

    /// [`Cluster::tool`], with something to read.
    ///
    /// # Panics
    /// Where it fails.
    pub fn tool_with_input(&self, class: &str, args: &[&str], input: &str) -> String {
        let mut all = self.java(128);
        all.push(class.to_owned());
        let file = self.dir.join("input");
        std::fs::write(&file, input).expect("the folder can be written");
        let file = std::fs::File::open(&file).expect("just written");
        let output = Command::new("java")
            .args(all)
            .args(args)
            .stdin(file)
            .output();
        let output = output.expect("java can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{class} {args:?}: {text}{error}");
        text
    }

    /// Starts one of Kafka's own tools, which ends with the test.
    pub fn start_tool(&self, name: &str, class: &str, args: &[&str]) -> Process {
        let mut all = self.java(128);
        all.push(class.to_owned());
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        Process::start(name, Path::new("java"), &all, &self.dir)
    }

    /// Changes a setting of all brokers; holds from their next start on.
    pub fn set(&self, key: &str, value: &str) {
        for id in 1..=self.brokers.len() {
            let file = self.dir.join(format!("{id}.properties"));
            let text = std::fs::read_to_string(&file).expect("written at the start");
            let kept = text
                .lines()
                .filter(|line| !line.starts_with(&format!("{key}=")));
            let kept: Vec<&str> = kept.collect();
            let text = format!("{}\n{key}={value}\n", kept.join("\n"));
            std::fs::write(&file, text).expect("the folder can be written");
        }
    }

    /// Small, quick to start, sparing of the machine's two cores.
    fn java(&self, megabytes: usize) -> Vec<String> {
        let jars = self.jars.join(self.version);
        [
            &format!("-Xmx{megabytes}m"),
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &format!("{}/*", jars.display()),
        ]
        .map(str::to_owned)
        .into()
    }

    fn format(&self, properties: &Path, wishes: &Wishes) {
        let file = properties.display().to_string();
        let mut args = vec!["format", "-t", CLUSTER_ID, "-c", &file];
        if wishes.certificates.is_some() {
            args.extend([
                "--add-scram",
                "SCRAM-SHA-256=[name=agent,password=secret]",
                "--add-scram",
                "SCRAM-SHA-512=[name=agent,password=secret]",
            ]);
        }
        self.tool("kafka.tools.StorageTool", &args);
    }
}

const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// Everything of the broker's own beans under plain names.
const JMX_RULES: &str = "lowercaseOutputName: true\n\
    lowercaseOutputLabelNames: true\n\
    whitelistObjectNames: ['kafka.server:*', 'kafka.log:*', 'java.lang:type=Memory']\n\
    rules:\n\
    - pattern: 'kafka.(\\w+)<type=(.+), name=(.+), topic=(.+), partition=(.+)><>Value'\n  \
      name: kafka_$1_$2_$3\n  labels: {topic: $4, partition: $5}\n\
    - pattern: 'kafka.(\\w+)<type=(.+), name=(.+)PerSec, topic=(.+)><>Count'\n  \
      name: kafka_$1_$2_$3_total\n  type: COUNTER\n  labels: {topic: $4}\n\
    - pattern: 'kafka.(\\w+)<type=(.+), name=(.+)PerSec><>Count'\n  \
      name: kafka_$1_$2_$3_total\n  type: COUNTER\n\
    - pattern: 'kafka.(\\w+)<type=(.+), name=(.+)><>Value'\n  name: kafka_$1_$2_$3\n";

fn jar(dir: &Path) -> String {
    let mut files = std::fs::read_dir(dir)
        .expect("the folder is there")
        .flatten();
    let jar = files.find(|file| file.path().extension().is_some_and(|kind| kind == "jar"));
    jar.expect("a jar").path().display().to_string()
}

/// Each node's folder has an id of its own.
fn copy_format(from: &Path, to: &Path, id: usize) {
    std::fs::create_dir_all(to).expect("the folder can be written");
    std::fs::copy(
        from.join("bootstrap.checkpoint"),
        to.join("bootstrap.checkpoint"),
    )
    .expect("formatted before");
    let directory = format!("AAAAAAAAAAAAAAAAAAAA{id}Q");
    let text =
        format!("version=1\ncluster.id={CLUSTER_ID}\nnode.id={id}\ndirectory.id={directory}\n");
    std::fs::write(to.join("meta.properties"), text).expect("the folder can be written");
}

fn properties(
    id: usize,
    data: &Path,
    wishes: &Wishes,
    voters: &str,
    ports: &[(&str, u16)],
) -> String {
    let secured = wishes.certificates.is_some();
    let listeners: Vec<String> = ports
        .iter()
        .filter(|(name, _)| secured || ["PLAIN", "CONTROLLER"].contains(name))
        .map(|(name, port)| format!("{name}://127.0.0.1:{port}"))
        .collect();
    let copies = wishes.brokers.min(3);
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={voters}\n\
         listeners={}\n\
         listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,\
         SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,TLS:SSL\n\
         inter.broker.listener.name=PLAIN\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         offsets.topic.num.partitions=3\n\
         offsets.topic.replication.factor={copies}\n\
         transaction.state.log.replication.factor={copies}\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         broker.session.timeout.ms=6000\n\
         broker.heartbeat.interval.ms=500\n\
         controlled.shutdown.enable=true\n\
         offsets.retention.check.interval.ms=1000\n",
        listeners.join(","),
        data.display(),
    );
    if wishes.version.starts_with('4') {
        text += &format!(
            "share.coordinator.state.topic.replication.factor={copies}\n\
             share.coordinator.state.topic.min.isr=1\n\
             share.coordinator.state.topic.num.partitions=1\n"
        );
    }
    if let Some(certificates) = &wishes.certificates {
        let at = certificates.display();
        let module = "org.apache.kafka.common.security";
        for listener in ["sasl", "sasltls"] {
            let of = format!("listener.name.{listener}");
            text += &format!(
                "{of}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
                 {of}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
                 user_agent=\"secret\" user_limited=\"secret\";\n\
                 {of}.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {of}.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 {of}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required;\n\
                 {of}.connections.max.reauth.ms=10000\n"
            );
        }
        text += &format!(
            "ssl.keystore.type=PEM\n\
             ssl.keystore.location={at}/server.pem\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={at}/ca.pem\n\
             listener.name.tls.ssl.client.auth=required\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:agent;User:CN=agent\n"
        );
    }
    text
}

impl Broker {
    /// Waits until the broker takes connections.
    ///
    /// # Panics
    /// After four minutes: what shares the machine may be many builds.
    pub fn wait(&self) {
        wait_for("the broker listens", Duration::from_secs(240), || {
            TcpStream::connect(("127.0.0.1", self.plain)).ok()
        });
    }
}

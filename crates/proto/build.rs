//! Compiles `proto/` in pure Rust (protox): nobody needs protoc.

use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 17] = [
    "prometheus/types.proto",
    "prometheus/remote.proto",
    "prometheus/write_v2.proto",
    "thanos/labels.proto",
    "thanos/samples.proto",
    "thanos/store.proto",
    "thanos/info.proto",
    "thanos/query.proto",
    "thanos/rules.proto",
    "thanos/targets.proto",
    "thanos/metadata.proto",
    "thanos/exemplars.proto",
    "thanos/status.proto",
    "alertmanager/silence.proto",
    "alertmanager/nflog.proto",
    "opentelemetry/common.proto",
    "opentelemetry/metrics.proto",
];
const OURS: [&str; 2] = ["firewatch/alerts.proto", "firewatch/rules.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let files = protox::compile(FILES.iter().chain(&OURS), [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    let stubs = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(stubs)
        .build_server(stubs)
        .btree_map(".firewatch")
        // Label sets of rules are slices of the message they came in.
        .bytes(".firewatch.rules")
        .compile_fds(files)?;
    Ok(())
}

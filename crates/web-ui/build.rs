//! Embeds `assets/`, the built pages: every file compressed with gzip, in one table. Node is not needed
//! for it; `app/` is what the pages are built from (`npm ci && npm run build` there).

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=assets");
    let mut table = String::from("pub const FILES: &[(&str, &[u8])] = &[\n");
    for dir in ["", "assets"] {
        for file in files(&root.join("assets").join(dir)) {
            let name = if dir.is_empty() {
                file.clone()
            } else {
                format!("{dir}/{file}")
            };
            let bytes = fs::read(root.join("assets").join(&name)).expect("a listed file is there");
            let packed = out.join(format!("{}.gz", name.replace('/', "-")));
            fs::write(&packed, gzip(&bytes)).expect("the build folder can be written");
            writeln!(table, "    ({name:?}, include_bytes!({packed:?})),")
                .expect("text can be added to");
        }
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table).expect("the build folder can be written");
}

/// The plain files of a folder, by name.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a folder can be listed"))
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

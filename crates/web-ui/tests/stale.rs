//! The built pages in `assets/` are those of the source in `app/`: the build writes the hash of its
//! source beside them (`app/vite.config.ts`), this test computes it again.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Files that the build depends on besides `src/`.
const FILES: [&str; 6] = [
    "package-lock.json",
    "package.json",
    "router.html",
    "store.html",
    "tsconfig.json",
    "vite.config.ts",
];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the source is there") {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            sources(&path, out);
        } else {
            out.push(path);
        }
    }
}

#[test]
fn assets_are_built_from_this_source() {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("app");
    let mut files: Vec<PathBuf> = FILES.iter().map(|file| app.join(file)).collect();
    sources(&app.join("src"), &mut files);
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&app).expect("below app/");
            (name.to_string_lossy().replace('\\', "/"), path)
        })
        .filter(|(name, _)| !name.ends_with(".test.ts"))
        .collect();
    named.sort();
    let mut hash = Sha256::new();
    for (name, path) in named {
        let bytes = fs::read(path).expect("a listed file can be read");
        hash.update(format!("{name} {}\n", bytes.len()));
        hash.update(bytes);
    }
    let mut found = String::new();
    for byte in hash.finalize() {
        write!(found, "{byte:02x}").expect("text can be added to");
    }
    let recorded = fs::read_to_string(app.join("../assets/SOURCE")).expect("the build writes it");
    assert_eq!(
        recorded.trim(),
        found,
        "the pages are stale: run `npm ci && npm run build` in crates/web-ui/app"
    );
}

//! `--web.user-assets`: a folder of the user's, served below `/user`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Files beyond this are refused: each is read as a whole.
const MAX_BYTES: u64 = 64 << 20;

/// The routes; none where no folder is named.
pub fn router(folder: &str) -> Router {
    if folder.is_empty() {
        return Router::new();
    }
    let folder: Arc<Path> = Arc::from(PathBuf::from(folder));
    Router::new()
        .route("/user/{*path}", get(file))
        .with_state(folder)
}

async fn file(
    State(folder): State<Arc<Path>>,
    axum::extract::Path(path): axum::extract::Path<String>,
) -> Response {
    let read = tokio::task::spawn_blocking(move || read(&folder, &path)).await;
    match read {
        Ok(Some((kind, bytes))) => {
            let kind = HeaderValue::from_static(kind);
            ([(header::CONTENT_TYPE, kind)], bytes).into_response()
        }
        _ => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    }
}

/// A file of the folder, or the `index.html` of one of its folders, with its type. What lies outside is none,
/// whether by `..` or by a link.
fn read(folder: &Path, path: &str) -> Option<(&'static str, Vec<u8>)> {
    let folder = folder.canonicalize().ok()?;
    let mut file = folder.join(path.trim_start_matches('/'));
    if file.is_dir() {
        file.push("index.html");
    }
    let file = file.canonicalize().ok()?;
    let known = file.metadata().ok()?;
    if !file.starts_with(&folder) || !known.is_file() || known.len() > MAX_BYTES {
        return None;
    }
    let bytes = std::fs::read(&file).ok()?;
    Some((content_type(&file), bytes))
}

fn content_type(file: &Path) -> &'static str {
    let extension = file.extension().and_then(|e| e.to_str()).unwrap_or("");
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "txt" | "md" | "yml" | "yaml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn files_of_the_folder_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let assets = dir.path().join("assets");
        std::fs::create_dir_all(assets.join("sub")).unwrap();
        std::fs::write(assets.join("a.css"), "a {}").unwrap();
        std::fs::write(assets.join("sub/index.html"), "<p>").unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), assets.join("link")).unwrap();
        let router = router(&assets.display().to_string());
        for (path, status, kind) in [
            ("/user/a.css", 200, "text/css; charset=utf-8"),
            ("/user/sub", 200, "text/html; charset=utf-8"),
            ("/user/b.css", 404, "text/plain; charset=utf-8"),
            ("/user/../secret", 404, "text/plain; charset=utf-8"),
            ("/user/%2e%2e/secret", 404, "text/plain; charset=utf-8"),
            ("/user/%2fetc/passwd", 404, "text/plain; charset=utf-8"),
            ("/user/link", 404, "text/plain; charset=utf-8"),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind, "{path}");
        }
        let none = super::router("");
        let request = Request::get("/user/a.css").body(Body::empty()).unwrap();
        assert_eq!(none.oneshot(request).await.unwrap().status(), 404);
    }
}

//! The page at `/` of services without pages of their own: what this is and where its parts are.

use axum::Router;
use axum::response::Html;
use axum::routing::get;

/// A route for `/` with a heading, a sentence and links (relative, so that they hold under a prefix).
pub fn landing_page(
    name: &'static str,
    about: &'static str,
    links: &'static [(&'static str, &'static str)],
) -> Router {
    let items: String = links
        .iter()
        .map(|(target, text)| format!("<li><a href=\"{target}\">{text}</a></li>\n"))
        .collect();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{name}</title></head>\n\
         <body>\n<h1>{name}</h1>\n<p>{about}</p>\n<ul>\n{items}</ul>\n</body>\n</html>\n"
    );
    Router::new().route("/", get(move || async move { Html(page) }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn names_and_links() {
        let router = landing_page("thing", "Does things.", &[("metrics", "Own metrics")]);
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("<h1>thing</h1>"), "{text}");
        assert!(
            text.contains("<a href=\"metrics\">Own metrics</a>"),
            "{text}"
        );
    }
}

use axum::http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

async fn get_(router: Router, path: &str, gzip: bool) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    if gzip {
        request = request.header(header::ACCEPT_ENCODING, "br, gzip;q=0.5");
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes().to_vec();
    (parts.status, parts.headers, bytes)
}

#[tokio::test]
async fn every_page_is_the_application_with_its_title() {
    for path in STORE_PAGES {
        let (status, headers, body) = get_(store("a <b> & c"), &format!("/{path}"), false).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY);
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.contains("<title>a &lt;b&gt; &amp; c</title>"),
            "{text}"
        );
        assert!(text.contains("src=\"./assets/store-"), "{text}");
        assert!(!text.contains("src=\"/"), "only relative URLs: {text}");
    }
    let (status, _, body) = get_(router("alerts"), "/", false).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("./assets/router-")
    );
}

#[tokio::test]
async fn old_paths_lead_to_the_new_ones_with_their_query() {
    let cases = [
        ("/", "query"),
        ("/graph?g0.expr=up&g0.tab=1", "query?g0.expr=up&g0.tab=1"),
        ("/alertmanager-discovery", "status"),
    ];
    for (path, expected) in cases {
        let (status, headers, _) = get_(store("t"), path, false).await;
        assert_eq!(status, StatusCode::FOUND, "{path}");
        assert_eq!(headers[header::LOCATION], expected, "{path}");
    }
}

#[tokio::test]
async fn assets_come_compressed_or_plain_and_stay_in_caches() {
    let (name, packed) = embedded::FILES
        .iter()
        .find(|(name, _)| name.starts_with("assets/store-") && name.ends_with(".js"))
        .expect("the store's script is embedded");
    let path = format!("/{name}");
    let (_, headers, body) = get_(store("t"), &path, true).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert_eq!(
        headers[header::CONTENT_TYPE],
        "text/javascript; charset=utf-8"
    );
    assert!(
        headers[header::CACHE_CONTROL]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert_eq!(body, *packed);
    let (_, headers, body) = get_(store("t"), &path, false).await;
    assert!(!headers.contains_key(header::CONTENT_ENCODING));
    assert_eq!(body, unpacked(packed));
    let (status, ..) = get_(store("t"), "/assets/none.js", true).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// The budget: 400 kB compressed for the first view, editor and graph included.
#[test]
fn the_first_view_is_small() {
    let first = embedded::FILES
        .iter()
        .filter(|(name, _)| !name.contains("router") && !name.contains("pages"));
    let bytes: usize = first.map(|(_, packed)| packed.len()).sum();
    assert!(bytes < 400_000, "{bytes} bytes");
}

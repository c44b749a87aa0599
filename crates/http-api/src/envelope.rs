//! The envelope around every answer of API v1.

use model::Annotations;

use crate::ApiError;
use crate::json::write_string;

/// Writes `{"status":...,"data":...}` around a body.
#[derive(Debug)]
pub struct Envelope;

impl Envelope {
    /// An answer whose data `write` appends.
    pub fn success(annotations: &Annotations, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(br#"{"status":"success","data":"#);
        write(&mut out);
        write_texts(&mut out, "warnings", "warning", annotations.warnings());
        write_texts(&mut out, "infos", "info", annotations.infos());
        out.push(b'}');
        out
    }

    /// An answer whose data is a value.
    pub fn data(value: &impl serde::Serialize) -> Vec<u8> {
        Envelope::success(&Annotations::default(), |out| {
            out.extend_from_slice(&crate::to_json(value))
        })
    }

    /// An answer without data.
    pub fn empty() -> Vec<u8> {
        br#"{"status":"success"}"#.to_vec()
    }

    /// A failure.
    pub fn error(error: &ApiError) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(br#"{"status":"error","errorType":"#);
        write_string(&mut out, error.kind.as_str());
        out.extend_from_slice(br#","error":"#);
        write_string(&mut out, &error.message);
        out.push(b'}');
        out
    }
}

/// The most annotations of a kind that an answer lists (upstream `web/api/v1/api.go`).
const MOST_ANNOTATIONS: usize = 10;

/// Appends a list of annotations under `key`; of those beyond the limit only how many there are.
fn write_texts<'a>(out: &mut Vec<u8>, key: &str, kind: &str, texts: impl Iterator<Item = &'a str>) {
    let texts: Vec<&str> = texts.collect();
    if texts.is_empty() {
        return;
    }
    out.extend_from_slice(format!(",\"{key}\":[").as_bytes());
    for (i, text) in texts.iter().take(MOST_ANNOTATIONS).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, text);
    }
    if texts.len() > MOST_ANNOTATIONS {
        out.push(b',');
        let more = texts.len() - MOST_ANNOTATIONS;
        write_string(out, &format!("{more} more {kind} annotations omitted"));
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use model::annotations::Level;

    use super::*;

    #[test]
    fn annotations_are_listed_up_to_a_limit() {
        let mut annotations = Annotations::default();
        annotations.add(Level::Info, "only one");
        for i in 0..12 {
            annotations.add(Level::Warning, format!("w{i}"));
        }
        let answer = Envelope::success(&annotations, |out| out.extend_from_slice(b"1"));
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let warnings = answer["warnings"].as_array().unwrap();
        assert_eq!((warnings.len(), &warnings[9]), (11, &"w9".into()));
        assert_eq!(warnings[10], "2 more warning annotations omitted");
        assert_eq!(answer["infos"], serde_json::json!(["only one"]));
    }

    #[test]
    fn failures() {
        let error = ApiError::parameter("time", "a \"b\"");
        let expected = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"time\": a \"b\""}"#;
        assert_eq!(
            String::from_utf8(Envelope::error(&error)).unwrap(),
            expected
        );
    }
}

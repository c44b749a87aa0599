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
        write_texts(&mut out, "warnings", annotations.warnings());
        write_texts(&mut out, "infos", annotations.infos());
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

fn write_texts<'a>(out: &mut Vec<u8>, key: &str, texts: impl Iterator<Item = &'a str>) {
    let mut first = true;
    for text in texts {
        if first {
            out.extend_from_slice(format!(",\"{key}\":[").as_bytes());
        } else {
            out.push(b',');
        }
        first = false;
        write_string(out, text);
    }
    if !first {
        out.push(b']');
    }
}

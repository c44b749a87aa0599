//! A query's statistics as JSON: in answers and in the query log.

use std::time::Duration;

use promql::value::QueryStats;

/// Appends the object that answers have as `stats`.
pub(crate) fn write_stats(out: &mut Vec<u8>, stats: &QueryStats, queued: Duration) {
    let timings = &stats.timings;
    let total = timings.prepare + timings.inner_eval + timings.result_sort;
    out.extend_from_slice(b"{\"timings\":{");
    for (i, (name, seconds)) in [
        ("evalTotalTime", total),
        ("resultSortTime", timings.result_sort),
        ("queryPreparationTime", timings.prepare),
        ("innerEvalTime", timings.inner_eval),
        ("execQueueTime", queued.as_secs_f64()),
        ("execTotalTime", total),
    ]
    .into_iter()
    .enumerate()
    {
        if i > 0 {
            out.push(b',');
        }
        write_name(out, name);
        http_api::write_number(out, seconds);
    }
    out.extend_from_slice(b"},\"samples\":{");
    let samples = &stats.samples;
    if !samples.per_step.is_empty() {
        write_name(out, "totalQueryableSamplesPerStep");
        out.push(b'[');
        for (i, (t_ms, n)) in samples.per_step.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.push(b'[');
            http_api::write_number(out, *t_ms as f64 / 1000.0);
            out.extend_from_slice(format!(",{n}]").as_bytes());
        }
        out.extend_from_slice(b"],");
    }
    for (i, (name, n)) in [
        ("totalQueryableSamples", samples.total_queryable_samples),
        ("samplesRead", samples.samples_read),
        ("peakSamples", samples.peak_samples),
    ]
    .into_iter()
    .enumerate()
    {
        if i > 0 {
            out.push(b',');
        }
        write_name(out, name);
        out.extend_from_slice(n.to_string().as_bytes());
    }
    out.extend_from_slice(b"}}");
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_upstream_writes_them() {
        let mut stats = QueryStats::default();
        stats.timings.inner_eval = 0.25;
        stats.timings.result_sort = 7.62e-7;
        stats.samples.total_queryable_samples = 30;
        stats.samples.samples_read = 20;
        stats.samples.peak_samples = 10;
        stats.samples.per_step = vec![(1_000, 10), (2_500, 20)];
        let mut out = Vec::new();
        write_stats(&mut out, &stats, Duration::from_millis(2));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"timings":{"evalTotalTime":0.250000762,"resultSortTime":7.62e-7,"#,
                r#""queryPreparationTime":0,"innerEvalTime":0.25,"execQueueTime":0.002,"#,
                r#""execTotalTime":0.250000762},"samples":{"totalQueryableSamplesPerStep":"#,
                r#"[[1,10],[2.5,20]],"totalQueryableSamples":30,"samplesRead":20,"peakSamples":10}}"#
            )
        );
    }
}

//! OTLP in JSON: proto3's mapping, with hexadecimal ids and enums as numbers or names.

use proto::otlp::common as c;
use proto::otlp::metrics as m;
use serde_json::Value;

/// What is wrong, with the field.
type Result<T> = std::result::Result<T, String>;

/// A request.
///
/// # Errors
/// Text that is no JSON, fields of other types than theirs.
pub(crate) fn request(body: &[u8]) -> Result<m::ExportMetricsServiceRequest> {
    let value: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    Ok(m::ExportMetricsServiceRequest {
        resource_metrics: list(&value, "resourceMetrics", |one| {
            Ok(m::ResourceMetrics {
                resource: present(one, "resource", |r| {
                    let attributes = attributes(r, "attributes")?;
                    Ok(c::Resource { attributes })
                })?,
                scope_metrics: list(one, "scopeMetrics", scope_metrics)?,
                schema_url: text(one, "schemaUrl")?,
            })
        })?,
    })
}

fn scope_metrics(value: &Value) -> Result<m::ScopeMetrics> {
    Ok(m::ScopeMetrics {
        scope: present(value, "scope", |scope| {
            Ok(c::InstrumentationScope {
                name: text(scope, "name")?,
                version: text(scope, "version")?,
                attributes: attributes(scope, "attributes")?,
            })
        })?,
        metrics: list(value, "metrics", metric)?,
        schema_url: text(value, "schemaUrl")?,
    })
}

fn metric(value: &Value) -> Result<m::Metric> {
    use m::metric::Data;
    let data = if let Some(gauge) = field(value, "gauge") {
        let data_points = list(gauge, "dataPoints", number_point)?;
        Some(Data::Gauge(m::Gauge { data_points }))
    } else if let Some(sum) = field(value, "sum") {
        Some(Data::Sum(m::Sum {
            data_points: list(sum, "dataPoints", number_point)?,
            aggregation_temporality: temporality(sum)?,
            is_monotonic: field(sum, "isMonotonic").is_some_and(|b| *b == Value::Bool(true)),
        }))
    } else if let Some(histogram) = field(value, "histogram") {
        Some(Data::Histogram(m::Histogram {
            data_points: list(histogram, "dataPoints", histogram_point)?,
            aggregation_temporality: temporality(histogram)?,
        }))
    } else if let Some(histogram) = field(value, "exponentialHistogram") {
        Some(Data::ExponentialHistogram(m::ExponentialHistogram {
            data_points: list(histogram, "dataPoints", exponential_point)?,
            aggregation_temporality: temporality(histogram)?,
        }))
    } else if let Some(summary) = field(value, "summary") {
        let data_points = list(summary, "dataPoints", summary_point)?;
        Some(Data::Summary(m::Summary { data_points }))
    } else {
        None
    };
    Ok(m::Metric {
        name: text(value, "name")?,
        description: text(value, "description")?,
        unit: text(value, "unit")?,
        data,
    })
}

fn temporality(value: &Value) -> Result<i32> {
    match field(value, "aggregationTemporality") {
        Some(Value::String(name)) => m::AggregationTemporality::from_str_name(name)
            .map(|t| t as i32)
            .ok_or_else(|| format!("aggregationTemporality: unknown {name:?}")),
        _ => integer(value, "aggregationTemporality"),
    }
}

fn number_point(value: &Value) -> Result<m::NumberDataPoint> {
    use m::number_data_point::Value as Number;
    Ok(m::NumberDataPoint {
        attributes: attributes(value, "attributes")?,
        start_time_unix_nano: integer(value, "startTimeUnixNano")?,
        time_unix_nano: integer(value, "timeUnixNano")?,
        exemplars: list(value, "exemplars", exemplar)?,
        flags: integer(value, "flags")?,
        value: number(value, Number::AsDouble, Number::AsInt)?,
    })
}

/// The value of a point or an exemplar, which is one of two.
fn number<T>(value: &Value, double_of: fn(f64) -> T, int_of: fn(i64) -> T) -> Result<Option<T>> {
    match field(value, "asDouble") {
        Some(found) => as_double(found, "asDouble").map(|n| Some(double_of(n))),
        None => present(value, "asInt", |n| as_integer(n, "asInt").map(int_of)),
    }
}

fn histogram_point(value: &Value) -> Result<m::HistogramDataPoint> {
    Ok(m::HistogramDataPoint {
        attributes: attributes(value, "attributes")?,
        start_time_unix_nano: integer(value, "startTimeUnixNano")?,
        time_unix_nano: integer(value, "timeUnixNano")?,
        count: integer(value, "count")?,
        sum: present(value, "sum", |n| as_double(n, "sum"))?,
        bucket_counts: list(value, "bucketCounts", |n| as_integer(n, "bucketCounts"))?,
        explicit_bounds: list(value, "explicitBounds", |n| as_double(n, "explicitBounds"))?,
        exemplars: list(value, "exemplars", exemplar)?,
        flags: integer(value, "flags")?,
    })
}

fn exponential_point(value: &Value) -> Result<m::ExponentialHistogramDataPoint> {
    let buckets = |buckets: &Value| {
        Ok(m::exponential_histogram_data_point::Buckets {
            offset: integer(buckets, "offset")?,
            bucket_counts: list(buckets, "bucketCounts", |n| as_integer(n, "bucketCounts"))?,
        })
    };
    Ok(m::ExponentialHistogramDataPoint {
        attributes: attributes(value, "attributes")?,
        start_time_unix_nano: integer(value, "startTimeUnixNano")?,
        time_unix_nano: integer(value, "timeUnixNano")?,
        count: integer(value, "count")?,
        sum: present(value, "sum", |n| as_double(n, "sum"))?,
        scale: integer(value, "scale")?,
        zero_count: integer(value, "zeroCount")?,
        positive: present(value, "positive", buckets)?,
        negative: present(value, "negative", buckets)?,
        flags: integer(value, "flags")?,
        exemplars: list(value, "exemplars", exemplar)?,
        zero_threshold: double(value, "zeroThreshold")?,
    })
}

fn summary_point(value: &Value) -> Result<m::SummaryDataPoint> {
    Ok(m::SummaryDataPoint {
        attributes: attributes(value, "attributes")?,
        start_time_unix_nano: integer(value, "startTimeUnixNano")?,
        time_unix_nano: integer(value, "timeUnixNano")?,
        count: integer(value, "count")?,
        sum: double(value, "sum")?,
        quantile_values: list(value, "quantileValues", |q| {
            Ok(m::summary_data_point::ValueAtQuantile {
                quantile: double(q, "quantile")?,
                value: double(q, "value")?,
            })
        })?,
        flags: integer(value, "flags")?,
    })
}

fn exemplar(value: &Value) -> Result<m::Exemplar> {
    use m::exemplar::Value as Number;
    Ok(m::Exemplar {
        filtered_attributes: attributes(value, "filteredAttributes")?,
        time_unix_nano: integer(value, "timeUnixNano")?,
        span_id: hex(value, "spanId")?,
        trace_id: hex(value, "traceId")?,
        value: number(value, Number::AsDouble, Number::AsInt)?,
    })
}

fn attributes(value: &Value, name: &str) -> Result<Vec<c::KeyValue>> {
    list(value, name, |pair| {
        Ok(c::KeyValue {
            key: text(pair, "key")?,
            value: present(pair, "value", any)?,
        })
    })
}

fn any(value: &Value) -> Result<c::AnyValue> {
    use c::any_value::Value as Any;
    let found = if field(value, "stringValue").is_some() {
        Some(Any::StringValue(text(value, "stringValue")?))
    } else if let Some(flag) = field(value, "boolValue") {
        Some(Any::BoolValue(*flag == Value::Bool(true)))
    } else if field(value, "intValue").is_some() {
        Some(Any::IntValue(integer(value, "intValue")?))
    } else if field(value, "doubleValue").is_some() {
        Some(Any::DoubleValue(double(value, "doubleValue")?))
    } else if let Some(array) = field(value, "arrayValue") {
        let values = list(array, "values", any)?;
        Some(Any::ArrayValue(c::ArrayValue { values }))
    } else if let Some(pairs) = field(value, "kvlistValue") {
        let values = attributes(pairs, "values")?;
        Some(Any::KvlistValue(c::KeyValueList { values }))
    } else {
        None
    };
    Ok(c::AnyValue { value: found })
}

/// A field that is there and not `null`; other spellings are those of the `.proto` files.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let found = value.get(name).or_else(|| {
        let mut snake = String::with_capacity(name.len() + 4);
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        value.get(&snake)
    });
    found.filter(|found| !found.is_null())
}

fn list<T>(value: &Value, name: &str, each: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    match field(value, name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(each).collect(),
        Some(_) => Err(format!("{name}: not an array")),
    }
}

fn present<T>(value: &Value, name: &str, read: impl Fn(&Value) -> Result<T>) -> Result<Option<T>> {
    field(value, name).map(read).transpose()
}

fn text(value: &Value, name: &str) -> Result<String> {
    match field(value, name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{name}: not a string")),
    }
}

/// Integers of 64 bits come as strings.
fn integer<T: TryFrom<i128> + Default>(value: &Value, name: &str) -> Result<T> {
    field(value, name).map_or(Ok(T::default()), |found| as_integer(found, name))
}

fn as_integer<T: TryFrom<i128>>(value: &Value, name: &str) -> Result<T> {
    let number = match value {
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => Some(i128::from(n)),
            (_, Some(n), _) => Some(i128::from(n)),
            (_, _, Some(n)) if n.fract() == 0.0 => Some(n as i128),
            _ => None,
        },
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{name}: not an integer of its size: {value}"))
}

fn double(value: &Value, name: &str) -> Result<f64> {
    field(value, name).map_or(Ok(0.0), |found| as_double(found, name))
}

fn as_double(value: &Value, name: &str) -> Result<f64> {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            text => text.parse().ok(),
        },
        _ => None,
    };
    number.ok_or_else(|| format!("{name}: not a number: {value}"))
}

fn hex(value: &Value, name: &str) -> Result<Vec<u8>> {
    let text = text(value, name)?;
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect();
    bytes
        .filter(|_| rest.is_empty())
        .ok_or_else(|| format!("{name}: not hexadecimal"))
}

//! The metrics of devices as a request of OTLP, the protocol of OpenTelemetry.
//!
//! A name with its unit turns into the name of `/metrics` by OpenTelemetry's own rules: `orrery.gpu.power` in `W`
//! becomes `orrery_gpu_power_watts`. The request is written here and not by OpenTelemetry's SDK, because that goes on
//! sending the last value of a gauge whose device is gone.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as PointValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use orrery_telemetry::{Sample, SourceStatus};
use prometheus_client::metrics::MetricType;

use super::{Labels, Number, rows, table};
use crate::source::node_name;
use crate::{Board, Snapshot};

/// What is on `board`.
pub(crate) fn request(board: &Board) -> ExportMetricsServiceRequest {
    let Snapshot {
        statuses, samples, ..
    } = board.snapshot();
    let mut metrics = vec![sources(&statuses)];
    metrics.extend(table::all().filter_map(|metric| of_devices(metric, &samples)));
    let attributes = [
        ("service.name", "orrery-collector".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name", node_name()),
    ];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: attributes.map(|(key, value)| attribute(key, value)).into(),
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "orrery".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..InstrumentationScope::default()
                }),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// How every source does: what is absent is told, not left out.
fn sources(statuses: &[SourceStatus]) -> Metric {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let points = statuses.iter().map(|status| {
        let labels = vec![
            ("source", status.name.clone().into()),
            ("reason", status.reason.clone().into()),
        ];
        point(labels, Number::from(status.is_up()), now)
    });
    Metric {
        name: "orrery.source.up".to_owned(),
        description: "The source gives samples, or the reason why not".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: points.collect(),
        })),
        ..Metric::default()
    }
}

/// One metric of all devices, if any has it.
fn of_devices(metric: &table::Metric, samples: &[Arc<Sample>]) -> Option<Metric> {
    let mut data_points = Vec::new();
    for sample in samples {
        let rows = rows(std::slice::from_ref(sample), |device| {
            let rows = (metric.rows)(device).into_iter();
            rows.filter_map(|(labels, number)| Some((labels, *number.value()?)))
                .collect()
        });
        let at = sample.taken.as_millis().saturating_mul(1_000_000);
        data_points.extend(rows.into_iter().map(|(labels, number)| point(labels, number, at)));
    }
    if data_points.is_empty() {
        return None;
    }
    let data = match metric.kind {
        MetricType::Counter => Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        _ => Data::Gauge(Gauge { data_points }),
    };
    Some(Metric {
        name: metric.name.replace('_', "."),
        description: metric.help.to_owned(),
        unit: metric.unit.map_or("", unit).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

/// A unit as UCUM has it.
fn unit(name: &str) -> &str {
    match name {
        "ratio" => "1",
        "bytes" => "By",
        "bytes_per_second" => "By/s",
        "watts" => "W",
        "joules" => "J",
        "hertz" => "Hz",
        "celsius" => "Cel",
        "seconds" => "s",
        other => other,
    }
}

fn point(labels: Labels, number: Number, at_nanos: u64) -> NumberDataPoint {
    let value = match number {
        Number::Real(number) => PointValue::AsDouble(number),
        Number::Whole(number) => {
            i64::try_from(number).map_or_else(|_large| PointValue::AsDouble(float(number)), PointValue::AsInt)
        }
    };
    let attributes = labels
        .into_iter()
        .map(|(key, value)| attribute(key, value.into_owned()));
    NumberDataPoint {
        attributes: attributes.collect(),
        time_unix_nano: at_nanos,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

/// What fits no signed number, as Prometheus keeps every number.
#[expect(clippy::cast_precision_loss, reason = "there is no better one")]
fn float(number: u64) -> f64 {
    number as f64
}

fn attribute(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

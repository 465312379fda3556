//! Metrics pushed to a receiver of OTLP that a test plays.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use orrery_collector::{Daemon, Otlp, SourceKind};
use prost::Message as _;

use crate::http::{PATIENCE, metrics_until, settings};

/// One request over `stream`: its first line and its body; `answer` is sent back.
fn take(mut stream: TcpStream, answer: &str) -> (String, Vec<u8>) {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time above zero");
    let mut taken = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let head = taken.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(end) = head {
            let text = String::from_utf8_lossy(&taken[..end]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.expect("it says how long it is").parse().expect("a number");
            if taken.len() >= end + 4 + length {
                write!(
                    stream,
                    "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .expect("it waits");
                let first = text.lines().next().unwrap_or_default().to_owned();
                return (first, taken.split_off(end + 4));
            }
        }
        let length = stream.read(&mut piece).expect("the request comes");
        assert!(length > 0, "it ended early");
        taken.extend_from_slice(&piece[..length]);
    }
}

#[test]
fn metrics_are_pushed_with_their_units_and_never_when_they_are_stale() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(vec![SourceKind::Demo, SourceKind::Nvml]);
    settings.otlp = Some(Otlp {
        endpoint: format!("http://{}", receiver.local_addr().unwrap()),
        interval: Duration::from_millis(200),
    });
    let daemon = Daemon::start(&settings).unwrap();
    metrics_until(daemon.address(), "readings", |text| text.contains("orrery_gpu_"));
    // A receiver that is out of order loses what it was sent, and nothing else happens.
    take(receiver.accept().unwrap().0, "503 Service Unavailable");
    let (first, body) = take(receiver.accept().unwrap().0, "200 OK");
    assert_eq!(first, "post /v1/metrics http/1.1");
    let request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let named = |name: &str| -> &Metric { metrics.iter().find(|metric| metric.name == name).expect(name) };
    let power = named("orrery.gpu.power");
    assert_eq!(power.unit, "W");
    let Some(Data::Gauge(gauge)) = &power.data else {
        panic!("{power:?}")
    };
    assert_eq!(gauge.data_points.len(), 32);
    let point = &gauge.data_points[0];
    assert!(point.time_unix_nano > 1_700_000_000_000_000_000, "{point:?}");
    let keys: Vec<&str> = point
        .attributes
        .iter()
        .map(|attribute| attribute.key.as_str())
        .collect();
    assert_eq!(keys, ["source", "demo", "node", "gpu", "uuid"]);
    let energy = named("orrery.gpu.energy");
    let Some(Data::Sum(sum)) = &energy.data else {
        panic!("{energy:?}")
    };
    assert!(sum.is_monotonic && energy.unit == "J", "{energy:?}");
    let Some(Data::Gauge(tensor)) = &named("orrery.gpu.tensor.active").data else {
        panic!()
    };
    assert_eq!(tensor.data_points.len(), 31, "what is absent is no number");
    let Some(Data::Gauge(sources)) = &named("orrery.source.up").data else {
        panic!()
    };
    let absent = sources
        .data_points
        .iter()
        .filter(|point| point.value == Some(Value::AsInt(0)));
    assert!(absent.count() >= 1, "{sources:?}");
}

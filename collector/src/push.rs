//! Pushes what is on the board to a receiver of OTLP over HTTP, for clusters that gather by OpenTelemetry.

use std::time::Duration;

use prost::Message as _;

use crate::Board;
use crate::metrics::otlp_request;
use crate::threads::Stop;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The receiver, such as `http://127.0.0.1:4318`; `/v1/metrics` is added where it names no page.
    pub endpoint: String,
    /// Time between two pushes.
    pub interval: Duration,
}

impl Otlp {
    fn url(&self) -> String {
        let endpoint = self.endpoint.trim_end_matches('/');
        let after_host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
        if after_host.contains('/') {
            endpoint.to_owned()
        } else {
            format!("{endpoint}/v1/metrics")
        }
    }

    /// Pushes until `stop`. A receiver that does not take it is told of once, and once when it does again; what was
    /// not taken is not kept.
    pub(crate) fn run(&self, board: &Board, stop: &Stop) {
        let configuration = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build();
        let agent = ureq::Agent::new_with_config(configuration);
        let url = self.url();
        let mut is_taken = true;
        while !stop.wait(self.interval) {
            let body = otlp_request(board).encode_to_vec();
            let sent = agent
                .post(&url)
                .header("content-type", "application/x-protobuf")
                .send(&body[..]);
            match (&sent, is_taken) {
                (Err(fault), true) => tracing::warn!("otlp: `{url}` does not take metrics: {fault}"),
                (Ok(_), false) => tracing::info!("otlp: `{url}` takes metrics again"),
                _ => {}
            }
            is_taken = sent.is_ok();
        }
    }
}

#[test]
fn a_receiver_is_named_with_or_without_its_page() {
    for (endpoint, url) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/metrics"),
        ("http://agent/otlp/v1/metrics", "http://agent/otlp/v1/metrics"),
    ] {
        let otlp = Otlp {
            endpoint: endpoint.to_owned(),
            interval: Duration::from_secs(1),
        };
        assert_eq!(otlp.url(), url);
    }
}

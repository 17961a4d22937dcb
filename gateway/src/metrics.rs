//! Numbers for Prometheus.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// One label with one of few values.
type Label = [(&'static str, &'static str); 1];

/// Every number the gateway counts. Cheap to change from any task.
pub struct Metrics {
    registry: Registry,
    /// TCP connections that are open.
    pub connections: Gauge<i64, AtomicI64>,
    /// WebSockets that are open.
    pub sockets: Gauge<i64, AtomicI64>,
    /// Devices that are registered.
    pub devices: Gauge<i64, AtomicI64>,
    /// Calls that ring or run.
    pub calls: Gauge<i64, AtomicI64>,
    /// Calls since the start.
    pub calls_started: Counter,
    /// Calls that were answered.
    pub calls_answered: Counter,
    ended: Family<Label, Counter>,
    messages: Family<Label, Counter>,
    refused: Family<Label, Counter>,
    queries: Family<Label, Counter>,
    requests: Family<Label, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("offhook");
        let (connections, sockets, devices, calls) = (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("connections", "Open TCP connections", connections.clone());
        registry.register("websockets", "Open WebSockets", sockets.clone());
        registry.register("devices", "Registered devices", devices.clone());
        registry.register("calls", "Calls that ring or run", calls.clone());
        let (calls_started, calls_answered) = (Counter::default(), Counter::default());
        registry.register("calls_started", "Calls begun", calls_started.clone());
        registry.register("calls_answered", "Calls answered", calls_answered.clone());
        let mut family = |name: &str, help: &str| {
            let family = Family::<Label, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let ended = family("calls_ended", "Calls ended, by cause");
        let messages = family("messages", "SIP messages, by direction");
        let refused = family("refused", "Connections, requests and messages refused, by reason");
        let queries = family("store_queries", "Questions to the database, by result");
        let requests = family("http_requests", "HTTP requests, by class of the status");
        Self {
            registry,
            connections,
            sockets,
            devices,
            calls,
            calls_started,
            calls_answered,
            ended,
            messages,
            refused,
            queries,
            requests,
        }
    }
}

impl Metrics {
    /// A SIP message came in.
    pub fn message_in(&self) {
        self.messages.get_or_create(&[("direction", "in")]).inc();
    }

    /// A SIP message went out.
    pub fn message_out(&self) {
        self.messages.get_or_create(&[("direction", "out")]).inc();
    }

    /// Somebody was turned away.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// A call is over.
    pub fn call_ended(&self, cause: &'static str) {
        self.ended.get_or_create(&[("cause", cause)]).inc();
    }

    /// The database was asked.
    pub fn query(&self, ok: bool) {
        self.queries.get_or_create(&[("result", if ok { "ok" } else { "error" })]).inc();
    }

    /// An HTTP request was answered.
    pub fn request(&self, status: u16) {
        let class = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&[("status", class)]).inc();
    }

    /// Everything, in the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::default();
        metrics.message_in();
        metrics.refused("origin");
        metrics.devices.set(3);
        let text = metrics.text();
        assert!(text.contains("offhook_messages_total{direction=\"in\"} 1"), "{text}");
        assert!(text.contains("offhook_refused_total{reason=\"origin\"} 1"), "{text}");
        assert!(text.contains("offhook_devices 3"), "{text}");
    }
}

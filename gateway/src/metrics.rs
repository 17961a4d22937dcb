//! Metrics for Prometheus.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A label with a fixed set of values.
type Label = [(&'static str, &'static str); 1];

/// All metrics of the gateway; cheap to update from any task.
pub struct Metrics {
    registry: Registry,
    /// Open TCP connections.
    pub connections: Gauge<i64, AtomicI64>,
    /// Open WebSockets.
    pub sockets: Gauge<i64, AtomicI64>,
    /// Registered devices.
    pub devices: Gauge<i64, AtomicI64>,
    /// Calls that are ringing or established.
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
    /// Counts a received SIP message.
    pub fn message_in(&self) {
        self.messages.get_or_create(&[("direction", "in")]).inc();
    }

    /// Counts a sent SIP message.
    pub fn message_out(&self) {
        self.messages.get_or_create(&[("direction", "out")]).inc();
    }

    /// Counts a rejection.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts the end of a call.
    pub fn call_ended(&self, cause: &'static str) {
        self.ended.get_or_create(&[("cause", cause)]).inc();
    }

    /// Counts a query to the database.
    pub fn query(&self, ok: bool) {
        self.queries.get_or_create(&[("result", if ok { "ok" } else { "error" })]).inc();
    }

    /// Counts a response to an HTTP request.
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

    /// Returns all metrics in the text format of Prometheus.
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
    fn counters_are_in_the_metrics() {
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

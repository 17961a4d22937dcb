//! The origin of requests: a program or page of this machine, a page of an allowed origin, or another client.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HOST, ORIGIN, VIA};
use url::Url;

use crate::store::{Application, LOOPBACK};

/// Headers that a proxy adds: behind one, every client has the address of the proxy.
const FORWARDING: [&str; 5] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-forwarded"];

/// Whether a request comes from this machine and is meant for it: the peer is loopback, no proxy has forwarded it, and its Host is
/// loopback, too (a page of another host whose name was made to resolve to 127.0.0.1 has its own name there).
#[must_use]
pub fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    let forwarded =
        headers.contains_key(FORWARDED) || headers.contains_key(VIA) || FORWARDING.iter().any(|name| headers.contains_key(*name));
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).is_some_and(is_loopback_host);
    peer.is_loopback() && !forwarded && host && hosts.next().is_none()
}

/// Returns the client of a request that a trusted proxy has forwarded: the last address in `X-Forwarded-For` that is not a proxy,
/// because anything before it may be forged; the proxy itself where there is none.
#[must_use]
pub fn forwarded_for(proxy: IpAddr, headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> IpAddr {
    let values = headers.get_all(FORWARDING[0]).iter().rev().map(|value| value.to_str().unwrap_or_default());
    let mut client = proxy;
    for text in values.flat_map(|value| value.rsplit(',')) {
        // A malformed entry was not written by a trusted proxy: it and everything before it is ignored.
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_proxy(client) {
            break;
        }
    }
    client
}

/// Whether the page that sends the request may use the application (RFC 6455, 10.2). Browsers always send Origin; `missing` is the
/// result without it.
#[must_use]
pub fn is_allowed(application: &Application, headers: &HeaderMap, missing: bool) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => missing,
        (Some(origin), None) => origin.to_str().is_ok_and(|origin| lists(application, origin)),
        (Some(_), Some(_)) => false,
    }
}

fn lists(application: &Application, origin: &str) -> bool {
    application.origins.iter().any(|allowed| if allowed == LOOPBACK { is_loopback_origin(origin) } else { allowed == origin })
}

/// What pages without an origin of their own send: those of files and of sandboxed frames `null`; those of files in some apps (Cordova on Android,
/// Electron) `file://`.
const OF_NO_SITE: [&str; 2] = ["null", "file://"];

/// Whether `text` is an origin as browsers write it (RFC 6454, 6.2): lower case, no path, no default port. Apps and extensions have a scheme of
/// their own, such as `capacitor://localhost`. A name with `*` could be one, but its author means a pattern.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let is_written = |url: Url| match url.scheme() {
        "http" | "https" => url.origin().ascii_serialization() == text,
        // Without a path only where a URL of this scheme may have none; pages of `ws` and `ftp` have no such origin.
        _ => {
            url.as_str() == text
                && url.has_host()
                && url.authority() == &text[url.scheme().len() + 3..]
                && url.username().is_empty()
        }
    };
    OF_NO_SITE.contains(&text) || Url::parse(text).is_ok_and(is_written) && !text.contains('*')
}

fn is_loopback_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(is_loopback_host)
}

fn is_loopback_host(text: &str) -> bool {
    let (host, port) = split_port(text);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]") && port.is_none_or(is_port)
}

/// Splits host and port; the colons in `[…]` do not begin a port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::HeaderValue;

    use super::*;
    use offhook_access::secret::Secret;

    #[test]
    fn the_allow_list_is_exact() {
        let application = application(&["https://a.example", "https://b.example:8443"]);
        for origin in ["https://a.example", "https://b.example:8443"] {
            assert!(is_allowed(&application, &headers(&[("origin", origin)]), false), "{origin}");
        }
        for origin in FOREIGN {
            assert!(!is_allowed(&application, &headers(&[("origin", origin)]), true), "{origin}");
        }
    }

    /// Origins that differ only a little from `https://a.example`.
    const FOREIGN: [&str; 18] = [
        "null",
        "",
        "http://a.example",
        "https://a.example:443",
        "https://a.example:8443",
        "https://a.example.",
        "https://a.example/",
        "https://A.example",
        "https://sub.a.example",
        "https://a.example.evil.example",
        "https://evil-a.example",
        "https://xn--a.example",
        "https://a.example https://b.example:8443",
        "https://b.example",
        "wss://a.example",
        "//a.example",
        "a.example",
        "loopback",
    ];

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let proxy = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let asked = |values: &[&str]| {
            let all: Vec<(&'static str, &str)> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
            forwarded_for(proxy(1), &headers(&all), |address| proxy(1) == address || proxy(2) == address).to_string()
        };
        assert_eq!(asked(&[]), "10.0.0.1");
        assert_eq!(asked(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(asked(&["127.0.0.1, 192.0.2.1"]), "192.0.2.1", "the first was written by the client");
        assert_eq!(asked(&["192.0.2.1, 10.0.0.2"]), "192.0.2.1", "two proxies");
        assert_eq!(asked(&["203.0.113.9", "2001:db8::1,10.0.0.2"]), "2001:db8::1", "in several fields");
        assert_eq!(asked(&["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(asked(&["192.0.2.1, x, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(asked(&["::ffff:192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn origins_of_apps_and_extensions_are_as_exact() {
        let named = ["capacitor://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"];
        for origin in named {
            assert!(is_allowed(&application(&named), &headers(&[("origin", origin)]), false), "{origin}");
        }
        for origin in [
            "capacitor://localhost:1",
            "capacitor://localhost/",
            "Capacitor://localhost",
            "ionic://localhost",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnoq",
            "http://localhost",
            "null",
        ] {
            assert!(!is_allowed(&application(&named), &headers(&[("origin", origin)]), false), "{origin}");
        }
        for (name, other) in [("null", "file://"), ("file://", "null")] {
            assert!(is_allowed(&application(&[name]), &headers(&[("origin", name)]), false), "{name}");
            for others in [&[LOOPBACK][..], &["https://a.example"], &["capacitor://localhost"], &[other]] {
                assert!(!is_allowed(&application(others), &headers(&[("origin", name)]), true), "{others:?}: only by its name");
            }
            assert!(!is_allowed(&application(&[name]), &headers(&[("origin", "https://a.example")]), false));
        }
    }

    #[test]
    fn a_missing_origin_is_allowed_for_programs_only() {
        assert!(is_allowed(&application(&[]), &HeaderMap::new(), true));
        assert!(!is_allowed(&application(&[]), &HeaderMap::new(), false));
        let two = headers(&[("origin", "https://a.example"), ("origin", "https://a.example")]);
        assert!(!is_allowed(&application(&["https://a.example"]), &two, true));
    }

    #[test]
    fn loopback_pages_have_any_port() {
        let application = application(&[LOOPBACK]);
        for origin in ["http://localhost", "http://localhost:5173", "https://127.0.0.1:8443", "http://[::1]:8080", "http://[::1]"] {
            assert!(is_allowed(&application, &headers(&[("origin", origin)]), false), "{origin}");
        }
        for origin in [
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://127.0.0.2",
            "http://localhost:x",
            "http://localhost:",
            "http://localhost:99999",
            "http://[::2]",
            "ftp://localhost",
            "http://user@localhost",
            "null",
            "file://",
            "loopback",
        ] {
            assert!(!is_allowed(&application, &headers(&[("origin", origin)]), false), "{origin}");
        }
    }

    #[test]
    fn a_request_is_local_by_peer_and_host_without_a_proxy() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(is_local(loopback, &headers(&[("host", "127.0.0.1:8080")])));
        assert!(!is_local(loopback, &headers(&[("host", "evil.example:8080")])));
        assert!(!is_local(loopback, &headers(&[])));
        assert!(!is_local(loopback, &headers(&[("host", "localhost"), ("x-forwarded-for", "203.0.113.1")])));
        assert!(!is_local(loopback, &headers(&[("host", "localhost"), ("forwarded", "for=203.0.113.1")])));
        assert!(!is_local(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), &headers(&[("host", "localhost")])));
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for good in [
            "https://a.example",
            "http://a.example:8080",
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1",
            "http://localhost:5173",
            "https://xn--bcher-kva.example",
            "https://a_b.example",
            "https://a.example.",
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost:1420",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
            "safari-web-extension://2C127FA4-62C7-7E4F-90E5-472B45EECFDC",
            "null",
            "file://",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "Null",
            "capacitor://",
            "capacitor:localhost",
            "capacitor://localhost/",
            "capacitor://localhost?",
            "capacitor://localhost#a",
            "capacitor://u@localhost",
            "capacitor://@localhost",
            "capacitor://localhost:",
            "Capacitor://localhost",
            "capacitor://a b",
            "chrome-extension://*",
            "ws://a.example",
            "ftp://a.example",
            "file:",
            "file:///",
            "file://a",
            "data:text/html,a",
            "about:blank",
            "javascript://a/%0aalert(1)",
            "loopback",
            "capacitor://localhost\ncapacitor://other",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "a.example",
            "https://",
            "*",
            "https://*.a",
            "https://a.example:0443",
            "https://a.example:65536",
            "https://a.example:",
            "https://u@a.example",
            "https://a.example?b",
            "https://a.example#b",
            "https://a.example\\",
            "https://bücher.example",
            "wss://a.example",
            "file:///a",
            "https://[2001:db8:0::1]",
            "https://[2001:DB8::1]",
            "https://127.1",
            "https://0127.0.0.1",
            " https://a.example",
            "",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    fn application(origins: &[&str]) -> Application {
        let origins = origins.iter().map(|&origin| origin.into()).collect();
        Application { key: "a".into(), secret: Secret::separate(Vec::new()), origins, allow_new_users: false, loopback_only: false }
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }
}

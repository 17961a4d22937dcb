//! TLS of the gateway: its certificate, and a new one while it runs.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::{Folder, Gateway, PATIENCE, Socket, closes, exchange, run};

#[tokio::test]
async fn it_serves_https_and_wss() {
    let (data, config) = folder();
    let root = certificate(&data);
    let gateway = Gateway::over(data, &config);
    assert_eq!(gateway.url, format!("https://127.0.0.1:{}", gateway.port));
    let stream = connect(&gateway, &root).await.expect("the certificate is good");
    let health = exchange(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(health.status, 200);
    assert!(secure(&gateway, &root).await.is_alive().await);
    assert_ne!(gateway.get("/health").await.status, 200, "no plain http on the same port");
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_calls_go_on() {
    let (data, config) = folder();
    let old = certificate(&data);
    let gateway = Gateway::over(data, &config);
    let mut socket = secure(&gateway, &old).await;

    let new = certificate(&gateway.data);
    gateway.signal("HUP");
    until(&gateway, &new).await;
    assert!(connect(&gateway, &old).await.is_err(), "the old one is out of use");
    assert!(socket.is_alive().await, "what is open stays open");

    let newer = certificate(&gateway.data);
    until(&gateway, &newer).await;
    assert!(socket.is_alive().await, "also where the files alone have changed");
}

#[tokio::test]
async fn a_broken_certificate_leaves_the_old_one() {
    let (data, config) = folder();
    let root = certificate(&data);
    let gateway = Gateway::over(data, &config);
    gateway.data.write("key.pem", "-----BEGIN NONSENSE-----\n");
    gateway.signal("HUP");
    let logged = async {
        while !gateway.log().contains("stays in use") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, logged).await.expect("it says so");
    assert!(connect(&gateway, &root).await.is_ok());
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let (data, config) = folder();
    certificate(&data);
    let gateway = Gateway::over(data, &format!("{config}[limits]\nhandshake_timeout = 400\n"));
    let mut silent = gateway.tcp().await;
    let mut half = gateway.tcp().await;
    half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.expect("sent");
    let bound = Duration::from_millis(300)..Duration::from_secs(5);
    assert!(bound.contains(&closes(&mut silent).await));
    closes(&mut half).await;
}

/// Returns folder and configuration of a gateway with TLS.
fn folder() -> (Folder, String) {
    let data = Folder::new();
    let folder = data.0.display();
    assert!(run(&data.0, &["application", "add", "shop"]).status.success());
    let own = "[data]\ndefault_application = \"shop\"\nallow_missing_origin = true\n";
    let config = format!("{own}[tls]\ncertificate = \"{folder}/chain.pem\"\nkey = \"{folder}/key.pem\"\n");
    (data, config)
}

/// Writes a new certificate to the two files; returns its PEM text.
fn certificate(data: &Folder) -> String {
    let fresh = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    data.write("key.pem", &fresh.signing_key.serialize_pem());
    data.write("chain.pem", &fresh.cert.pem());
    fresh.cert.pem()
}

async fn connect(gateway: &Gateway, root: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, gateway.tcp().await).await
}

async fn secure(gateway: &Gateway, root: &str) -> Socket<TlsStream<TcpStream>> {
    let stream = connect(gateway, root).await.expect("the certificate is good");
    Socket::open(stream, &format!("wss://localhost:{}/sip", gateway.port), &[]).await.expect("a program")
}

/// Waits until the gateway uses the certificate `root`.
async fn until(gateway: &Gateway, root: &str) {
    let shown = async {
        while connect(gateway, root).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("the new certificate is shown");
}

//! The sockets of the trunks, on loopback.

use std::fs;

use offhook_trunk::ResolveId;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const PING: &str = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";

/// An edge on free ports, and its folder.
struct World {
    edge: Edge,
    inputs: Inputs,
    config: Config,
    folder: std::path::PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Certificates of one authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Certificate and key for a name, as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.into()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// An edge whose certificate is for `name`, and which trusts `authority`.
async fn world(name: &str, authority: &Authority) -> World {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("offhook-sip-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let (certificate, key) = authority.issue(name);
    let mut config = Config::default();
    config.tls.certificate = folder.join("certificate.pem");
    config.tls.key = folder.join("key.pem");
    config.trunks.authorities = folder.join("authority.pem");
    fs::write(&config.tls.certificate, certificate).expect("written");
    fs::write(&config.tls.key, key).expect("written");
    fs::write(&config.trunks.authorities, authority.0.pem()).expect("written");
    (config.trunks.udp, config.trunks.tcp, config.trunks.tls) = (free_port(), free_port(), free_port());
    let certificate = Certificate::load(&config.tls).expect("a certificate");
    let opened = Edge::open(&config, Some(&certificate), Arc::default(), Arc::default()).await;
    let (edge, inputs) = opened.unwrap_or_else(|error| panic!("{error}"));
    World { edge, inputs, config, folder }
}

impl World {
    async fn next(&mut self) -> Input {
        tokio::time::timeout(Duration::from_secs(20), self.inputs.recv()).await.expect("in time").expect("an input")
    }

    fn connect(&self, connection: u64, port: u16, wire: Wire, name: &str) -> ConnectionId {
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        self.edge.perform(Output::Connect { connection: ConnectionId(connection), peer, wire, name: name.into() });
        ConnectionId(connection)
    }

    fn send(&self, connection: ConnectionId) {
        self.edge.perform(Output::Send { flow: Flow::Connection(connection), text: PING.into() });
    }
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let mut world = world("a.example", &Authority::new()).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = peer.local_addr().expect("an address");
    peer.send_to(PING.as_bytes(), ("127.0.0.1", world.config.trunks.udp)).await.expect("sent");
    let Input::Received { flow, bytes } = world.next().await else { panic!("a datagram") };
    assert_eq!((flow, bytes.as_slice()), (Flow::Udp(address), PING.as_bytes()));
    world.edge.perform(Output::Send { flow, text: "answer".into() });
    let mut buffer = [0; 100];
    let (length, from) = peer.recv_from(&mut buffer).await.expect("an answer");
    assert_eq!((&buffer[..length], from.port()), (&b"answer"[..], world.config.trunks.udp));
}

#[tokio::test]
async fn datagrams_beyond_what_can_wait_are_lost() {
    let mut world = world("a.example", &Authority::new()).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for index in 0..4 * QUEUE {
        peer.send_to(b"x", ("127.0.0.1", world.config.trunks.udp)).await.expect("sent");
        if index % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut waiting = 0;
    while world.inputs.try_recv().is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, QUEUE);
    peer.send_to(PING.as_bytes(), ("127.0.0.1", world.config.trunks.udp)).await.expect("sent");
    assert!(matches!(world.next().await, Input::Received { .. }));
}

#[tokio::test]
async fn a_stream_is_framed_kept_alive_and_closed() {
    let mut world = world("a.example", &Authority::new()).await;
    let mut peer = TcpStream::connect(("127.0.0.1", world.config.trunks.tcp)).await.expect("a connection");
    let Input::Opened { connection, wire: Wire::Tcp, names, .. } = world.next().await else { panic!("opened") };
    assert!(names.is_empty() && connection.0 % 2 == 1);
    peer.write_all(b"\r\n\r\n").await.expect("sent");
    let mut answer = [0; 2];
    peer.read_exact(&mut answer).await.expect("a pong");
    assert_eq!(&answer, b"\r\n");
    peer.write_all(format!("{PING}{PING}").as_bytes()).await.expect("sent");
    for _ in 0..2 {
        assert!(matches!(world.next().await, Input::Received { bytes, .. } if bytes == PING.as_bytes()));
    }
    world.send(connection);
    world.edge.perform(Output::Disconnect { connection });
    let mut rest = String::new();
    peer.read_to_string(&mut rest).await.expect("the end");
    assert_eq!(rest, PING, "what was said before the end is heard");
    assert!(matches!(world.next().await, Input::Closed { connection: closed } if closed == connection));

    let mut garbage = TcpStream::connect(("127.0.0.1", world.config.trunks.tcp)).await.expect("a connection");
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    assert!(matches!(world.next().await, Input::Opened { .. }));
    assert!(matches!(world.next().await, Input::Closed { .. }));
    assert_eq!(garbage.read(&mut answer).await.expect("the end"), 0);
}

#[tokio::test]
async fn a_tls_peer_with_a_wrong_certificate_is_rejected() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut world = world("127.0.0.1", &authority).await;
    let port = world.config.trunks.tls;
    // Both ends of the connection are this process.
    let connection = world.connect(2, port, Wire::Tls, "127.0.0.1");
    let (mut opened, mut names) = (0, Vec::new());
    while opened < 2 {
        if let Input::Opened { names: shown, .. } = world.next().await {
            opened += 1;
            names.extend(shown);
        }
    }
    world.send(connection);
    assert!(matches!(world.next().await, Input::Received { flow: Flow::Connection(connection), .. } if connection.0 % 2 == 1));

    for name in ["sip.provider.example", "not a name"] {
        let wrong = world.connect(4, port, Wire::Tls, name);
        assert!(matches!(world.next().await, Input::Closed { connection } if connection == wrong), "{name}");
    }
    let untrusted = self::world("127.0.0.1", &other).await;
    let wrong = world.connect(6, untrusted.config.trunks.tls, Wire::Tls, "127.0.0.1");
    assert!(matches!(world.next().await, Input::Closed { connection } if connection == wrong), "an unknown authority");
}

#[tokio::test]
async fn a_tls_client_is_known_by_its_certificate() {
    let authority = Authority::new();
    let mut server = world("127.0.0.1", &authority).await;
    let client = world("sip.provider.example", &authority).await;
    client.connect(2, server.config.trunks.tls, Wire::Tls, "127.0.0.1");
    let Input::Opened { names, .. } = server.next().await else { panic!("opened") };
    assert_eq!(names, ["sip.provider.example"]);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_reported_as_closed() {
    let mut world = world("a.example", &Authority::new()).await;
    let connection = world.connect(2, free_port(), Wire::Tcp, "");
    assert!(matches!(world.next().await, Input::Closed { connection: closed } if closed == connection));
}

#[tokio::test]
async fn a_name_with_a_port_is_looked_up() {
    let mut world = world("a.example", &Authority::new()).await;
    let (query, host) = (ResolveId(1), "localhost".to_owned());
    world.edge.perform(Output::Resolve { query, host, port: Some(5070), wire: Wire::Udp });
    let Input::Resolved { addresses, .. } = world.next().await else { panic!("an answer") };
    assert_eq!(addresses[0].0, SocketAddr::from(([127, 0, 0, 1], 5070)));
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let world = world("a.example", &Authority::new()).await;
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS_PER_ADDRESS + 1 {
        all.push(TcpStream::connect(("127.0.0.1", world.config.trunks.tcp)).await.expect("a connection"));
    }
    let mut last = all.pop().expect("one too many");
    assert_eq!(last.read(&mut [0; 1]).await.expect("the end"), 0);
    drop(all);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if world.edge.shared.all.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
    panic!("places are free again");
}

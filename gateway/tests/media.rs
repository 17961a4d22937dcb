//! The media of calls over real sockets, threads and the clock, on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_gateway::config;
use offhook_gateway::server::Clock;
use offhook_gateway::server::media::Media;
use offhook_media::{Codec, Command, Event, Leg, MediaError, Moment, PeerSettings, Security, SessionId};
use offhook_testing::phone::{PCMU, Phone};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

const S: SessionId = SessionId(3);
const PACKETS: u64 = 50;

/// A page with a socket of its own.
struct Page {
    rtc: Rtc,
    socket: UdpSocket,
    at: SocketAddr,
    mid: Option<Mid>,
    /// The destination of its datagrams.
    gateway: Option<SocketAddr>,
    received: Vec<Moment>,
}

impl Page {
    async fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let at = socket.local_addr().expect("an address");
        let mut rtc = Rtc::builder().set_rtp_mode(true).enable_pcmu(true, false).build(now());
        rtc.add_local_candidate(Candidate::host(at, "udp").expect("a candidate"));
        Self { rtc, socket, at, mid: None, gateway: None, received: Vec::new() }
    }

    /// Runs the page for a while.
    async fn run(&mut self, millis: u64) {
        let end = now() + Duration::from_millis(millis);
        let mut buffer = [0; 2_000];
        while now() < end {
            let wake = self.drain().await.min(end);
            let wait = wake.saturating_duration_since(now());
            match timeout(wait, self.socket.recv_from(&mut buffer)).await {
                Ok(Ok((length, source))) => {
                    let received = Receive::new(Protocol::Udp, source, self.at, &buffer[..length]).expect("a datagram");
                    self.rtc.handle_input(Input::Receive(now(), received)).expect("alive");
                }
                _ => self.rtc.handle_input(Input::Timeout(now())).expect("alive"),
            }
        }
        self.drain().await;
    }

    async fn drain(&mut self) -> Moment {
        loop {
            match self.rtc.poll_output().expect("alive") {
                Output::Timeout(at) => return at,
                Output::Transmit(transmit) => {
                    self.gateway = Some(transmit.destination);
                    self.socket.send_to(&transmit.contents, transmit.destination).await.expect("sent");
                }
                Output::Event(str0m::Event::RtpPacket(_)) => self.received.push(now()),
                Output::Event(_) => {}
            }
        }
    }
}

fn now() -> Moment {
    tokio::time::Instant::now().into_std()
}

async fn event(events: &mut UnboundedReceiver<Event>) -> Event {
    timeout(Duration::from_secs(20), events.recv()).await.expect("in time").expect("the media live")
}

fn configuration(ports: &str) -> config::Media {
    config::Media { ports: ports.into(), ..config::Media::default() }
}

/// A phone with G.711 µ-law.
fn peer() -> PeerSettings {
    let (codecs, security, signalling) = (vec![Codec::Pcmu], Security::None, Vec::new());
    PeerSettings { codecs, security, address: None, nat: false, signalling, eager: true, info: false }
}

#[tokio::test]
async fn sound_goes_both_ways_over_real_sockets() {
    let clock = Arc::new(Clock::default());
    let (media, mut events) = Media::start(&configuration("36000-36399"), &clock).expect("sockets");
    let (mut page, wire, mut phone, gateway) = call(&media, &mut events).await;
    let (mut heard, mut buffer, mut sent) = (0, [0; 2_000], Vec::new());
    for n in 1..=PACKETS {
        let packet = RtpWrite::new(0.into(), n.into(), n as u32 * 160, now(), &[1u8; 160][..]);
        let mid = page.mid.expect("a line");
        page.rtc.direct_api().stream_tx_by_mid(mid, None).expect("a stream").write_rtp(packet);
        page.rtc.handle_input(Input::Timeout(now())).expect("alive");
        sent.push(now());
        wire.send_to(&phone.packet(0, &[2; 160], 160), gateway).await.expect("sent");
        page.run(20).await;
        while wire.try_recv_from(&mut buffer).is_ok_and(|(length, _)| length == 172) {
            heard += 1;
        }
    }
    page.run(200).await;
    while wire.try_recv_from(&mut buffer).is_ok() {
        heard += 1;
    }
    assert!(heard >= PACKETS * 9 / 10, "the phone heard {heard}");
    assert!(page.received.len() as u64 >= PACKETS * 9 / 10, "the page heard {}", page.received.len());
    let mut delays: Vec<Duration> =
        sent.iter().zip(&page.received).map(|(sent, came)| came.saturating_duration_since(*sent)).collect();
    delays.sort();
    println!("phone to page: median {:?}, p95 {:?}", delays[delays.len() / 2], delays[delays.len() * 95 / 100]);

    media.command(Command::Close { session: S });
    let Event::Closed { traffic, .. } = event(&mut events).await else { panic!("not closed") };
    assert_eq!(traffic.from_peer, (PACKETS, 0));
    UdpSocket::bind(gateway).await.expect("the port is free again");
}

/// Returns a page that has called a phone, both connected.
async fn call(media: &Media, events: &mut UnboundedReceiver<Event>) -> (Page, UdpSocket, Phone, SocketAddr) {
    let mut page = Page::new().await;
    media.command(Command::Open { session: S, call: "c1".into(), peer: peer() });
    let mut changes = page.rtc.sdp_api();
    page.mid = Some(changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
    let (offer, pending) = changes.apply().expect("a change");
    media.command(Command::Offered { session: S, leg: Leg::Page, sdp: offer.to_sdp_string() });
    let Event::Answer { sdp: Ok(answer), .. } = event(events).await else { panic!("no answer") };
    let answer = SdpAnswer::from_sdp_string(&answer).expect("an answer");
    page.rtc.sdp_api().accept_answer(pending, answer).expect("an answer that fits");

    let wire = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let mut phone = Phone::new(&wire.local_addr().expect("an address").to_string());
    media.command(Command::Offer { session: S, leg: Leg::Peer });
    let Event::Offer { sdp: Ok(offer), .. } = event(events).await else { panic!("no offer") };
    phone.heed(&offer);
    let gateway = SocketAddr::new(phone.at.ip(), phone.gateway.expect("a port"));
    media.command(Command::Answered { session: S, leg: Leg::Peer, sdp: phone.sdp(&[PCMU]) });
    while !page.rtc.is_connected() {
        page.run(50).await;
    }
    assert!(matches!(event(events).await, Event::Connected { session: S }));
    (page, wire, phone, gateway)
}

#[tokio::test]
async fn a_flood_of_malformed_packets_leaves_a_call_unchanged() {
    let clock = Arc::new(Clock::default());
    let (media, mut events) = Media::start(&configuration("36404-36499"), &clock).expect("sockets");
    let (mut page, wire, mut phone, gateway) = call(&media, &mut events).await;
    let (mut heard, mut buffer, mut bad) = (0, [0; 2_000], [0xd5; 182]);
    for n in 1..=PACKETS {
        let packet = RtpWrite::new(0.into(), n.into(), n as u32 * 160, now(), &[1u8; 160][..]);
        let mid = page.mid.expect("a line");
        page.rtc.direct_api().stream_tx_by_mid(mid, None).expect("a stream").write_rtp(packet);
        page.rtc.handle_input(Input::Timeout(now())).expect("alive");
        wire.send_to(&phone.packet(0, &[2; 160], 160), gateway).await.expect("sent");
        page.run(15).await;
        // From the page's own address, with the beginning of a packet that it might have sent.
        for m in 0..200u16 {
            bad[..4].copy_from_slice(&[0x80, 0, n as u8, m as u8]);
            page.socket.send_to(&bad[..usize::from(m % 182)], page.gateway.expect("it has sent")).await.expect("sent");
        }
        page.run(5).await;
        while wire.try_recv_from(&mut buffer).is_ok_and(|(length, _)| length == 172) {
            heard += 1;
        }
    }
    page.run(200).await;
    while wire.try_recv_from(&mut buffer).is_ok() {
        heard += 1;
    }
    assert!(heard >= PACKETS * 9 / 10, "the phone heard {heard}");
    assert!(page.received.len() as u64 >= PACKETS * 9 / 10, "the page heard {}", page.received.len());
    assert!(events.try_recv().is_err(), "nothing has happened");
}

#[tokio::test]
async fn ports_that_are_used_up_refuse_calls_and_come_back() {
    let clock = Arc::new(Clock::default());
    let (media, mut events) = Media::start(&configuration("36400-36403"), &clock).expect("sockets");
    let mut refused = 0;
    for n in 0..12 {
        let session = SessionId(n);
        media.command(Command::Open { session, call: "c1".into(), peer: peer() });
        media.command(Command::Offer { session, leg: Leg::Peer });
    }
    for _ in 0..12 {
        match event(&mut events).await {
            Event::Offer { sdp: Ok(_), .. } => {}
            Event::Offer { sdp: Err(MediaError::Busy), .. } => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 10, "two pairs are enough for two");
    for n in 0..12 {
        media.command(Command::Close { session: SessionId(n) });
    }
    for _ in 0..12 {
        assert!(matches!(event(&mut events).await, Event::Closed { .. }));
    }
    media.command(Command::Open { session: SessionId(0), call: "c1".into(), peer: peer() });
    media.command(Command::Offer { session: SessionId(0), leg: Leg::Peer });
    assert!(matches!(event(&mut events).await, Event::Offer { sdp: Ok(_), .. }));
}

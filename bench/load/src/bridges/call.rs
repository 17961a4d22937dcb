//! Calls: each has a page (str0m, as a browser would use it) and a phone, which talk to each other over the relay.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use offhook_media::Moment;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::relay::{Relay, Request, target};
use super::voice::{Ear, Mouth, Way};
use crate::trial::Failure;

const PTIME: Duration = Duration::from_millis(20);
/// PCMU, and str0m's number for Opus.
const PCMU: u8 = 0;
const OPUS: u8 = 111;
/// The phones' synchronization source.
const SOURCE: u32 = 7;

/// What all calls have heard.
#[derive(Default)]
pub struct Heard {
    /// Milliseconds from mouth to ear, in both directions.
    pub delays: Vec<f64>,
    /// Packets that came, in both directions.
    pub packets: u64,
}

/// All calls of one turn.
#[derive(Default)]
pub struct Crowd {
    tasks: LocalSet,
    heard: Rc<RefCell<Heard>>,
}

impl Crowd {
    /// One more call; it begins to talk while those after it are made.
    ///
    /// # Errors
    ///
    /// What does not work.
    pub async fn call(&mut self, relay: &mut Relay, way: Way, number: usize) -> Result<(), Failure> {
        let mut call = Call::new(way, Rc::clone(&self.heard)).await?;
        call.connect(relay, way, number as u64).await?;
        self.tasks.spawn_local(async move {
            if let Err(error) = call.run().await {
                eprintln!("a call has ended: {error}");
            }
        });
        // Those that talk already are not kept waiting; and no two calls talk in step.
        self.tasks.run_until(tokio::time::sleep(Duration::from_millis(3 + number as u64 * 7 % 20))).await;
        Ok(())
    }

    /// What is heard in a time.
    ///
    /// # Errors
    ///
    /// Where nothing is.
    pub async fn listen(&mut self, time: Duration) -> Result<Heard, Failure> {
        self.heard.take();
        self.tasks.run_until(tokio::time::sleep(time)).await;
        let heard = self.heard.take();
        if heard.delays.is_empty() { Err(format!("no tone in {} packets", heard.packets).into()) } else { Ok(heard) }
    }
}

struct Call {
    rtc: Rtc,
    mid: Mid,
    payload_type: u8,
    /// Ticks of 20 ms of the page's codec.
    ticks: u32,
    page: Side,
    phone: Side,
    target: SocketAddr,
    sent: u32,
    /// Whose stream the page hears.
    source: Option<u32>,
    heard: Rc<RefCell<Heard>>,
}

/// One of the two who talk.
struct Side {
    socket: UdpSocket,
    address: SocketAddr,
    mouth: Mouth,
    ear: Ear,
}

impl Side {
    async fn new(opus: bool) -> Result<Self, Failure> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, mouth: Mouth::new(opus)?, ear: Ear::new(opus)? })
    }
}

impl Call {
    async fn new(way: Way, heard: Rc<RefCell<Heard>>) -> Result<Self, Failure> {
        let opus = way == Way::Transcoded;
        let config = Rtc::builder().set_rtp_mode(true).clear_codecs();
        let config = if opus { config.enable_opus(true, false) } else { config.enable_pcmu(true, false) };
        let (payload_type, ticks) = if opus { (OPUS, 960) } else { (PCMU, 160) };
        let (page, phone) = (Side::new(opus).await?, Side::new(false).await?);
        let mut rtc = config.build(Moment::now());
        rtc.add_local_candidate(Candidate::host(page.address, "udp")?);
        let target = phone.address;
        Ok(Self { rtc, mid: Mid::new(), payload_type, ticks, page, phone, target, sent: 0, source: None, heard })
    }

    async fn connect(&mut self, relay: &mut Relay, way: Way, number: u64) -> Result<(), Failure> {
        let mut changes = self.rtc.sdp_api();
        self.mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = changes.apply().ok_or("no offer")?;
        let phone = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n",
            self.phone.address.port()
        );
        let bridged = relay.bridge(&Request { call: number, page: offer.to_sdp_string(), phone }, way).await?;
        self.target = target(&bridged.phone)?;
        Ok(self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&bridged.page)?)?)
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let mut next = Moment::now();
        let (mut from_page, mut from_phone) = (vec![0; 2048], vec![0; 2048]);
        loop {
            let wake = self.drain()?.min(next);
            tokio::select! {
                received = self.page.socket.recv_from(&mut from_page) => {
                    let (length, source) = received?;
                    self.expect(&from_page[..length]);
                    let receive = Receive::new(Protocol::Udp, source, self.page.address, &from_page[..length])?;
                    self.rtc.handle_input(Input::Receive(Moment::now(), receive))?;
                }
                received = self.phone.socket.recv_from(&mut from_phone) => self.phone_hears(&from_phone[..received?.0]),
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = Moment::now();
                    if now >= next {
                        next += PTIME;
                        self.talk(now)?;
                    }
                    self.rtc.handle_input(Input::Timeout(now))?;
                }
            }
        }
    }

    /// rtpengine does not announce whose stream it sends, and SRTP leaves the header readable.
    fn expect(&mut self, packet: &[u8]) {
        if self.source.is_none() && packet.len() > 12 && packet[1] & 0x7f == self.payload_type {
            let source = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
            self.rtc.direct_api().expect_stream_rx(source.into(), None, self.mid, None);
            self.source = Some(source);
        }
    }

    /// What the page wants to do, until it wants to be told of the time.
    fn drain(&mut self) -> Result<Moment, Failure> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                // What does not fit into the socket is lost.
                Output::Transmit(packet) => drop(self.page.socket.try_send_to(&packet.contents, packet.destination)),
                Output::Event(Event::RtpPacket(packet)) => {
                    let heard = self.page.ear.hear(Moment::now(), &packet.payload);
                    self.note(heard, self.phone.mouth.began);
                }
                Output::Event(_) => {}
            }
        }
    }

    fn phone_hears(&mut self, packet: &[u8]) {
        if let Some(payload) = payload(packet) {
            let heard = self.phone.ear.hear(Moment::now(), payload);
            self.note(heard, self.page.mouth.began);
        }
    }

    fn note(&self, heard: Option<Moment>, said: Option<Moment>) {
        let mut all = self.heard.borrow_mut();
        all.packets += 1;
        let delay = heard.zip(said).and_then(|(heard, said)| heard.checked_duration_since(said));
        all.delays.extend(delay.filter(|delay| *delay < Duration::from_millis(800)).map(|delay| delay.as_secs_f64() * 1e3));
    }

    /// Both say the next 20 ms.
    fn talk(&mut self, now: Moment) -> Result<(), Failure> {
        self.sent += 1;
        let mut packet = vec![0x80, PCMU];
        packet.extend((self.sent as u16).to_be_bytes());
        packet.extend((self.sent * 160).to_be_bytes());
        packet.extend(SOURCE.to_be_bytes());
        packet.extend(self.phone.mouth.say(now));
        drop(self.phone.socket.try_send_to(&packet, self.target));
        if self.rtc.is_connected() {
            let (number, time) = (u64::from(self.sent), self.sent * self.ticks);
            let write = RtpWrite::new(self.payload_type.into(), number.into(), time, now, self.page.mouth.say(now));
            self.rtc.direct_api().stream_tx_by_mid(self.mid, None).ok_or("no stream")?.write_rtp(write);
        }
        Ok(())
    }
}

/// What is after RTP's header and its extension (RFC 3550, 5.3.1); not of RTCP.
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (header, rest) = packet.split_at_checked(12).filter(|(header, _)| header[1] & 0x7f == PCMU)?;
    if header[0] & 0x10 == 0 {
        return Some(rest);
    }
    let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
    rest.get(4 + usize::from(words) * 4..)
}

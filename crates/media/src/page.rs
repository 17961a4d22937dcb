//! The page's side of a session: str0m with ICE-lite, DTLS and SRTP, one transport at a time.
//!
//! ```text
//!            offered / offer+answered        ICE, DTLS            new certificate in an offer,
//!   nothing ────────────────────────▶ agreed ────────▶ connected  another answer to our offer
//!                                       ▲                  │      ─────▶ agreed, by a new transport
//!                                       └──── ICE restart ─┘
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::{Codec as Format, FormatParams, PayloadParams};
use str0m::media::{Direction as Way, Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc, RtcConfig};

use super::dtls;
use super::epoch::{Epoch, Moment};
use super::page_sdp::PageSdp;
use super::port::{Codec, MediaError};
use super::rtp::{Header, Place};
use super::sdp::{Events, uses_fec};

/// How often str0m summarises the reports of a page.
const REPORTS: Duration = Duration::from_secs(1);

/// The state that all pages of an engine share.
#[derive(Clone)]
pub struct Shared {
    provider: Arc<CryptoProvider>,
    certificate: DtlsCert,
    /// The addresses for pages.
    addresses: Vec<SocketAddr>,
    /// The conversion to the clock of str0m.
    pub epoch: Epoch,
}

impl Shared {
    /// Returns the shared state with a new certificate.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, epoch: Epoch) -> Self {
        let provider = dtls::provider();
        let certificate = provider.dtls_provider.generate_certificate().expect("aws-lc-rs makes certificates");
        Self { provider: Arc::new(provider), certificate, addresses, epoch }
    }

    /// Returns the local address that datagrams from `source` were sent to.
    fn reached_from(&self, source: SocketAddr) -> Option<SocketAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == source.is_ipv4())
    }
}

/// The shared state, at the time of a call.
#[derive(Clone, Copy)]
pub struct PageContext<'a> {
    /// The state that all pages share.
    pub shared: &'a Shared,
    /// The time.
    pub now: Instant,
}

impl PageContext<'_> {
    /// Returns the time on the clock of str0m.
    fn moment(&self) -> Moment {
        self.shared.epoch.moment(self.now)
    }
}

/// An output of a page's side.
pub enum PageOutput {
    /// A datagram for the page.
    Send(SocketAddr, Vec<u8>),
    /// An RTP packet of the page: sound or a telephone event.
    Packet(FromPage),
    /// The fraction of packets that the page lost by its reports, of 256.
    Loss(u8),
    /// ICE and DTLS are up.
    Connected,
    /// The transport has failed.
    Failed(MediaError),
}

/// A decrypted packet of the page; its payload type was negotiated.
pub struct FromPage {
    /// The header as received.
    pub header: Header,
    /// The extended sequence number.
    pub number: u64,
    /// The payload.
    pub payload: Arc<[u8]>,
}

impl From<RtpPacket> for FromPage {
    fn from(packet: RtpPacket) -> Self {
        let header = Header {
            marker: packet.header.marker,
            payload_type: *packet.header.payload_type,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            ssrc: *packet.header.ssrc,
        };
        Self { header, number: *packet.seq_no, payload: packet.payload }
    }
}

/// The state of an offer of the gateway, which is needed to take an answer, and another answer after it.
struct LocalOffer {
    creds: IceCreds,
    stream: Option<Ssrc>,
    pending: Option<SdpPendingOffer>,
}

/// The page's side of a session.
#[derive(Default)]
pub struct Page {
    rtc: Option<Rtc>,
    mid: Option<Mid>,
    local: Option<LocalOffer>,
    /// User name fragment and fingerprint of the page, after the negotiation.
    remote: Option<(String, String)>,
    connected: bool,
    deadline: Option<Instant>,
    /// The negotiated codecs with payload types, in the order of preference.
    pub codecs: Vec<(Codec, u8)>,
    /// The negotiated telephone events.
    pub events: Vec<Events>,
    /// Whether its Opus decoder uses in-band FEC.
    pub uses_fec: bool,
    /// The number of the transport; each new one has a new stream.
    pub transport: u64,
}

impl Page {
    /// Takes an offer of the page, a first or a further one, and returns the answer.
    pub fn offered(&mut self, cx: PageContext<'_>, sdp: &str, order: &[Codec], random: &mut Random) -> Result<String, MediaError> {
        let page = PageSdp::read(sdp)?;
        let offer = SdpOffer::from_sdp_string(&page.text).map_err(|_| MediaError::Malformed)?;
        let same = self.remote.as_ref().is_some_and(|(_, fingerprint)| *fingerprint == page.fingerprint);
        if !same || !self.rtc.as_ref().is_some_and(Rtc::is_alive) {
            self.begin(cx, order, credentials(random));
        }
        self.notice_restart(&page);
        let rtc = self.rtc.as_mut().ok_or(MediaError::Broken)?;
        let before = rtc.direct_api().local_ice_credentials();
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|_| MediaError::NotAcceptable)?;
        let (mut answer, after) = (answer.to_sdp_string(), rtc.direct_api().local_ice_credentials());
        if after != before {
            // str0m restarts with a password of a predictable generator.
            let fresh = credentials(random);
            answer = answer.replace(&after.pass, &fresh.pass).replace(&after.ufrag, &fresh.ufrag);
            rtc.direct_api().set_local_ice_credentials(fresh);
        }
        self.negotiated(Mid::from(page.mid.as_str()), &page)?;
        Ok(page.widen(&answer))
    }

    /// Returns an offer to the page; a further one restarts ICE.
    pub fn offer(&mut self, cx: PageContext<'_>, order: &[Codec], random: &mut Random) -> Result<String, MediaError> {
        if self.remote.is_none() || !self.rtc.as_ref().is_some_and(Rtc::is_alive) {
            self.begin(cx, order, credentials(random));
        }
        let rtc = self.rtc.as_mut().ok_or(MediaError::Broken)?;
        let mut changes = rtc.sdp_api();
        if self.remote.is_none() {
            changes.add_media(MediaKind::Audio, Way::SendRecv, Some("offhook".into()), None, None);
        } else {
            changes.ice_restart(true);
        }
        let (offer, pending) = changes.apply().ok_or(MediaError::Broken)?;
        let (creds, offer) = (rtc.direct_api().local_ice_credentials(), offer.to_sdp_string());
        self.local = Some(LocalOffer { creds, stream: stream(&offer), pending: Some(pending) });
        Ok(offer)
    }

    /// Takes the answer of the page; another device may send another one later.
    pub fn answered(&mut self, cx: PageContext<'_>, sdp: &str, order: &[Codec]) -> Result<(), MediaError> {
        let page = PageSdp::read(sdp)?;
        let mut local = self.local.take().ok_or(MediaError::Malformed)?;
        let known = self.remote.as_ref().is_some_and(|(ufrag, print)| *ufrag == page.ufrag && *print == page.fingerprint);
        let another = local.pending.is_none();
        if another && known {
            self.local = Some(local);
            return Ok(());
        }
        let (pending, text) = match local.pending.take() {
            Some(pending) => (pending, page.text.clone()),
            None => self.offer_again(cx, &page, order, &local)?,
        };
        self.notice_restart(&page);
        let answer = SdpAnswer::from_sdp_string(&text).map_err(|_| MediaError::Malformed)?;
        let rtc = self.rtc.as_mut().ok_or(MediaError::Broken)?;
        rtc.sdp_api().accept_answer(pending, answer).map_err(|_| MediaError::NotAcceptable)?;
        let mid = Mid::from(text.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or_default());
        if let (true, Some(stream)) = (another, local.stream) {
            rtc.direct_api().reset_stream_tx(mid, None, stream, None);
        }
        self.local = Some(local);
        self.negotiated(mid, &page)
    }

    /// Makes a transport for another answer to the same offer: with the old password and stream, and another identification of the
    /// media line.
    fn offer_again(
        &mut self,
        cx: PageContext<'_>,
        page: &PageSdp,
        order: &[Codec],
        local: &LocalOffer,
    ) -> Result<(SdpPendingOffer, String), MediaError> {
        self.begin(cx, order, local.creds.clone());
        let rtc = self.rtc.as_mut().ok_or(MediaError::Broken)?;
        let mut changes = rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Way::SendRecv, Some("offhook".into()), None, None);
        let (_, pending) = changes.apply().ok_or(MediaError::Broken)?;
        Ok((pending, page.with_mid(&mid.to_string())))
    }

    /// Makes a new transport.
    fn begin(&mut self, cx: PageContext<'_>, order: &[Codec], creds: IceCreds) {
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::clone(&cx.shared.provider))
            .set_dtls_cert(cx.shared.certificate.clone())
            .set_ice_lite(true)
            .set_local_ice_credentials(creds)
            .set_rtp_mode(true)
            .set_stats_interval(Some(REPORTS))
            .clear_codecs()
            .clear_extension_map()
            .set_extension(4, Extension::RtpMid);
        add_codecs(&mut config, order);
        let mut rtc = config.build(cx.moment());
        for address in &cx.shared.addresses {
            rtc.add_local_candidate(
                Candidate::host(*address, "udp").expect("addresses that pages reach us at are none of everybody's"),
            );
        }
        *self = Self { rtc: Some(rtc), transport: self.transport + 1, ..Self::default() };
    }

    fn notice_restart(&mut self, page: &PageSdp) {
        if self.remote.as_ref().is_some_and(|(ufrag, _)| *ufrag != page.ufrag) {
            self.connected = false;
        }
    }

    /// Takes the result of a negotiation.
    fn negotiated(&mut self, mid: Mid, page: &PageSdp) -> Result<(), MediaError> {
        let rtc = self.rtc.as_ref().ok_or(MediaError::Broken)?;
        let media = rtc.media(mid).ok_or(MediaError::NotAcceptable)?;
        let both: Vec<&PayloadParams> =
            rtc.codec_config().params().iter().filter(|p| media.remote_pts().contains(&p.pt())).collect();
        self.codecs = both.iter().filter_map(|p| Some((codec(p)?, *p.pt()))).collect();
        let events = both.iter().filter(|p| p.spec().codec == Format::Tele);
        self.events = events.map(|p| Events { payload_type: *p.pt(), clock: p.spec().clock_rate.get() }).collect();
        self.uses_fec = uses_fec(&page.text);
        self.mid = Some(mid);
        self.remote = Some((page.ufrag.clone(), page.fingerprint.clone()));
        if self.codecs.is_empty() { Err(MediaError::NotAcceptable) } else { Ok(()) }
    }

    /// Returns the local user name fragment, which identifies the first datagram of the page.
    pub fn ufrag(&mut self) -> Option<String> {
        Some(self.rtc.as_mut()?.direct_api().local_ice_credentials().ufrag)
    }

    /// Whether offer and answer were exchanged.
    #[must_use]
    pub const fn is_negotiated(&self) -> bool {
        self.remote.is_some()
    }

    /// Whether the page receives sound.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.connected && self.takes()
    }

    /// Whether the page takes sound by its description.
    #[must_use]
    pub fn takes(&self) -> bool {
        self.way().is_some_and(|way| way.is_sending())
    }

    /// Whether the page sends sound.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.way().is_some_and(|way| way.is_receiving())
    }

    fn way(&self) -> Option<Way> {
        Some(self.rtc.as_ref()?.media(self.mid?)?.direction())
    }

    /// Whether a datagram proves that its source is the page: a binding request with the local password (RFC 8445, 7.3). Only such
    /// a source may proceed to DTLS.
    #[must_use]
    pub fn is_proved_by(&self, cx: PageContext<'_>, source: SocketAddr, bytes: &[u8]) -> bool {
        let (Some(rtc), true, Some(local)) = (&self.rtc, self.is_negotiated(), cx.shared.reached_from(source)) else {
            return false;
        };
        let received = Receive::new(Protocol::Udp, source, local, bytes);
        received.is_ok_and(|received| rtc.accepts(&Input::Receive(cx.moment(), received)))
    }

    /// Takes a datagram from an address of the page.
    pub fn receive(&mut self, cx: PageContext<'_>, source: SocketAddr, bytes: &[u8], out: &mut Vec<PageOutput>) {
        let (Some(rtc), true, Some(local)) = (&mut self.rtc, self.remote.is_some(), cx.shared.reached_from(source)) else { return };
        if let Ok(received) = Receive::new(Protocol::Udp, source, local, bytes) {
            // A malformed datagram is dropped: anybody can send one with the source address of the page.
            drop(rtc.handle_input(Input::Receive(cx.moment(), received)));
            self.drain(cx, out);
        }
    }

    /// Handles the passing of time.
    pub fn timeout(&mut self, cx: PageContext<'_>, out: &mut Vec<PageOutput>) {
        if let Some(rtc) = &mut self.rtc {
            drop(rtc.handle_input(Input::Timeout(cx.moment())));
            self.drain(cx, out);
        }
    }

    /// Sends an RTP packet to the page.
    pub fn send(
        &mut self,
        cx: PageContext<'_>,
        (payload_type, place, marker): (u8, Place, bool),
        payload: &[u8],
        out: &mut Vec<PageOutput>,
    ) {
        let (Some(rtc), Some(mid)) = (&mut self.rtc, self.mid) else { return };
        let moment = cx.moment();
        if let Some(stream) = rtc.direct_api().stream_tx_by_mid(mid, None) {
            let packet = RtpWrite::new(payload_type.into(), place.sequence.into(), place.timestamp, moment, payload);
            stream.write_rtp(packet.marker(marker));
            drop(rtc.handle_input(Input::Timeout(moment)));
            self.drain(cx, out);
        }
    }

    /// Returns when [`Page::timeout`] is due.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn drain(&mut self, cx: PageContext<'_>, out: &mut Vec<PageOutput>) {
        let Some(rtc) = &mut self.rtc else { return };
        loop {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = cx.shared.epoch.instant(cx.now, at);
                    break;
                }
                Ok(Output::Transmit(transmit)) => out.push(PageOutput::Send(transmit.destination, transmit.contents.into())),
                Ok(Output::Event(Event::RtpPacket(packet))) => out.push(PageOutput::Packet(packet.into())),
                Ok(Output::Event(Event::MediaEgressStats(told))) => {
                    out.extend(told.loss.map(|fraction| PageOutput::Loss((fraction * 255.0) as u8)));
                }
                Ok(Output::Event(_)) => {}
                Err(error) => {
                    let fingerprint = matches!(&error, str0m::RtcError::RemoteSdp(_));
                    out.push(PageOutput::Failed(if fingerprint { MediaError::Fingerprint } else { MediaError::Broken }));
                    rtc.disconnect();
                    self.deadline = None;
                    return;
                }
            }
        }
        if !self.connected && rtc.is_connected() {
            self.connected = true;
            out.push(PageOutput::Connected);
        }
    }
}

/// Returns unpredictable ICE credentials (RFC 8445, 5.3).
fn credentials(random: &mut Random) -> IceCreds {
    IceCreds { ufrag: random.token()[..16].into(), pass: random.token() + &random.token() }
}

/// Returns the SSRC in an offer.
fn stream(offer: &str) -> Option<Ssrc> {
    let line = offer.lines().find_map(|line| line.strip_prefix("a=ssrc:"))?;
    Some(line.split(' ').next()?.parse::<u32>().ok()?.into())
}

/// Returns the codecs in the given order, and after them the others, because a browser may support only those.
fn add_codecs(config: &mut RtcConfig, order: &[Codec]) {
    let all = [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::G722];
    let rest = all.iter().filter(|codec| !order.contains(codec));
    let known = config.codec_config();
    for wanted in order.iter().chain(rest) {
        match wanted {
            Codec::Opus => known.enable_opus(true, false),
            Codec::Pcmu => known.enable_pcmu(true, false),
            Codec::Pcma => known.enable_pcma(true, false),
            Codec::G722 => known.enable_g722(true, false),
        }
    }
    let digits = FormatParams { telephone_event_max: Some(15), ..FormatParams::default() };
    known.add_config(101.into(), None, Format::Tele, Frequency::EIGHT_KHZ, None, digits);
    known.add_config(110.into(), None, Format::Tele, Frequency::FORTY_EIGHT_KHZ, None, digits);
    known.iter_mut().for_each(|params| params.set_fb_transport_cc(false));
}

fn codec(params: &PayloadParams) -> Option<Codec> {
    match params.spec().codec {
        Format::Opus => Some(Codec::Opus),
        Format::PCMU => Some(Codec::Pcmu),
        Format::PCMA => Some(Codec::Pcma),
        Format::G722 => Some(Codec::G722),
        _ => None,
    }
}

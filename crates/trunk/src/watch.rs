//! Supervision of the trunks by OPTIONS, and registration with them.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_sip::{Message, Method, Name, StatusCode, Writer};
use offhook_ua::log::millis;
use offhook_ua::registration::Ask;
use tracing::{debug, info, warn};

use super::outbound::{Owner, with_hops};
use super::{Timer, Trunks};

/// The most time between two OPTIONS to a trunk that is down.
const DOWN: Duration = Duration::from_secs(5);
/// The time to the next OPTIONS after a first failure, or a first response.
const SOON: Duration = Duration::from_millis(500);
/// The wait after a failed registration: the first one, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(600));
/// Makes an exclusive bound inclusive.
const MOMENT: Duration = Duration::from_millis(1);
/// The least time that a registration counts, whatever the registrar grants, s.
const SHORTEST: u32 = 20;
/// No contact has this instance.
const NO_INSTANCE: &str = "\0";

impl Trunks {
    /// Sends OPTIONS (RFC 3261, 11).
    pub(super) fn send_options(&mut self, index: usize) {
        let (tag, call_id) = (self.random.token(), self.random.token());
        let config = &self.peers[index].config;
        let uri = format!("sip:{}", config.home());
        let options = Writer::request(Method::Options, &uri)
            .field("From", &format!("<sip:{}>;tag={tag}", self.settings.domain))
            .field("To", &format!("<{uri}>"))
            .field("Call-ID", &call_id)
            .cseq(1, Method::Options)
            .field("Contact", &self.binding(index))
            .field("Accept", "application/sdp");
        self.start_request(Some(index), Owner::Options, with_hops(options).end());
    }

    /// Sets the timer of the next OPTIONS.
    pub(super) fn options_ended(&mut self, index: usize) {
        let peer = &self.peers[index];
        let usual = Duration::from_secs(peer.config.watch.into());
        let wait = match &peer.health {
            health if health.is_unsure() => SOON,
            health if health.is_down() => usual.min(DOWN),
            _ => usual,
        };
        // Spread, so that not all trunks are asked at the same time.
        let wait = wait - wait / 10 + self.random.duration(wait / 5 + MOMENT);
        self.timers.start(Timer::Watch(index), self.now + wait);
    }

    /// Takes note that a trunk has responded.
    pub(super) fn responded(&mut self, index: usize, address: SocketAddr) {
        let peer = &mut self.peers[index];
        if peer.health.answered(address) {
            info!(trunk = peer.id.0, reason = "answers", "trunk is up");
        } else if peer.health.is_down() {
            self.send_options_soon(index);
        }
    }

    /// Takes note that a trunk has failed.
    pub(super) fn failed(&mut self, index: usize, why: &'static str) {
        let peer = &mut self.peers[index];
        let watched = peer.config.watch > 0;
        if peer.health.failed(self.now, watched) {
            warn!(trunk = peer.id.0, reason = why, "trunk is down");
        } else if watched && !peer.health.is_down() {
            self.send_options_soon(index);
        }
    }

    /// Sends OPTIONS soon, unless some are under way: one failure or response is no proof yet.
    fn send_options_soon(&mut self, index: usize) {
        let asked = self.jobs.values().any(|job| job.trunk == index && job.owner == Owner::Options);
        if !asked {
            self.timers.set(Timer::Watch(index), self.now + SOON);
        }
    }

    /// Registers, or refreshes the registration.
    pub(super) fn register(&mut self, index: usize) {
        let seconds = self.peers[index].config.expires.max(self.peers[index].least);
        let contact = self.binding(index);
        self.send_register(index, Ask::Bind(&contact, seconds));
    }

    /// Returns our Contact towards a trunk.
    fn binding(&self, index: usize) -> String {
        let config = &self.peers[index].config;
        format!("<{}>", self.settings.contact_uri(config.transport, &config.username))
    }

    fn send_register(&mut self, index: usize, ask: Ask<'_>) {
        let peer = &mut self.peers[index];
        let home = peer.config.home();
        let aor = format!("sip:{}@{home}", offhook_sip::escape_user(&peer.config.username));
        let register = peer.registration.request(&format!("sip:{home}"), &aor, ask);
        self.start_request(Some(index), Owner::Register, with_hops(register).end());
    }

    /// Takes a registration back (RFC 3261, 10.2.2).
    pub(super) fn unregister(&mut self, index: usize) {
        let under_way = self.jobs.iter().find(|(_, job)| job.trunk == index && job.owner == Owner::Register).map(|(id, _)| *id);
        if under_way.is_none() && !self.peers[index].registration.stands() {
            return;
        }
        // One that is under way changes nothing any more: its number in CSeq is lower.
        under_way.into_iter().for_each(|id| self.forget(id));
        let contact = self.binding(index);
        self.send_register(index, Ask::Unbind(&contact));
    }

    /// Takes the response of the registrar in.
    pub(super) fn registered(&mut self, index: usize, answer: &Message<'_>) {
        let code = answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR);
        if self.leaving {
            return self.unregistered(index, code);
        }
        let granted = self.granted(index, answer);
        let peer = &mut self.peers[index];
        if let Ok(cseq) = answer.cseq() {
            peer.registration.sent(cseq.number);
        }
        if code.is_failure() {
            let least = answer
                .number(Name::MinExpires)
                .filter(|least| code == StatusCode::INTERVAL_TOO_BRIEF && (peer.least + 1..=86_400).contains(least));
            peer.least = least.unwrap_or(peer.least);
            let after = least.map(|_| 0).or_else(|| answer.number(Name::RetryAfter));
            return self.not_registered(index, code, after);
        }
        peer.refused = 0;
        let was = peer.registration.stands();
        peer.registration.accepted(self.now, answer, NO_INSTANCE, granted);
        let refresh = peer.registration.refresh_at().unwrap_or(self.now + Duration::from_secs(granted.into()) / 2);
        self.timers.set(Timer::Register(index), refresh);
        let trunk = &self.peers[index].id.0;
        if was {
            debug!(trunk, seconds = granted, "the registration with the provider is refreshed");
        } else {
            info!(trunk, seconds = granted, "registered with the provider");
        }
    }

    fn unregistered(&self, index: usize, code: StatusCode) {
        let trunk = &self.peers[index].id.0;
        if code == StatusCode::OK {
            info!(trunk, "the registration with the provider is taken back");
        } else {
            let code = code.as_u16();
            warn!(trunk, code, "the registration with the provider could not be taken back: it lapses by itself");
        }
    }

    /// Tries again after a failed registration, each time later.
    pub(super) fn not_registered(&mut self, index: usize, code: StatusCode, after: Option<u32>) {
        if self.leaving {
            return self.unregistered(index, code);
        }
        let peer = &mut self.peers[index];
        peer.registration.lost();
        let back_off = (BACK_OFF.0 * (1 << peer.refused.min(10))).min(BACK_OFF.1);
        peer.refused += 1;
        let wait = after.map_or(back_off, |seconds| Duration::from_secs(seconds.into()).min(BACK_OFF.1 * 6));
        let wait = wait + self.random.duration(wait / 10 + MOMENT);
        self.timers.set(Timer::Register(index), self.now + wait);
        warn!(trunk = self.peers[index].id.0, code = code.as_u16(), again_in = millis(wait), "not registered with the provider");
    }

    /// Returns how long a registration is granted, s: by our own Contact in the response, else by Expires, else as asked for (RFC 3261, 10.2.4).
    fn granted(&self, index: usize, answer: &Message<'_>) -> u32 {
        let config = &self.peers[index].config;
        let ours = self.settings.contact_uri(config.transport, &config.username);
        let place = |uri: &str| uri.split(';').next().unwrap_or_default().to_ascii_lowercase();
        let own = answer.contacts().filter_map(Result::ok).find(|contact| place(contact.uri_text) == place(&ours));
        let said = own.and_then(|contact| contact.params.get("expires")?.parse().ok()).or_else(|| answer.number(Name::Expires));
        said.unwrap_or(config.expires).clamp(SHORTEST, config.expires.max(SHORTEST))
    }
}

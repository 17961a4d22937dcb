//! Calls from the SIP side to the pages of a user.

use std::net::IpAddr;
use std::time::Duration;

use offhook_ledger::Kind;
use offhook_media::{Command, Leg};
use offhook_sip::telephone::is_form_of_number;
use offhook_sip::{Message, OwnedMessage, StatusCode, Uri, quote};
use offhook_trunk::TrunkId;
use offhook_ua::dialog::Dialog;
use offhook_ua::log::{Masked, Plain, named};
use offhook_ua::transaction::ServerKey;
use tracing::{debug, info};

use super::call::{Call, CallKey};
use super::context::{Context, NextHop, SDP};
use super::failure::Failure;
use super::outgoing::{check, contact, headers};
use super::party::{Invite, OfferAnswer, Party};
use super::port::{Callee, MapId};
use super::{Output, Timer};

/// How long the store may take to say whose number it is.
const MAPPING: Duration = Duration::from_secs(10);

impl Call {
    /// Returns the call that an INVITE of a trunk begins; the store is asked whose number was called.
    ///
    /// # Errors
    ///
    /// What the INVITE is rejected with.
    pub(super) fn incoming(
        context: &mut Context,
        (key, trunk): (CallKey, TrunkId),
        server: &ServerKey,
        received: &OwnedMessage,
    ) -> Result<Self, Failure> {
        let invite = received.get();
        check(invite, Leg::Peer)?;
        context.limits.check(&context.settings, Kind::Incoming, "", "")?;
        if context.trunks.is_full(&trunk) {
            return Err(Failure::plain(StatusCode::SERVICE_UNAVAILABLE));
        }
        let called = invite
            .uri()
            .and_then(|uri| Uri::parse(uri).ok())
            .ok_or_else(|| Failure::plain(StatusCode::BAD_REQUEST))?
            .user_text()
            .into_owned();
        let tag = context.tag(key, Leg::Peer);
        let mut peer = Party::new(Leg::Peer, Some(NextHop::Trunk(trunk.clone())), tag, context.trunks.contact(&trunk));
        peer.dialog = Dialog::of_callee(invite, &peer.tag);
        if peer.dialog.is_none() {
            return Err(Failure::plain(StatusCode::BAD_REQUEST));
        }
        peer.learn(invite);
        peer.invite = Invite::Received { key: server.clone(), invite: received.clone() };
        let tag = context.tag(key, Leg::Page);
        let page = Party::new(Leg::Page, None, tag, contact(key));
        let call_id = context.random.uuid();
        let mut call = Self::new(context, key, Kind::Incoming, (page, peer), call_id);
        call.caller = shown(invite, context.trunks.has_telephones(&trunk), &context.settings.domain);
        call.headers = headers(invite);
        call.trunk_call = invite.call_id().unwrap_or_default().to_owned();
        let from = invite.from().map(|from| from.uri.user_text()).unwrap_or_default();
        let (call_id, trunk_call, from) = (Plain(&call.call_id), Plain(&call.trunk_call), named(&from));
        info!(call = %call_id, %trunk_call, trunk = trunk.0, from, to = %Masked(&called), "called from outside");
        call.occupy_trunk(context, trunk);
        context.set_timer(Timer::Ledger(key), MAPPING);
        context.out.push_back(Output::Map { query: MapId(key.0), called });
        Ok(call)
    }

    /// Takes in whose number was called; `None`: nobody's.
    pub(super) fn mapped(&mut self, context: &mut Context, callee: Option<Callee>) {
        if self.is_over() || self.page.next_hop.is_some() {
            return;
        }
        let Some(callee) = callee else {
            let failure = Failure::plain(StatusCode::NOT_FOUND);
            return self.finish(context, failure.cause(), &failure);
        };
        debug!(call = %Plain(&self.call_id), application = callee.application, user = %Masked(&callee.user), "the call is for a user");
        self.page.next_hop = Some(NextHop::Switch(context.tenant(&callee.application)));
        self.application = callee.application;
        self.user.clone_from(&callee.user);
        self.to = callee.user;
        let from = self.caller.clone();
        self.reserve(context, from);
    }

    /// The ledger lets the call in: the caller's offer is answered, or one is made for it, before any page rings.
    pub(super) fn admit(&mut self, context: &mut Context) {
        let session = self.key.session();
        let Some(mut settings) = self.trunk.as_ref().and_then(|trunk| context.peer_settings(trunk)) else { return };
        let Invite::Received { invite, .. } = &self.peer.invite else { return };
        let invite = invite.get();
        // Where it came from, as the trunks have noted it in its Via (RFC 3261, 18.2.1).
        let source = invite.via().ok().and_then(|via| via.params.get("received")?.parse::<IpAddr>().ok());
        settings.signalling.extend(source);
        let command = if invite.content_is(SDP) {
            Command::Offered { session, leg: Leg::Peer, sdp: invite.text().to_owned() }
        } else {
            Command::Offer { session, leg: Leg::Peer }
        };
        self.open(context, settings);
        self.peer.offer_answer = OfferAnswer::First;
        context.media(command);
    }
}

/// Returns the From, without tag, that the page sees. `user=phone` (RFC 3261, 19.1.1) marks telephones, and pages rely on it: so only callers
/// over a trunk that has telephones get it, whatever they call themselves. All others get `user=ip`, so that no page takes them for one of its own
/// users, whatever host they name. `ours` is the host of those that name none.
fn shown(invite: &Message<'_>, telephones: bool, ours: &str) -> String {
    let from = invite.from().ok();
    let tel = |uri: &Uri<'_>| uri.scheme.eq_ignore_ascii_case("tel");
    let Some(from) = from.filter(|from| from.uri.is_sip() || tel(&from.uri)) else {
        return "<sip:anonymous@anonymous.invalid;user=ip>".to_owned();
    };
    let display = from.display();
    let name = if display.is_empty() { String::new() } else { format!("{} ", quote(&display)) };
    let marked = from.uri.params.get("user").is_some_and(|value| value.eq_ignore_ascii_case("phone")) || tel(&from.uri);
    let phone = telephones && (marked || is_form_of_number(&from.uri.user_text()));
    let host = if from.uri.host.is_empty() { ours } else { from.uri.host };
    let kind = if phone { ";user=phone>" } else { ";user=ip>" };
    format!("{name}<sip:{}@{host}{kind}", from.uri.user.unwrap_or("anonymous"))
}

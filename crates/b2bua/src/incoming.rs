//! Calls from the SIP side to the pages of a user.

use std::net::IpAddr;
use std::time::Duration;

use offhook_ledger::Kind;
use offhook_media::{Command, Leg};
use offhook_sip::telephone::{is_form_of_number, number_in};
use offhook_sip::{Message, NameAddr, OwnedMessage, StatusCode, Uri, quote};
use offhook_trunk::{Trunk, TrunkId};
use offhook_ua::dialog::Dialog;
use offhook_ua::log::{Masked, Plain, named};
use offhook_ua::transaction::ServerKey;
use tracing::{debug, info};

use super::call::{Call, CallKey};
use super::context::{Context, NextHop};
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
        let called = called(invite, context.trunks.config(&trunk)).ok_or_else(|| Failure::plain(StatusCode::BAD_REQUEST))?;
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
        info!(call = %call_id, %trunk_call, trunk = trunk.0, from, to = %Masked(&called[0]), "called from outside");
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
        let command = match invite.description() {
            Some(offer) => Command::Offered { session, leg: Leg::Peer, sdp: offer.to_owned() },
            None => Command::Offer { session, leg: Leg::Peer },
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
    let Some(from) = from.filter(|from| from.uri.is_sip() || from.uri.is_tel()) else {
        return "<sip:anonymous@anonymous.invalid;user=ip>".to_owned();
    };
    let display = from.display();
    let name = if display.is_empty() { String::new() } else { format!("{} ", quote(&display)) };
    let marked = from.uri.params.get("user").is_some_and(|value| value.eq_ignore_ascii_case("phone")) || from.uri.is_tel();
    let number = number_in(&from.uri);
    let phone = telephones && (marked || is_form_of_number(number.as_deref().unwrap_or(&from.uri.user_text())));
    let user = number.as_deref().filter(|_| phone).or(from.uri.user).unwrap_or("anonymous");
    let host = if from.uri.host.is_empty() { ours } else { from.uri.host };
    let kind = if phone { ";user=phone>" } else { ";user=ip>" };
    format!("{name}<sip:{user}@{host}{kind}")
}

/// Returns who may be called, the likeliest first and never empty: numbers as RFC 3966 reads them, or the names of users. Where the Request-URI is
/// our own Contact, the number is in P-Called-Party-ID (RFC 7315, 4.2) or To, or is the one that the operator has set.
fn called(invite: &Message<'_>, trunk: Option<&Trunk>) -> Option<Vec<String>> {
    let uri = Uri::parse(invite.uri()?).ok()?;
    let mut called = Vec::new();
    if let Some(trunk) = trunk.filter(|trunk| trunk.username == uri.user_text()) {
        let named = invite.get_other("P-Called-Party-ID").and_then(|value| NameAddr::parse(value).ok());
        called.extend([named, invite.to().ok()].iter().flatten().filter_map(|address| number_in(&address.uri)));
        called.extend(Some(&trunk.number).filter(|number| !number.is_empty()).cloned());
    }
    called.push(number_in(&uri).unwrap_or_else(|| uri.user_text().into_owned()));
    called.dedup();
    Some(called)
}

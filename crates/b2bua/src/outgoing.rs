//! Calls of pages: to telephones, to SIP addresses, and to test numbers.

use offhook_ledger::{Answer, Grant, Kind, Number, Refused};
use offhook_media::{Codec, Command, Leg, MAX_SDP, PeerSettings, Security};
use offhook_proxy::is_apps;
use offhook_proxy::test_number::TestNumber;
use offhook_sip::{ApiCode, Message, OwnedMessage, StatusCode, Uri};
use offhook_trunk::{Destination, TrunkId};
use offhook_ua::dialog::Dialog;
use offhook_ua::log::{Plain, millis, named};
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::transaction::ServerKey;
use tracing::{debug, info, warn};

use super::Timer;
use super::call::{Call, CallKey, Stage};
use super::context::{Context, NextHop, Tenant};
use super::credit::Credit;
use super::failure::Failure;
use super::party::{Invite, OfferAnswer, Party, abilities};

impl Call {
    /// Returns the call that a page's INVITE begins; the ledger is asked.
    ///
    /// # Errors
    ///
    /// What the INVITE is rejected with.
    pub(super) fn outgoing(
        context: &mut Context,
        (key, tenant): (CallKey, Tenant),
        server: &ServerKey,
        received: &OwnedMessage,
    ) -> Result<Self, Failure> {
        let invite = received.get();
        let (kind, to) = called(context, invite)?;
        check(invite, Leg::Page)?;
        if invite.description().is_none() {
            return Err(Failure::new(StatusCode::NOT_ACCEPTABLE_HERE, ApiCode::Malformed, "An offer is needed"));
        }
        let user = invite.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default();
        context.limits.check(&context.settings, kind, &context.application(tenant), &user)?;
        let tag = context.tag(key, Leg::Page);
        let mut page = Party::new(Leg::Page, Some(NextHop::Switch(tenant)), tag, contact(key));
        page.dialog = Dialog::of_callee(invite, &page.tag);
        if page.dialog.is_none() {
            return Err(Failure::new(StatusCode::BAD_REQUEST, ApiCode::Malformed, "Malformed Contact"));
        }
        page.learn(invite);
        page.invite = Invite::Received { key: server.clone(), invite: received.clone() };
        let tag = context.tag(key, Leg::Peer);
        let peer = Party::new(Leg::Peer, None, tag, String::new());
        let mut call = Self::new(context, key, kind, (page, peer), invite.call_id().unwrap_or_default().to_owned());
        call.application = context.application(tenant);
        call.user = user;
        call.headers = headers(invite);
        call.to = match &to {
            Called::Test(number, test) => {
                call.test = Some(*test);
                number.clone()
            }
            Called::Elsewhere(Destination::Phone(number)) => number.clone(),
            Called::Elsewhere(Destination::Sip { user, host }) => format!("{user}@{host}"),
        };
        if let Called::Elsewhere(destination) = to {
            call.destination = Some(destination);
        }
        let from = invite.from().map(|from| from.uri_text.to_owned()).unwrap_or_default();
        if kind == Kind::Sip {
            call.caller = format!("<{from}>");
        }
        call.reserve(context, from);
        Ok(call)
    }

    /// Time-out of the ledger, or of the store that is asked whose number is called.
    pub(super) fn ledger_timeout(&mut self, context: &mut Context) {
        warn!(call = %Plain(&self.call_id), application = self.application, "the store does not answer");
        if self.kind == Kind::Emergency {
            return self.ledger_answered(context, Answer::Refused(Refused::Store));
        }
        self.finish(
            context,
            "failed",
            &Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "The store does not answer"),
        );
    }

    /// Takes an answer of the ledger in. Emergency calls go on whatever it says.
    pub(super) fn ledger_answered(&mut self, context: &mut Context, answer: Answer) {
        let answer = match answer {
            Answer::Refused(why) if self.kind == Kind::Emergency => {
                info!(call = %Plain(&self.call_id), reason = why.cause(), "the ledger refuses: an emergency call goes on");
                Answer::Granted(Grant { paid: None, more: false, caller_id: None })
            }
            answer => answer,
        };
        match answer {
            Answer::Extended { paid, more } => self.extended(context, paid, more),
            // The store has failed, while the call runs.
            Answer::Refused(_) if self.stage != Stage::Reserving => self.extended_no_more(context),
            Answer::Refused(why) => self.finish(context, why.cause(), &Failure::refused(why)),
            Answer::Granted(_) if self.stage != Stage::Reserving => {}
            Answer::Granted(grant) => {
                context.timers.clear(&Timer::Ledger(self.key));
                self.stage = Stage::Preparing;
                if self.outgoing { self.granted(context, grant) } else { self.admit(context) }
            }
        }
    }

    /// The ledger lets the call out: the page's offer is answered, then the callee is dialled.
    fn granted(&mut self, context: &mut Context, grant: Grant) {
        let (call, shown) = (Plain(&self.call_id), grant.caller_id.as_deref().and_then(named));
        debug!(%call, paid = grant.paid.map(millis), more = grant.more, shown, "the ledger has reserved it");
        self.credit = Credit::new(grant.paid, grant.more);
        self.caller_id = grant.caller_id;
        let settings = match &self.destination {
            None => local(),
            Some(destination) => {
                self.routes = match self.kind {
                    Kind::Emergency => [TrunkId(context.settings.emergency.trunk.clone())].into(),
                    _ => context.trunks.routes(context.now, destination).into(),
                };
                debug!(call = %Plain(&self.call_id), trunks = ?self.routes.iter().map(|trunk| &trunk.0).collect::<Vec<_>>(), "routes");
                let first = self.routes.front().and_then(|trunk| context.peer_settings(trunk));
                let Some(settings) = first else { return self.no_route(context) };
                settings
            }
        };
        let Invite::Received { invite, .. } = &self.page.invite else { return };
        let sdp = invite.get().description().unwrap_or_default().to_owned();
        self.open(context, settings);
        self.page.offer_answer = OfferAnswer::First;
        context.media(Command::Offered { session: self.key.session(), leg: Leg::Page, sdp });
    }
}

impl Call {
    /// Ends the call, as no trunk leads to its destination.
    fn no_route(&mut self, context: &mut Context) {
        if self.kind == Kind::Emergency {
            let failure = Failure::new(
                StatusCode::FORBIDDEN,
                ApiCode::NoEmergencyCalls,
                "Emergency calls are not possible here: use a telephone",
            );
            return self.finish(context, "no emergency trunk", &failure);
        }
        let failure =
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "There is no way to this destination now");
        self.finish(context, failure.cause(), &failure);
    }
}

/// What was dialled.
enum Called {
    Test(String, TestNumber),
    Elsewhere(Destination),
}

/// Returns whom an INVITE is for. What is dialled as a number, or leads to a telephone, has to be a complete number: none is ever completed.
///
/// # Errors
///
/// What the INVITE is rejected with.
fn called(context: &Context, invite: &Message<'_>) -> Result<(Kind, Called), Failure> {
    let uri = invite
        .uri()
        .and_then(|uri| Uri::parse(uri).ok())
        .ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, ApiCode::Malformed, "Malformed Request-URI"))?;
    let user = uri.user_text().into_owned();
    let phone = uri.params.get("user").is_some_and(|value| value.eq_ignore_ascii_case("phone"));
    if let Some(test) = TestNumber::read(&user) {
        return Ok((Kind::Test, Called::Test(format!("+{}", user.trim_start_matches('+')), test)));
    }
    if !phone && !uri.is_tel() && !context.trunks.is_telephone(&user, uri.host) {
        return Ok((Kind::Sip, Called::Elsewhere(Destination::Sip { user, host: uri.host.to_owned() })));
    }
    if let Some(number) = context.settings.emergency.number_in(&uri) {
        return Ok((Kind::Emergency, Called::Elsewhere(Destination::Phone(number.to_owned()))));
    }
    match Number::parse(&user) {
        Ok(_) => Ok((Kind::Phone, Called::Elsewhere(Destination::Phone(user)))),
        Err(error) => Err(Failure::new(Refused::Number.status(), Refused::Number.code(), &error.to_string())),
    }
}

/// Checks that the INVITE that begins a call asks for nothing that is not supported on this leg.
///
/// # Errors
///
/// What it is rejected with.
pub(super) fn check(invite: &Message<'_>, leg: Leg) -> Result<(), Failure> {
    invite.check_uas(&abilities(leg)).map_err(|rejection| Failure::plain(rejection.code))?;
    if invite.description().is_some_and(|sdp| sdp.len() > MAX_SDP) {
        return Err(Failure::too_large());
    }
    if SessionTimer::is_too_brief(invite) {
        return Err(Failure::too_brief());
    }
    Ok(())
}

/// Returns the header fields of an app, which are passed on.
pub(super) fn headers(invite: &Message<'_>) -> Vec<(String, String)> {
    let fields = invite.fields().iter().filter(|field| is_apps(field.raw_name));
    fields.take(32).map(|field| (field.raw_name.to_owned(), field.value.to_owned())).collect()
}

/// Returns our Contact on the page's leg.
pub(super) fn contact(key: CallKey) -> String {
    format!("<sip:{}@bridge.invalid;transport=ws>", key.0)
}

/// Returns the settings of media without a SIP side.
fn local() -> PeerSettings {
    let codecs = vec![Codec::Opus, Codec::Pcma, Codec::Pcmu];
    let (security, signalling) = (Security::None, Vec::new());
    PeerSettings { codecs, security, address: None, nat: false, signalling, eager: false, info: false }
}

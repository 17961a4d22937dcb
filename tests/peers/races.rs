//! The races of RFC 5407, each with its number there: the client as Alice, who called, and as Bob, who was called, against a peer that does
//! exactly what the RFC draws. The ladders in `tests/peers/ladders/rfc5407-*` show the client's side: `>` leaves it, `<` reaches it.

use offhook::client::call::{CallId, State};
use offhook::client::{IceState, Input};
use offhook_sip::{Method, Name, parse};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::keep;
use super::page::{Page, established, sdp};

const OFFER: &str = "Content-Type: application/sdp\r\n";

/// A call, and whether the client is Alice.
struct Race {
    page: Page,
    id: CallId,
    alice: bool,
}

impl Race {
    /// Alice's INVITE has been answered, and Bob has her ACK.
    fn up(alice: bool) -> Self {
        let race = if alice {
            let (page, id) = established();
            Self { page, id, alice }
        } else {
            let mut race = Self::answered(&sdp(2));
            race.peer("ACK", 5, "");
            race
        };
        assert_eq!(race.page.state(race.id), State::Established);
        race
    }

    /// The client is Bob, and it rings.
    fn ringing(offer: &str) -> Self {
        let mut page = Page::signed_in();
        page.ring(if offer.is_empty() { "" } else { OFFER }, offer);
        Self { page, id: CallId(1), alice: false }
    }

    /// The client is Bob and has sent its 200: the moratorium, until the ACK comes.
    fn answered(offer: &str) -> Self {
        let mut race = Self::ringing(offer);
        race.page.client.answer(race.page.now, race.id, false).unwrap();
        race.page.drain();
        assert_eq!(race.page.code(), 200);
        race
    }

    /// The peer sends a request.
    fn peer(&mut self, method: &str, number: u32, body: &str) {
        let kind = if body.is_empty() { "" } else { OFFER };
        if self.alice {
            return self.page.ask(method, number, kind, body);
        }
        let ours =
            self.page.sent.iter().rev().find(|text| text.starts_with("SIP/2.0 ") && text.contains("INVITE")).unwrap().clone();
        let to = match method {
            "CANCEL" => "<sip:alice@s.test>",
            _ => parse(ours.as_bytes()).unwrap().get(Name::To).unwrap(),
        };
        let branch = if method == "CANCEL" { "in".into() } else { format!("{method}{number}") };
        let text = format!(
            "{method} sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: \"Bob\" <sip:bob@s.test>;tag=peer\r\nTo: {to}\r\nCall-ID: in\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:bob@peer.test>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.page.input(Input::Received(text));
    }

    /// The peer answers the client's last request with this method.
    fn reply(&mut self, method: &str, code: u16, body: &str) {
        self.page.answer_as(method, code, "peer", |answer| answer, body);
    }

    fn hang_up(&mut self) {
        self.page.client.hangup(self.page.now, self.id).unwrap();
        self.page.drain();
    }

    /// The client offers again, because its media broke.
    fn reinvite(&mut self) {
        let peer = self.page.peer.unwrap();
        self.page.input(Input::IceState { peer, state: IceState::Failed });
        self.page.wait(2_600);
        assert_eq!(parse(self.page.sent.last().unwrap().as_bytes()).unwrap().method(), Some(Method::Invite));
    }

    /// Checks that the ladder is the kept one, that the call ended once, and that nothing is left of it.
    fn end(mut self, name: &str) {
        self.page.wait(100_000);
        assert_eq!(self.page.events.iter().filter(|event| event.starts_with("Ended")).count(), 1, "{:#?}", self.page.ladder);
        assert!(self.page.client.is_clean(), "{:#?}", self.page.ladder);
        keep(&format!("rfc5407-{name}"), &self.page.ladder);
    }

    fn role(&self) -> &'static str {
        if self.alice { "alice" } else { "bob" }
    }
}

// 3.1: Bob has sent his 200 and waits for the ACK.

#[test]
fn race_3_1_1_bob_gets_the_invite_again() {
    let mut race = Race::answered(&sdp(2));
    race.page.ring(OFFER, &sdp(2));
    race.page.wait(600);
    race.peer("ACK", 5, "");
    race.page.wait(2_000);
    race.peer("BYE", 6, "");
    race.end("3-1-1-bob-invite-again");
}

#[test]
fn race_3_1_2_bob_gets_a_cancel() {
    let mut race = Race::answered(&sdp(2));
    race.peer("CANCEL", 5, "");
    assert_eq!(race.page.code(), 200, "the transaction is there (RFC 3261, 9.2)");
    race.peer("ACK", 5, "");
    race.peer("BYE", 6, "");
    race.end("3-1-2-bob-cancel");
}

#[test]
fn race_3_1_2_alice_gets_the_200_that_crossed_her_cancel() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer("INVITE", 180, |answer| answer);
    let mut race = Race { page, id, alice: true };
    race.hang_up();
    race.reply("INVITE", 200, &sdp(2));
    race.reply("CANCEL", 200, "");
    race.reply("BYE", 200, "");
    race.end("3-1-2-alice-cancel");
}

#[test]
fn race_3_1_3_bob_gets_a_bye_of_the_early_dialog() {
    let mut race = Race::answered(&sdp(2));
    race.peer("BYE", 6, "");
    race.peer("ACK", 5, "");
    race.end("3-1-3-bob-early-bye");
}

#[test]
fn race_3_1_4_bob_gets_a_reinvite_before_the_ack() {
    let mut race = Race::answered(&sdp(2));
    race.peer("INVITE", 6, &sdp(2));
    assert_eq!(race.page.code(), 200);
    race.peer("ACK", 5, "");
    race.page.wait(600);
    assert!(race.page.ladder.last().unwrap().contains("200 INVITE 6"), "the late ACK is not the one to this 200");
    race.peer("ACK", 6, "");
    race.page.wait(2_000);
    race.peer("BYE", 7, "");
    race.end("3-1-4-bob-reinvite-before-ack");
}

#[test]
fn race_3_1_5_bob_gets_a_reinvite_before_the_ack_with_the_answer() {
    let mut race = Race::answered("");
    race.peer("INVITE", 6, &sdp(2));
    assert_eq!(race.page.code(), 491, "his offer waits for its answer");
    race.peer("ACK", 5, &sdp(2));
    assert_eq!(race.page.state(race.id), State::Established);
    race.peer("INVITE", 7, &sdp(2));
    assert_eq!(race.page.code(), 200);
    race.peer("ACK", 7, "");
    race.peer("BYE", 8, "");
    race.end("3-1-5-bob-reinvite-before-answer");
}

#[test]
fn race_3_1_6_bob_gets_a_bye_and_never_the_ack() {
    let mut race = Race::answered(&sdp(2));
    race.page.wait(600);
    race.peer("BYE", 6, "");
    race.end("3-1-6-bob-bye-before-ack");
}

// 3.2: one party has sent its BYE.

#[test]
fn race_3_2_1_bye_crosses_bye() {
    for alice in [true, false] {
        let mut race = Race::up(alice);
        race.hang_up();
        race.peer("BYE", 6, "");
        race.reply("BYE", 200, "");
        let name = format!("3-2-1-{}-bye-crosses-bye", race.role());
        race.end(&name);
    }
}

#[test]
fn race_3_2_2_a_reinvite_crosses_the_bye() {
    for alice in [true, false] {
        let mut race = Race::up(alice);
        race.hang_up();
        race.peer("INVITE", 6, &sdp(2));
        assert_eq!(race.page.code(), 481);
        race.reply("BYE", 200, "");
        let name = format!("3-2-2-{}-reinvite-crosses-bye", race.role());
        race.end(&name);
    }
}

#[test]
fn race_3_2_3_the_200_to_a_reinvite_crosses_the_bye() {
    for (alice, ours) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut race = Race::up(alice);
        race.reinvite();
        if ours {
            race.hang_up();
        } else {
            race.peer("BYE", 6, "");
        }
        race.reply("INVITE", 200, &sdp(2));
        assert!(race.page.ladder.last().unwrap().starts_with("> ACK"), "{:#?}", race.page.ladder);
        if ours {
            race.reply("BYE", 200, "");
        }
        let name = format!("3-2-3-{}-200-crosses-{}-bye", race.role(), if ours { "own" } else { "their" });
        race.end(&name);
    }
}

#[test]
fn race_3_2_4_bob_gets_the_ack_after_the_bye() {
    let mut race = Race::answered(&sdp(2));
    race.peer("BYE", 6, "");
    race.page.wait(100);
    race.peer("ACK", 5, "");
    race.end("3-2-4-bob-ack-after-bye");
}

#[test]
fn race_3_2_4_bob_hangs_up_before_the_ack() {
    let mut race = Race::answered(&sdp(2));
    race.hang_up();
    assert_eq!(race.page.count("BYE"), 0, "no BYE before the ACK (RFC 3261, 15)");
    race.peer("ACK", 5, "");
    race.reply("BYE", 200, "");
    race.end("3-2-4-bob-hangs-up-before-ack");
}

// 3.3: both parties send a request at once.

#[test]
fn race_3_3_1_reinvite_crosses_reinvite() {
    for alice in [true, false] {
        let mut race = Race::up(alice);
        race.reinvite();
        race.peer("INVITE", 6, &sdp(2));
        assert_eq!(race.page.code(), 491);
        let asked = race.page.count("INVITE");
        race.reply("INVITE", 491, "");
        // The party that created the Call-ID waits 2.1 to 4 s, the other one 0 to 2 s (RFC 3261, 14.1).
        race.page.wait(if alice { 2_050 } else { 0 });
        assert_eq!(race.page.count("INVITE"), asked);
        race.page.wait(2_000);
        assert_eq!(race.page.count("INVITE"), asked + 1);
        race.reply("INVITE", 200, &sdp(2));
        race.hang_up();
        race.reply("BYE", 200, "");
        let name = format!("3-3-1-{}-reinvite-crosses-reinvite", race.role());
        race.end(&name);
    }
}

#[test]
fn race_3_3_2_update_crosses_reinvite() {
    for alice in [true, false] {
        let mut race = Race::up(alice);
        race.reinvite();
        race.peer("UPDATE", 6, &sdp(2));
        assert_eq!(race.page.code(), 491);
        race.peer("UPDATE", 7, "");
        assert_eq!(race.page.code(), 200, "without an offer there is nothing to collide with");
        race.reply("INVITE", 491, "");
        race.page.wait(4_050);
        race.reply("INVITE", 200, &sdp(2));
        race.hang_up();
        race.reply("BYE", 200, "");
        let name = format!("3-3-2-{}-update-crosses-reinvite", race.role());
        race.end(&name);
    }
}

#[test]
fn race_3_3_3_refer_crosses_the_bye() {
    for alice in [true, false] {
        let mut race = Race::up(alice);
        race.hang_up();
        race.peer("REFER", 6, "");
        assert_eq!(race.page.code(), 481);
        race.reply("BYE", 200, "");
        let name = format!("3-3-3-{}-refer-crosses-bye", race.role());
        race.end(&name);
    }
}

/// RFC 3261, 9.2. The browser has made its answer by then, so that we offer, too; from an offer of its own it goes back.
#[test]
fn a_reinvite_that_is_cancelled_gets_487_and_the_call_goes_on() {
    for (kind, offer) in [(OFFER, sdp(2)), ("", String::new())] {
        let (mut page, id) = established();
        page.sent.truncate(1);
        let invite = page.of_peer("INVITE", 1, kind, &offer);
        let cancel = page.of_peer("CANCEL", 1, "", "").replace("bKCANCEL1", "bKINVITE1");
        let ack = page.of_peer("ACK", 1, "", "").replace("bKACK1", "bKINVITE1");
        page.client.handle(page.now, Input::Received(invite));
        page.input(Input::Received(cancel));
        page.input(Input::Received(ack));
        assert_eq!((page.count("SIP/2.0 200 "), page.count("SIP/2.0 487 ")), (1, 1), "{:#?}", page.sent);
        assert_eq!(
            (page.count("INVITE"), page.commands.contains(&"Rollback".to_owned())),
            (if kind.is_empty() { 1 } else { 2 }, kind.is_empty())
        );
        if page.count("INVITE") > 1 {
            page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2));
        }
        page.ask("INVITE", 2, OFFER, &sdp(2));
        assert_eq!((page.code(), page.state(id)), (200, State::Established));
    }
}

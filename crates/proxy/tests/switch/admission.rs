//! Who gets in, and as whom.

use std::time::Duration;

use offhook_access::ticket::ticket;
use offhook_proxy::Record;
use offhook_sip::{Name, StatusCode, parse};
use offhook_ua::time::Instant;

use offhook_testing::switch::{DOMAIN, KEY, SECRET};
use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, code, digest, digest_md5, field, with, with_start};

fn with_password() -> World {
    let mut world = World::new();
    world.account("alice", "wonderland", "Alice");
    world
}

/// Sends a REGISTER without credentials and gives the challenge.
#[track_caller]
fn challenged(world: &mut World, phone: &Phone) -> String {
    world.send(phone.conn, &phone.register_text(""));
    let challenge = world.one(phone.conn);
    assert_eq!(code(&challenge), 401);
    challenge
}

/// The status of a REGISTER with that proof.
fn register_with(world: &mut World, phone: &mut Phone, proof: &str) -> u16 {
    phone.serial += 1;
    world.send(phone.conn, &with(&phone.register_text(""), proof));
    code(&world.one(phone.conn))
}

const URI: &str = "sip:calls.example";

#[test]
fn the_challenge_offers_the_strongest_first_and_md5_last() {
    let mut world = World::new();
    let phone = Phone::new(&mut world, "alice", 1);
    let challenge = challenged(&mut world, &phone);
    let message = parse(challenge.as_bytes()).unwrap();
    let all: Vec<&str> = message.all(Name::WwwAuthenticate).collect();
    let fields = message.fields().iter().filter(|field| field.name == Name::WwwAuthenticate).count();
    assert_eq!(fields, all.len(), "JsSIP and SIP.js read one field, the last: it has one challenge, and that is MD5");
    assert!(all[0].starts_with("Bearer ") && all[1].contains("SHA-256") && all[2].contains("MD5"), "{all:?}");
    assert!(message.get_other("x-error").unwrap().starts_with("40100 "));
}

#[test]
fn a_password_lets_in_with_either_hash() {
    let mut world = with_password();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let challenge = challenged(&mut world, &phone);
    assert_eq!(register_with(&mut world, &mut phone, &digest(&challenge, "alice", "wonderland", "REGISTER", URI, 1)), 200);
    let mut old = Phone::new(&mut world, "alice", 2);
    let challenge = challenged(&mut world, &old);
    assert_eq!(register_with(&mut world, &mut old, &digest_md5(&challenge, "alice", "wonderland", "REGISTER", URI)), 200);
    assert_eq!(world.proxy.devices(), 2);
}

/// Also one that was made before there was this rule; with a wrong proof the answer says nothing of it.
#[test]
fn nobody_signs_in_under_the_number_of_a_telephone() {
    for user in ["+46701112233", "46701112233", "0046 70-111 22 33", "+1", "(070) 111.22.33", "112"] {
        let mut world = World::new();
        world.account(user, "wonderland", "Alice");
        let mut phone = Phone::new(&mut world, user, 1);
        let challenge = challenged(&mut world, &phone);
        assert_eq!(register_with(&mut world, &mut phone, &digest(&challenge, user, "wrong", "REGISTER", URI, 1)), 401);
        let mut phone = Phone::new(&mut world, user, 1);
        let challenge = challenged(&mut world, &phone);
        phone.serial += 1;
        let proof = digest(&challenge, user, "wonderland", "REGISTER", URI, 1);
        for text in [with(&phone.register_text(""), &proof), phone.with_ticket(&world, &phone.register_text(""))] {
            let conn = phone.conn;
            world.send(conn, &text.replace("z9hG4bKreg", &format!("z9hG4bK{}", text.len())));
            let answer = world.one(conn);
            assert_eq!(code(&answer), 403, "{user}: {answer}");
            assert_eq!(field(&answer, "x-error").unwrap(), "40302 A user name must not be a phone number");
        }
        let ticket = ticket(KEY, SECRET, user, world.now, 3600);
        let call = with(&phone.invite_text("alice", "c1"), &format!("Proxy-Authorization: Bearer {ticket}"));
        world.send(phone.conn, &call);
        assert_eq!(code(&world.one(phone.conn)), 403, "nor calls without registering");
        assert_eq!((world.proxy.devices(), world.proxy.calls(), world.seen.len()), (0, 0, 0));
    }
    for user in ["1001", "42", "alice1", "user 1234567", "12345678-9abc-4000-8000-000000000000", "1234567890123456789"] {
        Phone::registered(&mut World::new(), user, 1);
    }
}

#[test]
fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let mut world = with_password();
    let mut answers = Vec::new();
    for (user, password) in [("alice", "wrong"), ("nobody", "wonderland")] {
        let mut phone = Phone::new(&mut world, user, 1);
        let challenge = challenged(&mut world, &phone);
        phone.serial += 1;
        world.send(phone.conn, &with(&phone.register_text(""), &digest(&challenge, user, password, "REGISTER", URI, 1)));
        let answer = world.one(phone.conn).replace("nobody", "alice").replace("reg2.", "reg1.");
        assert_eq!(field(&answer, "x-error").unwrap(), "40108 Invalid credentials");
        // Nonces and tags are random: only their length may be seen.
        let blank = |line: &str| match line {
            line if line.starts_with("WWW-Authenticate: Digest") => line.len().to_string(),
            line if line.starts_with("To:") => line.len().to_string(),
            line => line.to_owned(),
        };
        answers.push(answer.lines().map(blank).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], answers[1]);
    let refused =
        |record: &Record| matches!(record, Record::Refused { code: StatusCode::UNAUTHORIZED, why: "wrong user or password", .. });
    assert_eq!(world.records.iter().filter(|record| refused(record)).count(), 2);
}

#[test]
fn a_digest_counts_once_and_only_on_its_connection() {
    let mut world = with_password();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let challenge = challenged(&mut world, &phone);
    let proof = digest(&challenge, "alice", "wonderland", "REGISTER", URI, 1);
    assert_eq!(register_with(&mut world, &mut phone, &proof), 200);
    phone.serial += 1;
    world.send(phone.conn, &with(&phone.register_text(""), &proof));
    let again = world.one(phone.conn);
    assert!(code(&again) == 401 && again.contains("stale=true"), "{again}");
    assert_eq!(register_with(&mut world, &mut phone, &digest(&challenge, "alice", "wonderland", "REGISTER", URI, 2)), 200);
    let mut thief = Phone::new(&mut world, "alice", 9);
    assert_eq!(register_with(&mut world, &mut thief, &digest(&challenge, "alice", "wonderland", "REGISTER", URI, 3)), 401);
}

#[test]
fn a_nonce_gets_old() {
    let mut world = with_password();
    let mut phone = Phone::registered(&mut world, "alice", 1);
    let proof = digest(&challenged_again(&mut world, &mut phone), "alice", "wonderland", "REGISTER", URI, 1);
    world.wait(300_001);
    phone.serial += 1;
    world.send(phone.conn, &with(&phone.register_text(""), &proof));
    assert!(world.one(phone.conn).contains("stale=true"));
}

/// A challenge on a connection that has an identity already.
fn challenged_again(world: &mut World, phone: &mut Phone) -> String {
    phone.serial += 1;
    world.send(phone.conn, &with(&phone.register_text(""), "Authorization: Bearer nonsense"));
    world.one(phone.conn)
}

#[test]
fn proofs_for_something_else_are_refused() {
    let mut world = with_password();
    let proofs: [fn(&str) -> String; 8] = [
        |challenge| digest(challenge, "alice", "wonderland", "INVITE", URI, 1),
        |challenge| digest(challenge, "alice", "wonderland", "REGISTER", "sip:elsewhere.example", 1),
        |challenge| digest(&challenge.replace("realm=\"calls", "realm=\"other"), "alice", "wonderland", "REGISTER", URI, 1),
        |challenge| digest(&challenge.replace(", qop=\"auth\"", ""), "alice", "wonderland", "REGISTER", URI, 1),
        |challenge| digest(challenge, "alice", "wonderland", "REGISTER", URI, 0),
        |challenge| digest(challenge, "alice", "wonderland", "REGISTER", URI, 1).replace("nonce=\"", "nonce=\"A"),
        |_| "Authorization: Basic YWxpY2U6d29uZGVybGFuZA==".into(),
        |_| "Authorization: Digest".into(),
    ];
    for (number, proof) in proofs.into_iter().enumerate() {
        let mut phone = Phone::new(&mut world, "alice", 1);
        let challenge = challenged(&mut world, &phone);
        assert_eq!(register_with(&mut world, &mut phone, &proof(&challenge)), 401, "{number}");
    }
    assert_eq!(world.proxy.devices(), 0);
}

#[test]
fn somebody_elses_password_does_not_make_a_user() {
    let mut world = with_password();
    let mut phone = Phone::new(&mut world, "bob", 1);
    let challenge = challenged(&mut world, &phone);
    assert_eq!(register_with(&mut world, &mut phone, &digest(&challenge, "alice", "wonderland", "REGISTER", URI, 1)), 403);
}

#[test]
fn a_ticket_lets_in_and_makes_the_user_known() {
    let mut world = World::new();
    Phone::registered(&mut world, "carol", 1);
    assert_eq!(world.seen, ["carol"]);
}

#[test]
fn bad_bearers_are_refused() {
    let mut world = World::new();
    let now = world.now;
    let good = ticket(KEY, SECRET, "alice", now, 60);
    let past = Instant::from_millis(now.millis() - 200_000);
    let bearers = [
        String::new(),
        "x".into(),
        ":".into(),
        good.replace(':', "."),
        good[..good.len() - 4].to_owned(),
        ticket(KEY, b"another secret", "alice", now, 60),
        ticket("other", SECRET, "alice", now, 60),
        ticket("other", b"another secret", "alice", now, 60),
        ticket(KEY, SECRET, "alice", past, 60),
        ticket(KEY, SECRET, "alice", now + Duration::from_secs(200), 60),
        ticket(KEY, SECRET, "", now, 60),
        "a.b.c".into(),
        format!("{good} {good}"),
    ];
    for bearer in bearers {
        let mut phone = Phone::new(&mut world, "alice", 1);
        let status = register_with(&mut world, &mut phone, &format!("Authorization: Bearer {bearer}"));
        assert_eq!(status, 401, "{bearer}");
    }
    assert!(world.seen.is_empty());
}

#[test]
fn one_users_ticket_is_no_good_for_another() {
    let mut world = World::new();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let bearer = format!("Authorization: Bearer {}", ticket(KEY, SECRET, "bob", world.now, 60));
    assert_eq!(register_with(&mut world, &mut phone, &bearer), 403);
    let mut phone = Phone::registered(&mut world, "alice", 1);
    assert_eq!(register_with(&mut world, &mut phone, &bearer), 403, "a connection keeps its identity");
}

#[test]
fn every_method_is_refused_without_identity() {
    let mut world = World::new();
    let methods =
        "INVITE BYE OPTIONS REGISTER UPDATE INFO PRACK REFER NOTIFY MESSAGE SUBSCRIBE PUBLISH CANCEL FOO BAR invite X-1 Z";
    let bob = Phone::registered(&mut world, "bob", 2);
    for method in methods.split(' ') {
        let phone = Phone::new(&mut world, "alice", 1);
        let text = phone.invite_text("bob", "c1").replace("INVITE", method);
        world.send(phone.conn, &text);
        let answer = world.one(phone.conn);
        assert!(matches!(code(&answer), 401 | 403 | 407), "{answer}");
        let tagged =
            text.replace("To: <sip:bob@calls.example>", "To: <sip:bob@calls.example>;tag=x").replace("z9hG4bKc1", "z9hG4bKc2");
        world.send(phone.conn, &tagged);
        let answer = world.one(phone.conn);
        assert!(matches!(code(&answer), 401 | 403 | 407), "{answer}");
    }
    let phone = Phone::new(&mut world, "alice", 1);
    world.send(phone.conn, &phone.invite_text("bob", "c1").replace("INVITE", "ACK"));
    assert_eq!(world.heads(phone.conn), [""; 0], "an ACK is never answered");
    assert_eq!(world.heads(bob.conn), [""; 0]);
}

#[test]
fn nobody_else_is_believed_to_be_the_sender() {
    let mut world = World::new();
    let mallory = Phone::registered(&mut world, "mallory", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    let froms = [
        "From: <sip:alice@calls.example>;tag=1",
        "f: <sip:alice@calls.example>;tag=1",
        "From: \"mallory\" <sip:alice@calls.example>;tag=1",
        "From: \"<sip:mallory@calls.example>\" <sip:alice@calls.example>;tag=1",
        "From:\r\n <sip:alice@calls.example>;tag=1",
        "From: sip:alice@calls.example;tag=1",
        "From: <sip:Mallory@calls.example>;tag=1",
        "From: <sip:mallory%00@calls.example>;tag=1",
        "From: <sip:calls.example>;tag=1",
        "From: <tel:mallory>;tag=1",
    ];
    for (number, from) in froms.iter().enumerate() {
        let text = mallory.invite_text("bob", &format!("s{number}"));
        let line = text.lines().find(|line| line.starts_with("From:")).unwrap().to_owned();
        world.send(mallory.conn, &text.replace(&line, from));
        let answer = world.one(mallory.conn);
        assert!(matches!(code(&answer), 400 | 403), "{from}: {answer}");
    }
    let doubled = with(&mallory.invite_text("bob", "s90"), "From: <sip:alice@calls.example>;tag=1");
    world.send(mallory.conn, &doubled);
    assert_eq!(world.heads(mallory.conn), ["400 INVITE"]);
    assert_eq!(world.heads(bob.conn), [""; 0]);
}

#[test]
fn claims_of_identity_do_not_get_through() {
    let mut world = World::new();
    let mallory = Phone::registered(&mut world, "mallory", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    let names = [
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Diversion",
        "Identity",
        "History-Info",
        "X-ICE-Server",
        "X-Error",
        "Proxy-Authorization",
        "p-asserted-identity",
        "P-ASSERTED-IDENTITY",
        "Record-Route",
        "Path",
        "Service-Route",
    ];
    let mut text = mallory.invite_text("bob", "c1");
    for name in names {
        text = with(&text, &format!("{name}: <sip:king@calls.example>"));
        text = with(&text, &format!("{name} : <sip:king@calls.example>"));
        text = with(&text, &format!("{name}\t:\r\n <sip:king@calls.example>"));
    }
    world.send(mallory.conn, &text.replace("From: <", "From: \"King\" <"));
    let invite = bob.rung(&mut world);
    assert!(!invite.contains("king") && !invite.contains("King"), "{invite}");
    assert_eq!(field(&invite, "from").unwrap(), "<sip:mallory@calls.example>;tag=fc1");
}

/// Claims, and what has a phone play, show, fetch or answer something; with their compact forms. None of them is for others to say.
const CLAIMS: [(&str, &str); 36] = [
    ("P-Asserted-Identity", ""),
    ("P-Preferred-Identity", ""),
    ("P-Called-Party-ID", ""),
    ("P-Charging-Vector", ""),
    ("P-Early-Media", ""),
    ("P-Anything", ""),
    ("Remote-Party-ID", ""),
    ("Diversion", ""),
    ("History-Info", ""),
    ("Privacy", ""),
    ("Identity", "y"),
    ("Identity-Info", "n"),
    ("Referred-By", "b"),
    ("Replaces", ""),
    ("Join", ""),
    ("Target-Dialog", ""),
    ("Alert-Info", ""),
    ("Call-Info", ""),
    ("Error-Info", ""),
    ("Reply-To", ""),
    ("In-Reply-To", ""),
    ("Subject", "s"),
    ("Organization", ""),
    ("Priority", ""),
    ("Date", ""),
    ("Accept-Contact", "a"),
    ("Reject-Contact", "j"),
    ("Request-Disposition", "d"),
    ("Answer-Mode", ""),
    ("Geolocation", ""),
    ("Path", ""),
    ("Service-Route", ""),
    ("Authentication-Info", ""),
    ("Proxy-Authenticate", ""),
    ("X-Error", ""),
    ("X-ICE-Server", ""),
];
/// What user agents need of each other.
const NEEDED: [(&str, &str, &str); 17] = [
    ("Supported", "k", "timer"),
    ("Allow-Events", "u", "refer"),
    ("Content-Encoding", "e", "identity"),
    ("Session-Expires", "x", "1800;refresher=uac"),
    ("Event", "o", "refer"),
    ("Refer-To", "r", "<sip:carol@calls.example>"),
    ("Allow", "", "INVITE, BYE"),
    ("Accept", "", "application/sdp"),
    ("Min-SE", "", "90"),
    ("RSeq", "", "7"),
    ("RAck", "", "7 1 INVITE"),
    ("Reason", "", "SIP;cause=200"),
    ("Recv-Info", "", "trickle-ice"),
    ("Info-Package", "", "trickle-ice"),
    ("User-Agent", "", "a phone"),
    ("X-Colour", "", "blue"),
    ("x-colour-of-sky", "", "blue"),
];

/// A message with all of these, each in every form in which it can be written.
fn with_all(message: &str) -> String {
    let value = "<sip:king@calls.example>";
    let mut more = String::new();
    for (number, (full, compact)) in CLAIMS.into_iter().enumerate() {
        let (lower, upper) = (full.to_lowercase(), full.to_uppercase());
        let forms = [format!("{full}: "), format!("{lower} : "), format!("{upper}\t:\r\n ")];
        let short = [format!("{compact}: "), format!("{} \t: ", compact.to_uppercase())];
        // No message is long enough for all of them.
        let forms = if compact.is_empty() { &forms[number % 2..number % 2 + 2] } else { &short[..] };
        forms.iter().for_each(|form| more.push_str(&format!("{form}{value}\r\n")));
    }
    NEEDED.iter().for_each(|(full, compact, value)| {
        more.push_str(&format!("{}: {value}\r\n", if compact.is_empty() { full } else { compact }));
    });
    message.replacen("Call-ID:", &format!("{more}Call-ID:"), 1)
}

/// Of all that, what is needed has arrived, once.
#[track_caller]
fn only_needed(message: &str) {
    assert!(!message.contains("king"), "{message}");
    let read = parse(message.as_bytes()).expect("a message");
    for (name, compact, value) in NEEDED {
        let is = |known: &str| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(compact);
        let values: Vec<&str> = read.fields().iter().filter(|field| is(field.raw_name)).map(|field| field.value).collect();
        assert_eq!(values, [value], "{name}: {message}");
    }
}

/// In each message from user to user, in both directions.
#[test]
fn only_what_user_agents_need_of_each_other_passes() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    world.send(alice.conn, &with_all(&alice.invite_text("bob", "c1").replace("X-Color: blue\r\n", "")));
    let invite = bob.rung(&mut world);
    only_needed(&invite);
    world.take(alice.conn);
    for code in [183, 200] {
        world.send(bob.conn, &with_all(&bob.answer_text(&invite, code)));
        only_needed(&world.one(alice.conn));
    }
    bob.answer(&mut world, &invite, 200);
    let ok = world.one(alice.conn);
    let mut sides = [(Dialog::caller(&alice, &ok), &alice, &bob), (Dialog::callee(&bob, &invite), &bob, &alice)];
    for method in ["ACK", "INFO", "UPDATE", "PRACK", "MESSAGE", "REFER", "NOTIFY", "INVITE", "OPTIONS", "X-OTHER", "BYE"] {
        for (dialog, from, to) in &mut sides {
            let text = with_all(&dialog.request_text(method));
            world.send(from.conn, &text);
            let request = world.one(to.conn);
            only_needed(&request);
            if method != "ACK" {
                world.take(from.conn);
                let code = if method == "INFO" { 469 } else { 200 };
                world.send(to.conn, &with_all(&to.answer_text(&request, code)));
                only_needed(&world.one(from.conn));
            }
        }
    }
}

#[test]
fn a_refusal_carries_no_claims_either() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    world.send(bob.conn, &with_all(&bob.answer_text(&invite, 486)));
    only_needed(&world.take(alice.conn).pop().expect("an answer"));
}

#[test]
fn a_body_has_a_size() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    let with_body = |call_id: &str, length: usize| {
        let text = alice.invite_text("bob", call_id);
        let head = &text[..text.find("Content-Length").expect("a length")];
        format!("{head}Content-Length: {length}\r\n\r\n{}", "a=ssrc:1 cname:x\r\n".repeat(length / 18 + 1)[..length].to_owned())
    };
    world.send(alice.conn, &with_body("c1", 32 * 1024 + 1));
    let answer = world.one(alice.conn);
    assert_eq!((code(&answer), field(&answer, "x-error").as_deref()), (413, Some("40003 Message body too large")));
    world.send(alice.conn, &with_body("c2", 32 * 1024));
    assert!(bob.rung(&mut world).len() > 32 * 1024);
    assert_eq!(world.proxy.calls(), 1);
}

#[test]
fn pings_are_answered_before_anything_else() {
    let mut world = World::new();
    let conn = world.open();
    world.send(conn, "\r\n\r\n");
    assert_eq!(world.take(conn), ["\r\n"]);
    world.send(conn, "\r\n");
    world.send(conn, "");
    assert!(world.take(conn).is_empty());
}

#[test]
fn options_to_the_server_are_answered_to_users_only() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let unauthenticated = Phone::new(&mut world, "alice", 2);
    let text = with_start(&alice.invite_text("bob", "c1"), "OPTIONS sip:calls.example SIP/2.0").replace("1 INVITE", "1 OPTIONS");
    world.send(alice.conn, &text);
    let answer = world.one(alice.conn);
    assert_eq!(head(&answer), "200 OPTIONS");
    assert!(field(&answer, "allow").unwrap().contains("INVITE"));
    world.send(unauthenticated.conn, &text);
    assert_eq!(world.heads(unauthenticated.conn), ["401 OPTIONS"]);
    world.send(alice.conn, &text.replace("OPTIONS", "SUBSCRIBE").replace("z9hG4bKc1", "z9hG4bKc2"));
    world.send(alice.conn, &text.replace("OPTIONS", "MESSAGE").replace("z9hG4bKc1", "z9hG4bKc3"));
    world.send(alice.conn, &text.replace("OPTIONS", "FROB").replace("z9hG4bKc1", "z9hG4bKc4"));
    let answers = world.take(alice.conn);
    assert_eq!(answers.iter().map(|text| head(text)).collect::<Vec<_>>(), ["405 SUBSCRIBE", "405 MESSAGE", "501 FROB"]);
    for answer in answers {
        assert!(field(&answer, "allow").is_some_and(|allow| allow.contains("INVITE")), "{answer}");
        assert!(field(&answer, "to").is_some_and(|to| to.contains(";tag=")), "{answer}");
    }
}

#[test]
fn guessing_passwords_ends_the_connection() {
    let mut world = with_password();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let mut challenge = challenged(&mut world, &phone);
    for count in 1..=10 {
        phone.serial += 1;
        world.send(phone.conn, &with(&phone.register_text(""), &digest(&challenge, "alice", "guess", "REGISTER", URI, count)));
        challenge = world.one(phone.conn);
    }
    assert_eq!(world.closed.get(&phone.conn).map(|(code, _)| *code), Some(1008));
}

#[test]
fn a_connection_without_identity_is_closed() {
    let mut world = World::new();
    let conn = world.open();
    world.wait(31_999);
    assert!(world.closed.is_empty());
    world.wait(1);
    assert!(world.closed.contains_key(&conn));
    assert_eq!(world.proxy.footprint(), 0);
}

#[test]
fn an_unknown_application_is_not_let_in() {
    let mut world = World::new();
    let conn = world.open_for("nothing");
    assert!(world.closed.contains_key(&conn));
}

#[test]
fn applications_do_not_see_each_others_users() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let conn = world.open_for("other");
    let bob = Phone { conn, ..Phone::new(&mut world, "bob", 2) };
    let bearer = ticket("other", b"another secret", "bob", world.now, 60);
    world.send(conn, &with(&bob.register_text(""), &format!("Authorization: Bearer {bearer}")));
    assert_eq!(world.heads(conn), ["200 REGISTER"]);
    bob.call(&mut world, "alice", "c1");
    assert_eq!(world.heads(conn), ["100 INVITE", "404 INVITE"]);
    assert_eq!(world.heads(alice.conn), [""; 0]);
}

#[test]
fn what_is_no_sip_is_dropped_or_refused() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    for text in ["hello", "GET / HTTP/1.1\r\n\r\n", "\0", "INVITE", "SIP/2.0 200 OK\r\n\r\n", &"x".repeat(70_000)] {
        world.send(alice.conn, text);
    }
    assert_eq!(world.heads(alice.conn), [""; 0]);
    let text = alice.invite_text("bob", "c1");
    for (number, bad) in
        [text.replace("Call-ID: c1\r\n", ""), text.replace("SIP/2.0\r\n", "SIP/7.0\r\n"), text.replace("1 INVITE", "1 BYE")]
            .iter()
            .enumerate()
    {
        world.send(alice.conn, bad);
        let answer = world.one(alice.conn);
        assert!(matches!(code(&answer), 400 | 505), "{number}: {answer}");
    }
    assert_eq!(world.proxy.calls(), 0);
}

#[test]
fn the_domain_is_the_realm() {
    let mut world = World::new();
    let phone = Phone::new(&mut world, "alice", 1);
    assert!(challenged(&mut world, &phone).contains(&format!("realm=\"{DOMAIN}\"")));
}

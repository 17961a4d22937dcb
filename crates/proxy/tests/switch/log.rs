//! What an operator reads of the switch: registrations, a call from its beginning to its end, and who is refused.

use offhook_proxy::Settings;
use offhook_testing::log::{LevelFilter, Log};
use offhook_testing::switch::{self, DOMAIN};
use offhook_testing::world::{Phone, World, code, digest, field, settings, talking, with};

#[test]
fn a_call_is_followed_by_its_call_id() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::new();
    let (_, _, mut caller, _) = talking(&mut world);
    world.wait(61_000);
    caller.send(&mut world, "BYE");
    log.says(
        "DEBUG signed in conn=1 application=demo user=alice shown=ticket
         INFO registered application=demo user=alice conn=1
         DEBUG signed in conn=2 application=demo user=bob shown=ticket
         INFO registered application=demo user=bob conn=2
         INFO call started call=talk application=demo from=alice to=bob conn=1
         DEBUG passed on to a device call=talk user=bob conn=2
         INFO call answered call=talk application=demo conn=2
         INFO call ended call=talk application=demo cause=completed by=caller code=200 duration=61000",
    );
}

/// Bob has two devices: one declines nothing, says that it is busy; the other rings until the caller leaves.
#[test]
fn a_call_that_comes_to_nothing_says_why() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let (first, second) = (Phone::registered(&mut world, "bob", 2), Phone::registered(&mut world, "bob", 3));
    log.take();
    alice.call(&mut world, "bob", "c1");
    let (invite, other) = (first.rung(&mut world), second.rung(&mut world));
    first.answer(&mut world, &invite, 486);
    second.answer(&mut world, &other, 180);
    alice.cancel(&mut world, "bob", "c1");
    second.answer(&mut world, &other, 487);
    alice.call(&mut world, "nobody", "c2");
    world.known("carol");
    alice.call(&mut world, "carol", "c3");
    world.wait(10_500);
    log.says(
        "INFO call started call=c1 application=demo from=alice to=bob conn=1
         DEBUG passed on to a device call=c1 user=bob conn=2
         DEBUG passed on to a device call=c1 user=bob conn=3
         DEBUG a device does not take the call call=c1 conn=2 code=486
         DEBUG the caller has left call=c1
         DEBUG a device does not take the call call=c1 conn=3 code=487
         INFO call ended call=c1 application=demo cause=cancelled code=487 reason=Request terminated
         INFO call started call=c2 application=demo from=alice to=nobody conn=1
         INFO call ended call=c2 application=demo cause=unknown code=404 reason=No such user
         INFO call started call=c3 application=demo from=alice to=carol conn=1
         DEBUG no device is online: it waits for one call=c3 milliseconds=10500
         INFO call ended call=c3 application=demo cause=offline code=480 reason=No device is online",
    );
}

/// Who is refused on the way to a call: by a limit, for what was dialled, and for a wrong password.
fn refusals(world: &mut World) -> String {
    let alice = Phone::registered(world, "alice", 1);
    let bob = Phone::registered(world, "bob", 2);
    alice.call(world, "bob", "c1");
    alice.call(world, "bob", "c2");
    alice.call(world, "+46701234567", "c3");
    let text = alice.invite_text("+46701234567", "c4").replace(&format!("@{DOMAIN} SIP"), &format!("@{DOMAIN};user=phone SIP"));
    world.send(alice.conn, &text);
    bob.rung(world);
    let mut thief = Phone::new(world, "carol", 3);
    world.account("carol", "canary-password", "");
    world.send(thief.conn, &thief.register_text(""));
    let challenge = world.one(thief.conn);
    let mut shown = String::new();
    for (password, count) in [("guess", 1), ("canary-password", 2)] {
        thief.serial += 1;
        shown = digest(&challenge, "carol", password, "REGISTER", &format!("sip:{DOMAIN}"), count);
        world.send(thief.conn, &with(&thief.register_text(""), &shown));
    }
    assert_eq!(code(&world.take(thief.conn)[1]), 200);
    shown
}

fn narrow() -> Settings {
    Settings { max_calls_per_user: 1, ..settings() }
}

#[test]
fn who_is_refused_is_told_and_why_and_no_name_is_readable() {
    let log = Log::start(LevelFilter::INFO);
    refusals(&mut World::with(narrow()));
    log.says(
        "INFO registered application=demo user=a…e conn=1
         INFO registered application=demo user=b…b conn=2
         INFO call started call=c1 application=demo from=a…e to=b…b conn=1
         INFO refused call=c2 application=demo user=a…e to=b…b conn=1 method=INVITE code=403 reason=Too many calls at once
         INFO refused call=c3 application=demo user=a…e to=+4…67 conn=1 method=INVITE code=403 reason=Too many calls at once
         INFO refused call=c4 application=demo user=a…e to=+4…67 conn=1 method=INVITE code=501 reason=Calls to telephones are not available
         INFO registered application=demo user=c…l conn=3",
    );
    log.never_says(&["alice", "bob", "carol", "4670123"]);
}

#[test]
fn no_line_has_a_secret() {
    let log = Log::start(LevelFilter::TRACE);
    let mut world = World::with(narrow());
    let shown = refusals(&mut world);
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.starts_with("DEBUG refused ") && line.contains("code=401 reason=wrong user or password")));
    let trace = format!("TRACE received by=1 line=INVITE sip:bob@{DOMAIN} SIP/2.0 call=c1");
    assert!(lines.contains(&trace), "{lines:#?}");

    let ticket = switch::ticket_of("alice", world.now);
    let mut alice = Phone::new(&mut world, "alice", 4);
    let answer = alice.register(&mut world);
    let turn = field(&answer, "x-ice-server").expect("servers");
    assert!(!turn.is_empty());
    let credential = answer.split("credential=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a credential");
    let part = |name: &str| shown.split(name).nth(1).and_then(|rest| rest.split('"').next()).expect("a part").to_owned();
    let (response, nonce) = (part("response=\""), part("nonce=\""));
    log.never_says(&["canary-password", &response, &nonce, &ticket, "Bearer", credential, "v=0", "m=audio"]);
}

#[test]
fn a_device_that_comes_back_is_told() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::new();
    let (alice, _, _, mut callee) = talking(&mut world);
    world.close(alice.conn);
    log.take();
    callee.send(&mut world, "BYE");
    let mut again = alice.reconnected(&mut world);
    again.register(&mut world);
    assert_eq!(world.heads(again.conn), ["BYE"]);
    log.says(
        "INFO call ended call=talk application=demo cause=completed by=callee code=200 duration=0
         DEBUG the other device is away: a request waits for it call=talk method=BYE
         DEBUG signed in conn=3 application=demo user=alice shown=ticket
         INFO registered application=demo user=alice conn=3
         DEBUG the device is back conn=3 before=1 application=demo user=alice",
    );
}

//! Servers that are asked over HTTP what they are: one that nobody has named, and all of them where `start` has reached none.

use offhook::client::call::Destination;
use offhook::client::{Client, Config, Event, Finding, Input, Login, Output, Page, Unnamed};
use offhook_ua::time::Instant;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::world::{World, config};

const SCRIPT: &str = "wss://cdn.test/sip";
const SERVER: &str = "wss://server.test/sip";

fn login() -> Login {
    Login::Token { user: "alice".into(), token: "t".into(), lasts: None }
}

fn page() -> Page {
    Page {
        application: "shop".into(),
        origin: "https://shop.test".into(),
        secure: true,
        places: "cdn.test is where the script came from.".into(),
    }
}

/// A page whose script came from `cdn.test`.
fn unnamed() -> Config {
    let unnamed = Unnamed { url: format!("{SCRIPT}?key=shop"), domain: "cdn.test".into() };
    Config { unnamed: Some(unnamed), page: page(), ..config() }
}

fn refused(reason: &str, wait: Option<u32>) -> Finding {
    Finding::Refused { reason: reason.into(), said: "There are too many connections".into(), wait }
}

/// Starts a client, which finds this where the script came from.
fn start(config: Config, finding: Option<Finding>) -> (World, usize) {
    let mut world = World::new();
    let alice = world.add("A", config);
    world.findings.extend(finding.map(|finding| (SCRIPT.to_owned(), finding)));
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    (world, alice)
}

/// Starts a client that can open no WebSocket.
fn start_offline(config: Config, findings: &[(&str, Finding)]) -> (World, usize) {
    let mut world = World::new();
    let alice = world.add("A", config);
    world.nodes[alice].offline = true;
    world.findings.extend(findings.iter().map(|(url, finding)| ((*url).to_owned(), finding.clone())));
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    world.run(6_000);
    (world, alice)
}

fn tried(world: &World, node: usize) -> Vec<&str> {
    world.nodes[node].tried.iter().map(|(_, url)| url.as_str()).collect()
}

#[test]
fn the_server_of_the_script_is_used_if_it_is_a_gateway() {
    for finding in [Finding::Gateway, refused("unknown application", None)] {
        let (mut world, alice) = start(unnamed(), Some(finding));
        assert!(tried(&world, alice).is_empty(), "nothing is sent before the answer");
        world.run(1_000);
        assert_eq!(tried(&world, alice), ["wss://cdn.test/sip?key=shop"]);
        assert_eq!(world.asked, [SCRIPT], "it gets no key before");
        assert_eq!(world.nodes[alice].client.config().domain, "cdn.test");
        assert!(world.events(alice).ends_with("connection connected"), "{}", world.events(alice));
        world.command(alice, |client, now| client.terminate(now));
        world.command(alice, |client, now| client.start(now, login()).unwrap());
        world.run(1_000);
        assert_eq!((world.asked.len(), tried(&world, alice).len()), (1, 2), "it is known by now");
    }
}

#[test]
fn a_server_of_scripts_alone_gets_no_login() {
    for finding in [Some(Finding::Foreign(Some(404))), Some(Finding::Silent), None] {
        let (mut world, alice) = start(unnamed(), finding);
        world.run(10_000);
        assert_eq!(tried(&world, alice), [SERVER]);
        assert_eq!(world.nodes[alice].client.config().domain, "server.test");
        assert!(world.events(alice).ends_with("connection connected"), "{}", world.events(alice));
    }
}

#[test]
fn a_terminated_client_waits_for_no_answer() {
    let (mut world, alice) = start(unnamed(), Some(Finding::Gateway));
    world.command(alice, |client, now| client.terminate(now));
    world.run(10_000);
    assert!(tried(&world, alice).is_empty(), "{:?}", tried(&world, alice));
    assert_eq!(world.nodes[alice].client.config().domain, "server.test");
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    world.command(alice, |client, now| client.terminate(now));
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    world.run(1_000);
    assert_eq!(tried(&world, alice).len(), 1);
    assert_eq!(world.nodes[alice].client.config().domain, "cdn.test");
}

#[test]
fn a_start_that_fails_names_each_server_and_says_why() {
    let (world, alice) = start_offline(unnamed(), &[(SCRIPT, Finding::Foreign(None)), (SERVER, Finding::Silent)]);
    let events = world.events(alice);
    for part in ["What answers at cdn.test/sip is no gateway", "Nothing answers at server.test:", "cdn.test is where the script"] {
        assert!(events.contains(part), "{events}");
    }
    assert!(events.ends_with("connection closed"), "{events}");
}

#[test]
fn a_page_without_any_server_hears_what_became_of_the_script_s() {
    let (mut world, alice) = start(Config { servers: Vec::new(), ..unnamed() }, Some(Finding::Foreign(Some(404))));
    world.run(100);
    let events = world.events(alice);
    assert!(events.contains("What answers at cdn.test/sip (HTTP 404) is no gateway"), "{events}");
    assert_eq!(world.asked, [SCRIPT]);
}

#[test]
fn each_reason_has_its_sentence() {
    for (finding, said) in [
        (
            Finding::Gateway,
            "The server cannot be reached (1006), though a gateway answers at server.test. Does a proxy in between pass all",
        ),
        (
            refused("unknown application", None),
            "The server at server.test does not know the application \"shop\": check applicationKey",
        ),
        (refused("origin", None), "The server at server.test does not let pages of https://shop.test use the application \"shop\""),
        (
            refused("loopback only", None),
            "The application \"shop\" of the server at server.test is for pages on the server's own machine",
        ),
        (refused("busy", Some(10)), "The server at server.test refuses for now: There are too many connections. Try again in 10 s"),
        (refused("strange", None), "The server at server.test refuses: There are too many connections"),
        (Finding::Foreign(Some(200)), "What answers at server.test/sip (HTTP 200) is no gateway: check the address"),
        (
            Finding::Silent,
            "Nothing answers at server.test: check the address of the server, that it runs, that its certificate is valid, and",
        ),
        (Finding::Late, "server.test did not answer in time"),
        (
            Finding::Insecure,
            "Browsers let a page over https reach servers over https and wss only: server.test needs a certificate",
        ),
    ] {
        let url = "wss://user@server.test/sip?key=shop";
        let config = Config { servers: vec![url.into()], page: Page { secure: false, ..page() }, ..config() };
        let (world, alice) = start_offline(config, &[(url, finding)]);
        let events = world.events(alice);
        assert!(events.contains(&format!("start failed: {said}")), "{events}");
        assert!(events.contains("This page itself is not secure"), "{events}");
    }
}

#[test]
fn a_call_placed_before_the_answer_goes_to_the_server_that_is_used() {
    for (finding, domain) in [(Finding::Gateway, "cdn.test"), (Finding::Foreign(None), "server.test")] {
        let (mut world, alice) = start(unnamed(), Some(finding));
        world.command(alice, |client, now| client.call(now, Destination::User("bob".into()), Vec::new()));
        world.run(2_000);
        assert_eq!(world.invited, [format!("sip:bob@{domain}")]);
    }
}

#[test]
fn a_second_start_tries_each_server() {
    let servers = ["wss://one.test/sip", "wss://two.test/sip"].map(str::to_owned).to_vec();
    let (mut world, alice) = start_offline(Config { servers, ..config() }, &[]);
    world.run(10_000);
    assert_eq!(tried(&world, alice).len(), 2);
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    world.run(10_000);
    assert_eq!(tried(&world, alice).len(), 4, "{:?}", tried(&world, alice));
}

#[test]
fn a_gateway_that_closes_the_connection_is_not_said_to_be_unreached() {
    let (mut client, now) = (Client::new(Config { page: page(), ..config() }, [1; 32]), Instant::from_millis(0));
    client.start(now, login()).unwrap();
    client.handle(now, Input::Opened);
    client.handle(now, Input::Closed { code: 1008, reason: String::new() });
    client.handle(now, Input::Asked { url: SERVER.into(), finding: Finding::Gateway });
    let outputs: Vec<Output> = std::iter::from_fn(|| client.poll()).collect();
    let said = outputs.iter().find_map(|output| match output {
        Output::Event(Event::StartFailed(error)) => Some(error.to_string()),
        _ => None,
    });
    let said = said.expect("the start has failed");
    assert!(said.starts_with("The server closed the connection (1008). It is the gateway at server.test"), "{said}");
}

#[test]
fn an_outage_later_asks_nobody() {
    let (mut world, alice) = start(config(), None);
    world.run(1_000);
    world.nodes[alice].offline = true;
    world.run(60_000);
    assert!(world.asked.is_empty(), "{:?}", world.asked);
}

#[test]
fn a_start_that_no_server_answers_fails_in_time() {
    let servers = ["wss://one.test/sip", "wss://two.test/sip"].map(str::to_owned).to_vec();
    let (world, alice) = start_offline(Config { servers, ..config() }, &[]);
    let events = world.events(alice);
    assert!(events.contains("one.test did not answer in time") && events.contains("two.test did not answer in time"), "{events}");
    assert_eq!(world.asked.len(), 2);
}

//! The log of the media of a call: codecs, first packets, sources, silence, and losses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_media::{Codec, Command, Leg, PeerSettings, Security, Socket};
use offhook_testing::log::{LevelFilter, Log};
use offhook_testing::phone::PCMU;

use crate::srtp::srtp;
use crate::world::{S, SILENCE, World, address, only, settings};

const KEY: [u8; 30] = [7; 30];

/// Sends one encrypted packet of the phone.
fn phone_sends(world: &mut World) {
    let packet = srtp(&KEY, &world.phone.packet(0, &[1; 160], 160), 0);
    world.inject(Socket::Rtp(S), world.phone.at, packet);
}

/// A page with Opus only and a phone with µ-law and SRTP: two of five packets of the phone are lost. Returns all descriptions.
fn talk(world: &mut World) -> Vec<String> {
    world.phone.key = Some(STANDARD.encode(KEY));
    let page = world.page("192.0.2.5:5000");
    world.open(PeerSettings { security: Security::Sdes, ..settings(&[Codec::Pcmu]) });
    let page_offer = only(&[111], &world.pages[page].offer());
    let page_answer = world.offered(Leg::Page, page_offer.clone()).expect("an answer");
    world.pages[page].accept(&page_answer);
    let phone_offer = world.offer(Leg::Peer).expect("an offer");
    let phone_answer = world.phone.sdp(&[PCMU]);
    world.answered(Leg::Peer, phone_answer.clone());
    world.run(500);
    world.page_sends(page, 111, &[0xf8, 0xff, 0xfe], 960);
    world.run(20);
    phone_sends(world);
    drop([world.phone.packet(0, &[1; 160], 160), world.phone.packet(0, &[1; 160], 160)]);
    world.run(60);
    phone_sends(world);
    world.run(20);
    phone_sends(world);
    world.run(20);
    vec![page_offer, page_answer, phone_offer, phone_answer]
}

#[test]
fn the_media_of_a_call_are_told_with_its_id() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::new();
    talk(&mut world);
    world.command(Command::Close { session: S });
    log.says(
        "DEBUG media begin call=c1 session=7
         INFO codecs call=c1 page=Opus trunk=Pcmu transcoded=true trunk_srtp=true
         DEBUG the page is connected call=c1
         DEBUG first packet call=c1 side=page payload_type=111
         DEBUG first packet call=c1 side=trunk from=203.0.113.9:6000
         INFO media ended call=c1 page_packets=1 page_lost=0 page_jitter=0 trunk_packets=3 trunk_lost=2 trunk_jitter=0 refused=0",
    );
}

#[test]
fn a_handful_of_lines_is_what_a_healthy_call_has_at_info() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    for _ in 0..500 {
        world.phone_sends(0, &[1; 160], 160);
        world.page_sends(page, 0, &[2; 160], 160);
        world.run(20);
    }
    world.command(Command::Close { session: S });
    log.says(
        "INFO codecs call=c1 page=Pcmu trunk=Pcmu transcoded=false trunk_srtp=false
         INFO media ended call=c1 page_packets=500 page_lost=0 page_jitter=0 trunk_packets=500 trunk_lost=0 trunk_jitter=0 refused=0",
    );
}

/// A phone that moves to another port is followed, which is logged; another source is not accepted, which is logged once, however
/// much it sends.
#[test]
fn where_the_sound_comes_from_is_told_and_a_flood_is_not() {
    let log = Log::start(LevelFilter::TRACE);
    let mut world = World::new();
    world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    log.take();
    world.phone_sends(0, &[1; 160], 160);
    for n in 0..1_000u16 {
        world.phone.at = address(&format!("203.0.113.9:{}", 6_000 + n % 7));
        world.phone_sends(0, &[1; 160], 160);
        let packet = world.phone.packet(0, &[9; 160], 160);
        world.inject(Socket::Rtp(S), address("192.0.2.66:6000"), packet);
        world.run(1);
    }
    let lines = log.lines();
    assert_eq!(lines[0], "DEBUG first packet call=c1 side=trunk from=203.0.113.9:6000");
    let count = |words: &str| lines.iter().filter(|line| line.starts_with(words)).count();
    assert_eq!(count("DEBUG a packet is not taken call=c1 side=trunk from=192.0.2.66:6000"), 1, "{lines:#?}");
    assert_eq!(
        (count("DEBUG heard from another address call=c1 side=trunk from=203.0.113.9:600"), lines.len()),
        (7, 9),
        "{lines:#?}"
    );
}

#[test]
fn a_side_from_which_nothing_comes_is_told() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    log.take();
    world.page_sends(page, 0, &[2; 160], 160);
    world.run(SILENCE);
    log.says("INFO nothing came for too long call=c1 side=trunk milliseconds=30000");
}

#[test]
fn no_line_has_a_key_or_a_password() {
    let log = Log::start(LevelFilter::TRACE);
    let mut world = World::new();
    let descriptions = talk(&mut world);
    world.command(Command::Close { session: S });
    let mut secrets = Vec::new();
    for line in descriptions.iter().flat_map(|text| text.lines()) {
        let password = line.strip_prefix("a=ice-pwd:");
        let key = line.strip_prefix("a=crypto:").and_then(|rest| rest.split_once("inline:")).map(|(_, key)| key);
        secrets.extend(password.into_iter().chain(key).chain(line.strip_prefix("a=fingerprint:sha-256 ")));
    }
    // Passwords and fingerprints of page and gateway, and the keys of gateway and phone.
    assert_eq!(secrets.len(), 6, "{secrets:?}");
    log.never_says(&secrets);
}

//! The trunks that a call may use.

use std::collections::BTreeMap;

use offhook_trunk::Trunk;
use offhook_trunk::{Destination, TrunkId};

use crate::world::{World, id, provider};

fn trunk(name: &str, prefixes: &[&str], priority: u32, weight: u32) -> Trunk {
    let prefixes = prefixes.iter().map(|prefix| (*prefix).into()).collect();
    Trunk { name: name.into(), prefixes, priority, weight, calls: 2, ..provider() }
}

fn routes(world: &mut World, number: &str) -> Vec<String> {
    world.trunks.routes(world.now, &Destination::Phone(number.into())).into_iter().map(|TrunkId(name)| name).collect()
}

#[test]
fn the_longest_prefix_then_priority() {
    let mut world = World::new(vec![
        trunk("all", &["+"], 0, 1),
        trunk("sweden-backup", &["+46"], 2, 1),
        trunk("sweden", &["+46", "+47"], 1, 1),
        trunk("mobile", &["+4670", "+4673"], 9, 1),
    ]);
    assert_eq!(routes(&mut world, "+46701234567"), ["mobile", "sweden", "sweden-backup", "all"]);
    assert_eq!(routes(&mut world, "+4681234567"), ["sweden", "sweden-backup", "all"]);
    assert_eq!(routes(&mut world, "+4712345678"), ["sweden", "all"]);
    assert_eq!(routes(&mut world, "+14155550101"), ["all"]);
}

#[test]
fn trunks_are_chosen_by_weight() {
    let mut world = World::new(vec![trunk("a", &["+"], 0, 10), trunk("b", &["+"], 0, 30), trunk("c", &["+"], 0, 0)]);
    let mut first = BTreeMap::new();
    for _ in 0..4_000 {
        let order = routes(&mut world, "+1");
        assert_eq!((order.len(), order[2].as_str()), (3, "c"), "a weight of 0 has its turn at last");
        *first.entry(order[0].clone()).or_insert(0) += 1;
    }
    assert!((850..1_150).contains(&first["a"]), "{first:?}");
}

#[test]
fn a_trunk_at_its_limit_is_left_out() {
    let mut world = World::new(vec![trunk("a", &["+"], 0, 1), trunk("b", &["+"], 1, 1)]);
    world.trunks.began(&id("a"));
    assert_eq!(routes(&mut world, "+1"), ["a", "b"]);
    world.trunks.began(&id("a"));
    assert_eq!(routes(&mut world, "+1"), ["b"]);
    assert!(world.trunks.is_full(&id("a")));
    world.trunks.ended(&id("a"));
    assert_eq!(routes(&mut world, "+1"), ["a", "b"]);
}

#[test]
fn a_sip_address_goes_by_its_domain() {
    let domains = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let mut world = World::new(vec![
        Trunk { domains: domains(&["*.example.com"]), ..trunk("below", &[], 0, 1) },
        Trunk { domains: domains(&["a.example.com"]), ..trunk("exact", &[], 5, 1) },
        trunk("phones", &["+"], 0, 1),
    ]);
    let mut of = |host: &str| {
        let destination = Destination::Sip { user: "alice smith".into(), host: host.into() };
        let uri = world.trunks.invite_uri(&id("below"), &destination);
        (world.trunks.routes(world.now, &destination), uri)
    };
    let uri = |host: &str| format!("sip:alice%20smith@{host}");
    assert_eq!(of("a.example.com"), (vec![id("exact"), id("below")], uri("a.example.com")));
    assert_eq!(of("b.example.com"), (vec![id("below")], uri("b.example.com")));
    assert_eq!(of("example.com"), (vec![], uri("example.com")));
}

#[test]
fn a_number_is_written_as_the_provider_wants_it() {
    let number = Destination::Phone("+46701234567".into());
    let plain = Trunk { plus: false, domain: "provider.example".into(), ..trunk("plain", &["+"], 0, 1) };
    let world = World::new(vec![trunk("plus", &["+"], 0, 1), plain]);
    assert_eq!(world.trunks.invite_uri(&id("plus"), &number), "sip:+46701234567@192.0.2.1;user=phone");
    assert_eq!(world.trunks.invite_uri(&id("plain"), &number), "sip:46701234567@provider.example;user=phone");
}

#[test]
fn a_trunk_shows_only_its_own_numbers() {
    let own = Trunk { caller_ids: vec!["+4640".into()], ..trunk("own", &["+"], 0, 1) };
    let world = World::new(vec![own, trunk("any", &["+"], 0, 1)]);
    for (name, number, may) in [("own", "+46401234", true), ("own", "+4681234", false), ("any", "+1", true), ("none", "+1", false)]
    {
        assert_eq!(world.trunks.may_show(&id(name), number), may, "{name} {number}");
    }
}

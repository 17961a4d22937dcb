//! Steps that most tests share.

use offhook::client::Config;
use offhook::client::call::CallId;
use offhook_testing::ladder::keep;

use super::world::{World, config};

pub fn pair() -> (World, usize, usize) {
    let mut world = World::new();
    let (alice, bob) = (world.join("A", "alice", config()), world.join("B", "bob", Config { instance: "b".into(), ..config() }));
    (world, alice, bob)
}

/// Two pages and a call between them that rings.
pub fn ringing_pair() -> (World, usize, usize, CallId) {
    let (mut world, alice, bob) = pair();
    let call = world.call(alice, "bob");
    world.run(1_000);
    (world, alice, bob, call)
}

/// Two pages that talk.
pub fn talking() -> (World, usize, usize, CallId) {
    let (mut world, alice, bob, call) = ringing_pair();
    answer(&mut world, bob);
    world.run(1_000);
    (world, alice, bob, call)
}

/// Compares the ladder with the kept one.
pub fn ladder(world: &World, name: &str) {
    keep(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/calls/ladders"), name, &world.ladder);
}

/// The call that rings at a page.
pub fn ringing(world: &World, node: usize) -> CallId {
    (1..100)
        .rev()
        .map(CallId)
        .find(|id| world.nodes[node].client.call_info(*id).is_some_and(|info| !info.outgoing))
        .expect("a call rings")
}

pub fn answer(world: &mut World, node: usize) -> CallId {
    let id = ringing(world, node);
    world.command(node, |client, now| client.answer(now, id, false).unwrap());
    id
}

pub fn hang_up(world: &mut World, node: usize, id: CallId) {
    world.command(node, |client, now| client.hangup(now, id).unwrap());
}

/// Checks that nothing is left of any call.
pub fn clean(world: &mut World) {
    world.run(200_000);
    for node in &world.nodes {
        assert!(node.client.is_clean(), "{} has something left", node.name);
        assert!(node.peers.is_empty() && !node.sending, "{} has media left", node.name);
    }
}

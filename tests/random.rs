//! Random runs: pages that call, answer, hang up, lose their connection and get every message twice, against a small model of what may
//! happen. A seed that fails is kept in `KEPT`.

#[path = "calls/server.rs"]
mod server;
#[expect(dead_code, reason = "the ladders use more of it")]
#[path = "calls/world.rs"]
mod world;

use offhook::call::{CallId, EndCause};
use offhook::client::Config;
use offhook::random::Random;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use world::{Chaos, World, config};

/// Seeds that once failed.
const KEPT: &[u64] = &[595];

const RUNS: u64 = if cfg!(target_arch = "wasm32") { 200 } else { 1_000 };

#[test]
fn random_runs_keep_the_rules() {
    for seed in KEPT.iter().copied().chain(0..RUNS) {
        run(seed);
    }
}

fn random(seed: u64) -> Random {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Random::new(bytes)
}

fn run(seed: u64) {
    let mut dice = random(seed);
    let mut world = World::new();
    let multi = dice.below(3) == 0;
    let early = dice.below(4) > 0;
    let set_up = |instance: &str| Config { multi_call: multi, connect_while_ringing: early, instance: instance.into(), ..config() };
    let nodes = [world.join("A", "alice", set_up("a")), world.join("B", "bob", set_up("b")), world.join("P", "bob", set_up("p"))];
    let chaos = [(0, 0), (100, 0), (0, 200), (100, 200)];
    let (doubled, slow) = chaos[usize::try_from(dice.below(4)).unwrap()];
    world.chaos = Some(Chaos { random: random(seed ^ 0xffff), doubled, slow });
    for _ in 0..dice.below(12) + 2 {
        let node = nodes[usize::try_from(dice.below(3)).unwrap()];
        act(&mut world, &mut dice, node);
        world.run(match dice.below(4) {
            0 => 0,
            1 => dice.below(30),
            2 => dice.below(1_000),
            _ => dice.below(12_000),
        });
    }
    // Everything ends by itself or at our word, and leaves nothing.
    for node in nodes {
        world.nodes[node].offline = false;
        let calls: Vec<CallId> = living(&world, node);
        for id in calls {
            world.command(node, |client, now| client.hangup(now, id).unwrap());
        }
    }
    world.run(400_000);
    for node in nodes {
        check(&world, node, seed);
    }
}

fn act(world: &mut World, dice: &mut Random, node: usize) {
    let calls = living(world, node);
    let some = |dice: &mut Random| calls.get(usize::try_from(dice.below(calls.len() as u64)).unwrap()).copied();
    match dice.below(10) {
        0..=2 => {
            world.call(node, if dice.below(2) == 0 { "bob" } else { "alice" });
        }
        3..=5 => {
            if let Some(id) = some(dice) {
                world.command(node, |client, now| {
                    let _ = client.answer(now, id);
                });
            }
        }
        6 => {
            if let Some(id) = some(dice) {
                world.command(node, |client, now| client.hangup(now, id).unwrap());
            }
        }
        7 => world.cut(node),
        8 => world.nodes[node].microphone = [Some(0), Some(30), Some(3_000), None][usize::try_from(dice.below(4)).unwrap()],
        _ => {
            world.nodes[node].offline = dice.below(2) == 0;
            world.cut(node);
        }
    }
}

fn living(world: &World, node: usize) -> Vec<CallId> {
    let client = &world.nodes[node].client;
    (1..60).map(CallId).filter(|id| client.call_info(*id).is_some_and(|info| info.end_cause == EndCause::None)).collect()
}

/// One end for each call, nothing after it, nothing left behind.
fn check(world: &World, node: usize, seed: u64) {
    let page = &world.nodes[node];
    assert!(page.client.is_clean(), "seed {seed}: {} has something left: {}", page.name, world.events(node));
    assert!(page.peers.is_empty(), "seed {seed}: {} has peers left", page.name);
    for (id, told) in &page.told {
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let allowed = matches!(
            told.as_slice(),
            ["ended"]
                | ["progressing", "ended"]
                | ["progressing", "established", "ended"]
                | ["incoming", "ended"]
                | ["incoming", "established", "ended"]
        );
        assert!(allowed, "seed {seed}: {} was told {told:?} of {id:?}", page.name);
    }
}

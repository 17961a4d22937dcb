//! Pages that tests open: the real client, on its way to the switch.

use offhook::client::{Client, Config, Login};
use offhook_ua::time::Instant;

use offhook_testing::switch::{DOMAIN, ticket_of};

/// The client of page `number`, by whose clock it is `now`, which signs in as `user` with a ticket made at `date` and can be called.
pub fn signing_in(user: &str, number: u8, now: Instant, date: Instant) -> Client {
    let config = Config {
        servers: vec!["wss://calls.example/sip".into()],
        domain: DOMAIN.into(),
        instance: format!("00000000-0000-4000-8000-{number:012}"),
        active: true,
        activate: true,
        ..Config::default()
    };
    let mut client = Client::new(config, [number; 32]);
    let token = ticket_of(user, date);
    assert!(client.start(now, Login::Token { user: user.into(), token, lasts: None }).is_ok());
    client
}

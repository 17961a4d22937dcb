//! What the bridge needs of the world: the books, the media, the sockets of the trunks, and for each application a place at the switch.

use std::collections::BTreeMap;
use std::sync::Arc;

use offhook_access::proofs::Proofs;
use offhook_b2bua::{self as bridge, Bridge, Callee, Input, Output, Record};
use offhook_ledger::{Answer, CallRef, Query};
use offhook_media::Event;
use offhook_proxy::{self as hub, ConnId};
use offhook_trunk::{Settings, Trunks};
use offhook_ua::time::Instant;
use tokio::sync::mpsc;
use tracing::{debug, error, info};

use super::ServeError;
use super::clock::Clock;
use super::media::Media;
use super::sip::{Edge, Inputs};
use crate::config::Config;
use crate::log::Plain;
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::tls::Certificate;

/// The bridge and its world.
pub struct Outside {
    bridge: Bridge,
    store: Store,
    metrics: Arc<Metrics>,
    media: Media,
    events: mpsc::UnboundedReceiver<Event>,
    /// None where nothing is configured.
    trunks: Option<(Edge, Inputs)>,
    /// Not bounded, so that the database never waits for the driver while the driver waits for it.
    answers: (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
    /// The places at the switch, and whose they are.
    places: BTreeMap<ConnId, String>,
    /// Whose users are called by their names from outside.
    default_application: String,
}

impl Outside {
    /// Opens the sockets and begins to watch the trunks.
    pub async fn open(
        config: &Config,
        applications: impl Iterator<Item = &String>,
        (store, proofs): (Store, Proofs),
        (metrics, clock): (&Arc<Metrics>, &Arc<Clock>),
        certificate: Option<&Arc<Certificate>>,
    ) -> Result<Self, ServeError> {
        let seed = || store::random(32).try_into().expect("32 octets were asked for");
        let settings = trunk_settings(config, proofs);
        let trunks = if settings.is_empty() {
            None
        } else {
            Some(Edge::open(config, certificate, Arc::clone(metrics), Arc::clone(clock)).await.map_err(ServeError::Sip)?)
        };
        let (media, events) = Media::start(&config.media, clock).map_err(ServeError::Media)?;
        let own = bridge::Settings {
            domain: config.sip.domain.clone(),
            calls: config.media.sessions,
            test_calls: config.media.test_sessions,
            emergency: config.phone.emergency.clone(),
        };
        // Far away from the numbers of WebSockets.
        let places = applications.zip(0..).map(|(application, number)| (ConnId(u64::MAX - number), application.clone()));
        Ok(Self {
            bridge: Bridge::new(own, Trunks::new(settings, seed()), seed()),
            store,
            metrics: Arc::clone(metrics),
            media,
            events,
            trunks,
            answers: mpsc::unbounded_channel(),
            places: places.collect(),
            default_application: config.data.default_application.clone(),
        })
    }

    /// What the switch has to know first.
    pub fn attachments(&self) -> Vec<hub::Input> {
        let attach =
            |(conn, application): (&ConnId, &String)| hub::Input::Attached { conn: *conn, application: application.clone() };
        self.places.iter().map(attach).collect()
    }

    /// The application whose place at the switch this is.
    pub fn application(&self, conn: ConnId) -> Option<&String> {
        self.places.get(&conn)
    }

    /// The next thing that happens.
    pub async fn next(&mut self) -> Input {
        let trunks = async {
            match &mut self.trunks {
                Some((_, inputs)) => inputs.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(answer) = self.answers.1.recv() => answer,
            Some(event) = self.events.recv() => Input::Media(event),
            Some(input) = trunks => Input::Trunk(input),
            else => std::future::pending().await,
        }
    }

    /// Takes in what happened; [`Outside::perform`] follows.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.bridge.handle(now, input);
    }

    /// When a timeout is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.bridge.deadline()
    }

    /// Whether nobody waits for an answer of a trunk.
    pub fn is_quiet(&self) -> bool {
        self.bridge.is_quiet()
    }

    /// How many calls there are that have not ended.
    pub fn calls(&self) -> usize {
        self.bridge.calls()
    }

    /// Does what the bridge says; gives what it says to the switch.
    pub async fn perform(&mut self) -> Vec<(ConnId, String)> {
        let mut said = Vec::new();
        while let Some(output) = self.bridge.poll() {
            match output {
                Output::Page { application, text } => {
                    let place = self.places.iter().find(|(_, known)| **known == application);
                    said.extend(place.map(|(conn, _)| (*conn, text)));
                }
                Output::Trunk(output) => {
                    if let Some((edge, _)) = &self.trunks {
                        edge.perform(output);
                    }
                }
                Output::Media(command) => self.media.command(command),
                Output::Ledger(query) => self.book(query).await,
                Output::Map { query, called } => self.map(query, called).await,
                Output::Record(record) => note(&record),
            }
        }
        said
    }

    async fn book(&self, query: Query) {
        let (call, answers, metrics) = (subject(&query).clone(), self.answers.0.clone(), Arc::clone(&self.metrics));
        let answered = move |answer| {
            if let Answer::Refused(why) = &answer {
                metrics.refused(why.cause());
            }
            drop(answers.send(Input::Ledger { call, answer }));
        };
        self.store.ledger(query, answered).await;
    }

    async fn map(&self, query: bridge::MapId, called: String) {
        let (answers, user) = (self.answers.0.clone(), self.user(&called));
        let found = move |result: Result<Option<(String, String)>, _>| match result {
            Ok(known) => {
                let callee = known.map(|(application, user)| Callee { application, user }).or(user);
                drop(answers.send(Input::Mapped { query, callee }));
            }
            // No answer: the bridge then says that the store failed, and not that there is no such number.
            Err(error) => error!(%error, "a number could not be looked up"),
        };
        self.store.map_number(called, found).await;
    }

    /// What is no number is the name of a user.
    fn user(&self, called: &str) -> Option<Callee> {
        let number = called.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
        let known = !number && self.places.values().any(|application| *application == self.default_application);
        known.then(|| Callee { application: self.default_application.clone(), user: called.to_owned() })
    }
}

const fn subject(query: &Query) -> &CallRef {
    match query {
        Query::Open(new) => &new.call,
        Query::Connected { call, .. } | Query::Extend { call, .. } | Query::Close { call, .. } => call,
    }
}

fn note(record: &Record) {
    match record {
        Record::Dialled { call_id, trunk } => info!(call = %Plain(call_id), trunk, "dialled"),
        Record::Passed { call_id, trunk, code } => {
            info!(call = %Plain(call_id), trunk, code = code.as_u16(), "not taken: the next trunk")
        }
        Record::Ended { call_id, trunk, cause, code, duration } => {
            info!(call = %Plain(call_id), trunk, cause, code = code.as_u16(), duration = duration.as_millis() as u64, "outside call ended");
        }
        Record::Traffic { session, traffic } => debug!(session, ?traffic, "media ended"),
    }
}

/// What the operator has set, as the trunks need it.
fn trunk_settings(config: &Config, proofs: Proofs) -> Settings {
    let own = &config.trunks;
    Settings {
        domain: config.sip.domain.clone(),
        host: own.host(),
        ports: [own.udp, own.tcp, if config.tls_on() { own.tls } else { 0 }],
        trunks: config.trunk.clone(),
        open_domains: own.open_domains.clone(),
        proofs,
    }
}

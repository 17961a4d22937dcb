//! What the back-to-back user agent needs of the world: the books, the media, and the sockets of the trunks.

use std::sync::Arc;

use offhook_access::proofs::Proofs;
use offhook_b2bua::{self as b2bua, B2bua, Callee, Input, Output};
use offhook_ledger::{Answer, CallRef, Query};
use offhook_media::Event;
use offhook_trunk::{Settings, Trunks};
use tokio::sync::mpsc;
use tracing::error;

use super::ServeError;
use super::clock::Clock;
use super::media::Media;
use super::sip::{Edge, Inputs};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::tls::Certificate;

/// The world of the back-to-back user agent.
pub struct Outside {
    store: Store,
    metrics: Arc<Metrics>,
    media: Media,
    events: mpsc::UnboundedReceiver<Event>,
    /// None where nothing is configured.
    trunks: Option<(Edge, Inputs)>,
    /// Not bounded, so that the database never waits for the driver while the driver waits for it.
    answers: (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
    /// Whose users are called by their names from outside; `None` where there is no such application.
    default_application: Option<String>,
}

impl Outside {
    /// Opens the sockets. Returns the back-to-back user agent, too, as the operator has set it.
    pub async fn open(
        config: &Config,
        default_application: Option<String>,
        (store, proofs): (Store, Proofs),
        (metrics, clock): (&Arc<Metrics>, &Arc<Clock>),
        certificate: Option<&Arc<Certificate>>,
    ) -> Result<(Self, B2bua), ServeError> {
        let seed = || store::random(32).try_into().expect("32 octets were asked for");
        let settings = trunk_settings(config, proofs);
        let trunks = if settings.is_empty() {
            None
        } else {
            Some(Edge::open(config, certificate, Arc::clone(metrics), Arc::clone(clock)).await.map_err(ServeError::Sip)?)
        };
        let (media, events) = Media::start(&config.media, clock).map_err(ServeError::Media)?;
        let own = b2bua::Settings {
            domain: config.sip.domain.clone(),
            calls: config.media.sessions,
            test_calls: config.media.test_sessions,
            emergency: config.phone.emergency.clone(),
        };
        let b2bua = B2bua::new(own, Trunks::new(settings, seed()), seed());
        let outside = Self {
            store,
            metrics: Arc::clone(metrics),
            media,
            events,
            trunks,
            answers: mpsc::unbounded_channel(),
            default_application,
        };
        Ok((outside, b2bua))
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

    /// Does what the back-to-back user agent says.
    pub async fn perform(&mut self, output: Output) {
        match output {
            // It stays within the exchange.
            Output::ToSwitch { .. } => {}
            Output::Trunk(output) => {
                if let Some((edge, _)) = &self.trunks {
                    edge.perform(output);
                }
            }
            Output::Media(command) => self.media.command(command),
            Output::Ledger(query) => self.book(query).await,
            Output::Map { query, called } => self.map(query, called).await,
        }
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

    async fn map(&self, query: b2bua::MapId, called: Vec<String>) {
        let (answers, user) = (self.answers.0.clone(), called.last().and_then(|called| self.user(called)));
        let found = move |result: Result<Option<(String, String)>, _>| match result {
            Ok(known) => {
                let callee = known.map(|(application, user)| Callee { application, user }).or(user);
                drop(answers.send(Input::Mapped { query, callee }));
            }
            // No answer: the back-to-back user agent then says that the store failed, and not that there is no such number.
            Err(error) => error!(%error, "a number could not be looked up"),
        };
        self.store.map_numbers(called, found).await;
    }

    /// What is no number is the name of a user.
    fn user(&self, called: &str) -> Option<Callee> {
        let number = called.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
        let application = self.default_application.clone().filter(|_| !number)?;
        Some(Callee { application, user: called.to_owned() })
    }
}

const fn subject(query: &Query) -> &CallRef {
    match query {
        Query::Open(new) => &new.call,
        Query::Connected { call, .. } | Query::Extend { call, .. } | Query::Close { call, .. } => call,
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

//! Input and output of the gateway: sockets, requests, WebSockets, clock and signals. What a SIP message means is decided in
//! [`offhook_proxy`].

mod api;
mod assets;
pub mod body;
pub mod clock;
mod driver;
mod limit;
mod listen;
pub mod media;
mod origin;
mod outside;
pub mod sip;
mod socket;
mod websocket;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use offhook_access::proofs::{Proofs, Told};
use offhook_access::secret::Secret;
use offhook_access::signature::Seen;
use offhook_b2bua::exchange::Exchange;
use offhook_ledger::ShownBy;
use offhook_proxy::{self as proxy, IceServer, Proxy, Settings};
use offhook_sip::ApiCode;
use offhook_ua::log::{Masked, Plain};
use offhook_ua::time::Instant;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::api::{ApiError, Operator};
use self::assets::Assets;
use self::driver::{Driver, Handle};
use self::limit::{Budgets, PlaceId, Places};
use self::outside::Outside;
use self::socket::Progress;
use crate::config::{Config, Limits};
use crate::metrics::Metrics;
use crate::store::{self, Application, AssignedNumber, DEMO, LOOPBACK, Store, StoreError};
use crate::tls::{Certificate, TlsError};

pub use self::clock::Clock;
pub use self::origin::is_origin;

/// How long connections have to close at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// Open files that are not connections.
const OTHER_FILES: usize = 100;

/// The interval between searches for old call records.
const FORGETTING: Duration = Duration::from_secs(3_600);

/// How often failed proofs are logged.
const FAILED_PROOFS: Duration = Duration::from_secs(1);

/// The interval between checks of the certificate files.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// Why the gateway does not start, or has ended by itself.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A number in the configuration cannot be assigned to its application.
    #[error("[[number]] {0}: {1}")]
    Number(String, StoreError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(TlsError),
    /// The address is in use or not local.
    #[error("cannot listen on {0}: {1}; name another port with OFFHOOK_PORT, --port or `listen.port`, or `listen.local_port`")]
    Bind(SocketAddr, std::io::Error),
    /// A folder of `[files]`.
    #[error("`files.www` or `files.package` cannot be read: {0}")]
    Files(std::io::Error),
    /// The sockets of the media.
    #[error("cannot open the sockets of the media: {0}; see `media.bind` and `media.page_port`")]
    Media(std::io::Error),
    /// The sockets of the trunks.
    #[error(transparent)]
    Sip(sip::SipError),
    /// The operator's token in the data folder.
    #[error("the operator's token cannot be read or made: {0}")]
    Operator(std::io::Error),
    /// Signal handlers cannot be installed.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    /// A panic of the exchange: everything is lost, and a supervisor has to restart the gateway.
    #[error("the exchange has failed")]
    Exchange,
}

/// The state that all connections share.
struct Shared {
    config: Config,
    applications: BTreeMap<String, Application>,
    store: Store,
    metrics: Arc<Metrics>,
    clock: Arc<Clock>,
    driver: Handle,
    assets: Assets,
    proofs: Proofs,
    new_users: Budgets,
    operator: Operator,
    seen: Mutex<Seen>,
    places: Arc<Places>,
    phase: watch::Receiver<Phase>,
}

impl Shared {
    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.config.listen.trusted_proxies.iter().any(|network| network.contains(peer))
    }

    fn draining(&self) -> bool {
        *self.phase.borrow() != Phase::Serving
    }
}

/// The phase of the gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Everything is accepted.
    Serving,
    /// Existing calls may end; nothing new is accepted.
    Draining,
    /// Connections are being closed.
    Stopped,
}

/// The client of a request.
#[derive(Clone, Debug)]
struct Peer {
    /// Its address; behind a trusted proxy, the one that the proxy names.
    address: IpAddr,
    proxied: bool,
    /// Whether it came by a port that only programs on this computer are meant to use.
    private: bool,
    place: PlaceId,
    progress: Arc<Progress>,
}

impl Peer {
    /// Whether a request comes from this machine, which may do more than others. If the gateway is also for other machines, a
    /// reverse proxy on this machine could make their requests look local: then only requests on the port for this machine count.
    fn is_local(&self, headers: &HeaderMap) -> bool {
        self.private && origin::is_local(self.address, headers)
    }
}

/// Serves until SIGTERM or SIGINT; `ready` gets the URL as soon as requests are answered.
pub async fn run(config: Config, ready: impl FnOnce(&str)) -> Result<(), ServeError> {
    let signals = Signals::new().map_err(ServeError::Signals)?;
    let certificate = if config.tls_on() { Some(Certificate::load(&config.tls).map_err(ServeError::Tls)?) } else { None };
    let assets = Assets::load(&config.files).map_err(ServeError::Files)?;
    let store = Store::open(&config.data.folder, config.phone.rules())?;
    store.serve().await?;
    let clock = Arc::new(Clock::starting_at(store.epoch().await?));
    let applications = applications(&store, config.data.demo).await?;
    assign_numbers(&store, &config).await?;
    if !applications.contains_key(&config.data.default_application) {
        warn!("there is no application `data.default_application`: pages have to name theirs (?key=)");
    }
    let address = config.address();
    let listener = listen::bind(address).map_err(|error| ServeError::Bind(address, error))?;
    let address = listener.local_addr().map_err(|error| ServeError::Bind(address, error))?;
    let local = config.local_address();
    let local = local.map(|local| listen::bind(local).map_err(|error| ServeError::Bind(local, error))).transpose()?;
    let private = is_private(&config, &applications);

    let metrics = Arc::new(Metrics::default());
    let proofs = Proofs::new(config.limits.sign_ins_per_minute, config.limits.user_sign_ins_per_minute);
    let given = (store.clone(), proofs.clone());
    let default = Some(&config.data.default_application).filter(|key| applications.contains_key(*key)).cloned();
    let (outside, b2bua) = Outside::open(&config, default, given, (&metrics, &clock), certificate.as_ref()).await?;
    let proxy = proxy(&config, &applications, proofs.clone());
    let exchange = Exchange::new(proxy, b2bua);
    let (driver, handle) = Driver::new(exchange, outside, store.clone(), Arc::clone(&metrics), Arc::clone(&clock));
    let (phase, phases) = watch::channel(Phase::Serving);
    let new_users = Budgets::new(config.limits.sign_ins_per_minute);
    let places = places(&config.limits, config.media.sessions, &metrics);
    let operator = Operator::load(&config.phone, &config.data.folder).map_err(ServeError::Operator)?;
    let seen = Mutex::default();
    let shared = Arc::new(Shared {
        config,
        applications,
        store,
        metrics,
        clock,
        driver: handle,
        assets,
        proofs,
        new_users,
        operator,
        seen,
        places,
        phase: phases,
    });
    if shared.config.phone.forget_after > 0 {
        tokio::spawn(forget(Arc::clone(&shared)));
    }
    tokio::spawn(log_failed_proofs(Arc::clone(&shared)));

    let driver = tokio::spawn(driver.run());
    let front = listen::Front::new(&shared, router(&shared), certificate.clone(), private);
    let at_home = local.map(|local| tokio::spawn(front.for_this_machine().accept(local)));
    let accepting = tokio::spawn(front.accept(listener));
    let scheme = if certificate.is_some() { "https" } else { "http" };
    info!(%address, tls = certificate.is_some(), "ready");
    ready(&format!("{scheme}://{address}"));
    let result = live(&shared, signals, certificate, phase, driver).await;
    accepting.abort();
    at_home.inspect(JoinHandle::abort);
    result
}

/// Whether all requests from this machine are local: nothing indicates that other machines use the gateway through a proxy.
fn is_private(config: &Config, applications: &BTreeMap<String, Application>) -> bool {
    let public = config.is_public() || applications.values().any(|a| a.origins.iter().any(|origin| origin != LOOPBACK));
    if public && config.listen.local_port == 0 {
        let unreachable =
            applications.values().filter(|a| a.loopback_only).map(|a| a.key.as_str()).collect::<Vec<&str>>().join(" ");
        if unreachable.is_empty() {
            info!("other machines may use this gateway: what is for this machine only needs `listen.local_port`");
        } else {
            warn!(
                applications = unreachable,
                "other machines may use this gateway: what is for this machine only needs `listen.local_port`"
            );
        }
    }
    !public
}

/// Returns the number of connections: as configured, or as the limit of open files allows, because each connection is one, and
/// others are needed for files and the database. Calls over trunks take two, of half of the limit at most.
fn places(limits: &Limits, calls: usize, metrics: &Arc<Metrics>) -> Arc<Places> {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let all = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES);
    let possible = (all - (2 * calls).min(all / 2)).max(1);
    if possible < limits.connections {
        warn!(
            files,
            connections = possible,
            "fewer connections than `limits.connections`: raise the limit of open files (ulimit -Hn)"
        );
    }
    Places::new(limits.connections.min(possible), limits.connections_per_address, limits.silent, Arc::clone(metrics))
}

/// Returns the applications of the store; the demo is added or left out as configured.
async fn applications(store: &Store, demo: bool) -> Result<BTreeMap<String, Application>, StoreError> {
    let mut all = by_key(store.applications().await?);
    if !demo {
        all.remove(DEMO);
    } else if !all.contains_key(DEMO) {
        let origins = vec![LOOPBACK.into()];
        let secret = Secret::separate(store::random(32));
        let fresh = Application { key: DEMO.into(), secret, origins, allow_new_users: true, loopback_only: true };
        match store.add_application(fresh).await {
            Ok(()) => {
                store.start_demo().await?;
                all = by_key(store.applications().await?);
            }
            // Another process was faster; its secret is used.
            Err(StoreError::Taken) => all = by_key(store.applications().await?),
            Err(error) => return Err(error),
        }
    }
    for open in all.values().filter(|one| one.allow_new_users && one.secret.is_shared() && !one.loopback_only) {
        let key = &open.key;
        warn!(
            key,
            "pages make users of an application that also takes tickets: a name may be taken before its first ticket (application separate)"
        );
    }
    Ok(all)
}

/// Assigns the numbers in the configuration to their applications.
async fn assign_numbers(store: &Store, config: &Config) -> Result<(), ServeError> {
    for wanted in &config.number {
        let application = Some(&wanted.application).filter(|key| !key.is_empty()).unwrap_or(&config.data.default_application);
        let user = Some(wanted.user.clone()).filter(|user| !user.is_empty());
        let shown_by = wanted.shown_by.unwrap_or(ShownBy::unless_said(user.is_some()));
        let number = AssignedNumber { number: wanted.number.clone(), application: application.clone(), user, shown_by };
        store.assign_numbers(vec![number]).await.map_err(|error| ServeError::Number(wanted.number.clone(), error))?;
    }
    Ok(())
}

fn by_key(applications: Vec<Application>) -> BTreeMap<String, Application> {
    applications.into_iter().map(|application| (application.key.clone(), application)).collect()
}

fn proxy(config: &Config, applications: &BTreeMap<String, Application>, proofs: Proofs) -> Proxy {
    let applications =
        applications.values().map(|a| (a.key.clone(), proxy::Application { key: a.key.clone(), secret: a.secret.clone() }));
    let secret = &config.ice.turn_secret;
    let settings = Settings {
        domain: config.sip.domain.clone(),
        applications: applications.collect(),
        ice_servers: config.ice.servers.iter().map(|url| IceServer { url: url.clone() }).collect(),
        turn_secret: (!secret.is_empty()).then(|| secret.clone()),
        turn_ttl: config.ice.turn_ttl,
        hold_offline: Duration::from_millis(config.sip.hold_offline),
        emergency: config.phone.emergency.numbers.clone(),
        per_second: config.limits.messages_per_second,
        user_per_second: config.limits.user_messages_per_second,
        max_silent: config.limits.silent,
        max_connections_per_user: config.limits.connections_per_user,
        max_calls_per_user: config.limits.calls_per_user,
        max_waiting_per_caller: config.limits.waiting_calls_per_caller,
        proofs,
        b2bua: true,
    };
    let seed = store::random(32).try_into().expect("32 octets were asked for");
    Proxy::new(settings, seed)
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/sip", get(websocket::open))
        .merge(api::routes())
        .method_not_allowed_fallback(api::wrong_method)
        .fallback(file)
        .layer(DefaultBodyLimit::max(shared.config.limits.message_bytes))
        .layer(from_fn_with_state(Arc::clone(shared), every))
        .with_state(Arc::clone(shared))
}

/// Handles all paths that are not part of the API.
async fn file(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return api::wrong_method().await.into_response();
    }
    match shared.assets.get(request.uri().path(), request.headers()).await {
        Some(response) => response,
        None => api::not_found().await.into_response(),
    }
}

/// Adds to every request a time-out and a count, and to every response headers that keep browsers from guessing its type.
async fn every(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let deadline = Duration::from_millis(shared.config.limits.message_timeout);
    let mut response = match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => shared.refuse("slow request", ApiError::new(ApiCode::Timeout, "The request took too long")).into_response(),
    };
    shared.metrics.request(response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(assets::NOTHING));
    response
}

/// The signals that are handled.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Runs from "ready" until the last connection is closed.
async fn live(
    shared: &Shared,
    mut signals: Signals,
    certificate: Option<Arc<Certificate>>,
    phase: watch::Sender<Phase>,
    mut driver: JoinHandle<()>,
) -> Result<(), ServeError> {
    let mut check = tokio::time::interval(CERTIFICATE_CHECK);
    let mut stamp = certificate.as_ref().map(|certificate| certificate.stamp());
    loop {
        let forced = tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = &mut driver => return Err(ServeError::Exchange),
            _ = signals.hangup.recv() => true,
            _ = check.tick(), if certificate.is_some() => false,
        };
        if let Some(certificate) = &certificate {
            let now = Some(certificate.stamp());
            if forced || now != stamp {
                stamp = now;
                reload(certificate);
            }
        }
    }
    phase.send_replace(Phase::Draining);
    drain(shared, &mut signals).await;
    phase.send_replace(Phase::Stopped);
    shared.driver.stop().await;
    drop(tokio::time::timeout(GOODBYE, driver).await);
    // The charges of the last calls are on disk before the process ends.
    shared.store.settled().await?;
    info!("stopped");
    Ok(())
}

/// Removes caller and callee from old call records.
async fn forget(shared: Arc<Shared>) {
    let age = u64::from(shared.config.phone.forget_after) * 86_400_000;
    let mut hourly = tokio::time::interval(FORGETTING);
    loop {
        hourly.tick().await;
        let before = Instant::from_millis(shared.clock.date().millis().saturating_sub(age));
        match shared.store.forget(before).await {
            Ok(0) => {}
            Ok(calls) => info!(calls, "caller and callee were removed from old call records"),
            Err(error) => error!(%error, "caller and callee could not be removed from old call records; next attempt in an hour"),
        }
    }
}

/// Says once for each address and user, and minute, that proofs have failed; in the metrics each is counted.
async fn log_failed_proofs(shared: Arc<Shared>) {
    let mut often = tokio::time::interval(FAILED_PROOFS);
    loop {
        often.tick().await;
        for told in shared.proofs.tell(shared.clock.now()) {
            match told {
                Told::Address { address, failed, spent: false } => info!(%address, failed, "failed proofs of identity"),
                Told::Address { address, failed, spent: true } => {
                    warn!(%address, failed, "too many failed proofs of identity: no other is looked at in this minute");
                }
                Told::User { application, user, failed } => {
                    let (application, user) = (Plain(&application), Masked(&user));
                    warn!(%application, %user, failed, "too many failed proofs of identity for one user: addresses get a few tries each");
                }
                Told::Others { budgets, failed } => {
                    warn!(budgets, failed, "failed proofs of identity, of other addresses and users")
                }
            }
        }
    }
}

fn reload(certificate: &Certificate) {
    match certificate.reload() {
        Ok(()) => info!("the certificate was read again"),
        Err(error) => error!(%error, "the old certificate stays in use"),
    }
}

/// Waits for the running calls, for a while, and not at all after a second signal.
async fn drain(shared: &Shared, signals: &mut Signals) {
    let patience = Duration::from_secs(shared.config.listen.drain_timeout);
    info!(seconds = patience.as_secs(), "stopping: waiting for running calls");
    tokio::select! {
        () = shared.driver.drain() => {}
        () = tokio::time::sleep(patience) => warn!("calls are still running: ending them"),
        _ = signals.interrupt.recv() => warn!("second signal: not waiting"),
        _ = signals.terminate.recv() => warn!("second signal: not waiting"),
    }
}

/// Checks for `--check`, beyond the values of the configuration, that the files it names exist and can be used.
pub fn check(config: &Config) -> Result<(), ServeError> {
    if config.tls_on() {
        Certificate::load(&config.tls).map_err(ServeError::Tls)?;
    }
    for folder in [&config.files.www, &config.files.package] {
        if *folder != PathBuf::new() {
            std::fs::read_dir(folder).map_err(ServeError::Files)?;
        }
    }
    Ok(())
}

//! The outputs of a client in its page, and what people do with the page.

use std::time::Duration;

use offhook::client::call::{CallId, CallInfo, Destination, EndCause};
use offhook::client::{Change, Client, Event, Finding, IceState, Input, Output, PeerId, Task, TaskKind, TaskResult};
use offhook_sip::sdp::Candidate;
use offhook_ua::time::Instant;

use super::media::Key;
use super::model::{Told, View};
use super::page::{Page, failed};
use super::plan::{Act, PAGES, Seen, USERS};
use super::world::{Happening, World};

impl World {
    pub fn input(&mut self, page: usize, input: Input) {
        let now = self.now;
        self.pages[page].client.handle(now, input);
        self.drain(page);
    }

    fn command<T>(&mut self, page: usize, command: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let now = self.now;
        let result = command(&mut self.pages[page].client, now);
        self.drain(page);
        result
    }

    pub fn drain(&mut self, page: usize) {
        while let Some(output) = self.pages[page].client.poll() {
            match output {
                Output::Connect { .. } => self.connect(page),
                Output::Ask { url } => {
                    let now = self.now;
                    self.pages[page].client.handle(now, Input::Asked { url, finding: Finding::Silent });
                }
                Output::Disconnect => self.disconnect(page, false),
                Output::Send(text) => {
                    if let Some(text) = self.mutant.of_page(page, text) {
                        self.send(page, text);
                    }
                }
                Output::Task(task) => self.task(page, &task),
                Output::Close { peer } => {
                    let key = self.key(page, peer);
                    self.media.close(key);
                    self.review_media();
                }
                Output::Release { call } => {
                    self.pages[page].released.push(call);
                    self.media.close_call(page, call);
                    self.review_media();
                }
                Output::Sending { call, on } => {
                    if on && self.pages[page].released.contains(&call) {
                        self.break_rule(format!("{} sends sound in a call that is over", PAGES[page]));
                    }
                }
                Output::Event(event) => self.event(page, event),
                Output::Candidates { .. } | Output::Dtmf { .. } => {}
            }
        }
    }

    // Events.

    fn event(&mut self, page: usize, event: Event) {
        match event {
            Event::Incoming(info) => {
                self.watch(page, &info);
                self.told(page, &info, Told::Incoming);
            }
            Event::Call { change: Change::Progressing, info } => self.told(page, &info, Told::Progressing),
            Event::Call { change: Change::Established, info } => self.told(page, &info, Told::Established),
            Event::Call { change: Change::Ended, info } => {
                for _ in 0..self.mutant.ends(page) {
                    self.told(page, &info, Told::Ended);
                }
            }
            Event::Call { info, .. } => {
                if self.view(page, info.id).is_some_and(|view| view.ended.is_some()) {
                    self.break_rule(format!("{} is told of a call that is over", PAGES[page]));
                }
            }
            Event::StartFailed(error) => {
                // No server can be reached yet: the app tries again.
                self.trace.note(self.now, || format!("{} start failed: {}", PAGES[page], error));
                let life = self.pages[page].life;
                self.later(1_000, Happening::Start(page, life));
            }
            Event::Active(Err(error)) => self.break_rule(format!("{} cannot be called: {}", PAGES[page], error)),
            Event::TokenExpired(error) => self.break_rule(format!("{} has to sign in again: {}", PAGES[page], error)),
            Event::Started(_) | Event::Active(Ok(())) | Event::Inactive | Event::Connection(_) | Event::Log(_) => {}
            Event::TokenWillExpire(_) | Event::TokenUpdated(_) => {}
        }
    }

    fn told(&mut self, page: usize, info: &CallInfo, told: Told) {
        let now = self.now;
        let error = info.error.as_ref().map(|error| error.to_string());
        self.trace.note(now, || match told {
            Told::Ended => format!("{}: ended {} {}", PAGES[page], info.end_cause.as_str(), error.as_deref().unwrap_or_default()),
            _ => format!("{}: {told:?}", PAGES[page]).to_lowercase(),
        });
        let Some(view) = self.view(page, info.id) else {
            return self.break_rule(format!("{} is told {told:?} of a call that it does not know", PAGES[page]));
        };
        view.told.push(told);
        match told {
            Told::Established => view.established = Some(now),
            Told::Ended => (view.ended, view.cause, view.error) = (Some(now), info.end_cause, error),
            Told::Incoming | Told::Progressing => {}
        }
    }

    fn watch(&mut self, page: usize, info: &CallInfo) {
        let view = View {
            call_id: info.call_id.clone(),
            page,
            user: USERS[page],
            outgoing: info.outgoing,
            told: Vec::new(),
            began: self.now,
            established: None,
            ended: None,
            cause: EndCause::None,
            error: None,
            pressed: None,
            answered: false,
            gone: None,
        };
        self.seen.insert((page, self.pages[page].life, info.id), self.views.len());
        self.views.push(view);
    }

    fn view(&mut self, page: usize, id: CallId) -> Option<&mut View> {
        let index = self.seen.get(&(page, self.pages[page].life, id))?;
        self.views.get_mut(*index)
    }

    fn open_views(&mut self, page: usize) -> impl Iterator<Item = &mut View> {
        self.views.iter_mut().filter(move |view| view.page == page && view.ended.is_none() && view.gone.is_none())
    }

    // Media.

    const fn key_of(page: usize, life: u32, peer: PeerId) -> Key {
        Key { page, life, peer: peer.0 }
    }

    fn key(&self, page: usize, peer: PeerId) -> Key {
        Self::key_of(page, self.pages[page].life, peer)
    }

    fn task(&mut self, page: usize, task: &Task) {
        if self.pages[page].released.contains(&task.call) {
            return self.break_rule(format!("{} asks for {:?} in a call that is over", PAGES[page], task.kind));
        }
        let (wait, result) = if std::mem::take(&mut self.pages[page].media_fails) {
            (5, failed("OperationError"))
        } else {
            self.perform(page, task)
        };
        let life = self.pages[page].life;
        self.later(wait, Happening::Page(page, life, Input::Answered { task: task.id, result }));
        self.review_media();
    }

    fn perform(&mut self, page: usize, task: &Task) -> (u64, TaskResult) {
        let wait = 3 + self.dice.below(25);
        let described = |text: Option<String>| text.map_or_else(|| failed("InvalidStateError"), TaskResult::Description);
        let done = |done: Option<()>| done.map_or_else(|| failed("InvalidStateError"), |()| TaskResult::Done);
        match &task.kind {
            TaskKind::Offer { peer, restart, .. } => {
                let key = self.open_peer(page, *peer, task.call);
                (wait, described(self.media.offer(key, *restart)))
            }
            TaskKind::Answer { peer, offer, .. } => {
                let key = self.open_peer(page, *peer, task.call);
                (wait, described(self.media.answer(key, offer)))
            }
            TaskKind::Accept { peer, answer } => {
                let key = self.key(page, *peer);
                (wait / 3, done(self.media.accept(key, answer)))
            }
            TaskKind::Rollback { peer } => {
                let key = self.key(page, *peer);
                (1, done(self.media.roll_back(key)))
            }
            TaskKind::Listen { peer, wait } => {
                let now = self.now;
                let clear = |page: usize| self.pages[page].path_down <= now && self.pages[page].offline <= now;
                let hears = self.media.hears(self.key(page, *peer), clear);
                if hears { (200, TaskResult::Done) } else { (wait.as_millis() as u64, failed("AbortError")) }
            }
            TaskKind::Microphone { .. } | TaskKind::Reopen { .. } => match self.pages[page].microphone {
                Some(wait) => (wait, TaskResult::Done),
                None => (20, failed("NotAllowedError")),
            },
        }
    }

    /// A second candidate is found later than the first, which is in the description.
    fn open_peer(&mut self, page: usize, peer: PeerId, call: CallId) -> Key {
        let key = self.key(page, peer);
        if !self.media.knows(key) {
            self.media.open(key, call);
            let text = format!("candidate:2 1 udp 2 192.0.2.{} 4000 typ host", page + 1);
            let candidate = Candidate { mid: "0".into(), line: 0, text, ufrag: None };
            self.later(40, Happening::Page(page, key.life, Input::Candidate { peer, candidate }));
            self.later(60, Happening::Page(page, key.life, Input::Gathered { peer }));
        }
        key
    }

    pub fn review_media(&mut self) {
        let now = self.now;
        let clear =
            |page: usize| self.pages[page].path_down <= now && self.pages[page].stalled <= now && self.pages[page].offline <= now;
        for due in self.media.review(clear) {
            self.later(due.wait, Happening::Ice(due.key, due.number));
        }
    }

    pub fn ice(&mut self, key: Key, number: u64) {
        // The network may let media through again, which changes no ICE state by itself.
        self.review_media();
        if let Some(state) = self.media.fire(key, number) {
            if matches!(state, IceState::Disconnected | IceState::Failed) {
                self.trace.count(if state == IceState::Failed { "ICE failed" } else { "ICE disconnected" });
            }
            self.input(key.page, Input::IceState { peer: PeerId(key.peer), state });
            self.review_media();
        }
    }

    // People.

    pub fn act(&mut self, page: usize, act: Act) {
        let now = self.now;
        if self.pages[page].open || matches!(act, Act::Crash(..) | Act::SlowStore(_)) {
            self.trace.count(act.name());
            let step = super::plan::Step { at: 0, page, act };
            self.trace.note(now, || format!("-- {}", step.to_string().trim_start_matches("0 ")));
        } else {
            return;
        }
        match act {
            Act::Call(callee) => self.call(page, callee),
            Act::Answer => {
                if let Some(id) = self.pages[page].ringing() {
                    self.view(page, id).into_iter().for_each(|view| view.answered = true);
                    let _ = self.command(page, |client, now| client.answer(now, id, false));
                }
            }
            Act::HangUp => {
                if let Some(id) = self.pages[page].living().first().copied() {
                    self.hang_up(page, id);
                }
            }
            Act::Cut(seen) => self.reset(page, seen != Seen::Server, seen != Seen::Page),
            Act::Stall(wait) => self.stall(page, now + Duration::from_millis(wait)),
            Act::Offline(wait) => {
                self.pages[page].offline = now + Duration::from_millis(wait);
                self.reset(page, true, false);
            }
            Act::Vanish(wait, noticed) => {
                self.lose_page(page, noticed);
                self.close_page(page);
                self.later(wait, Happening::Return(page, false));
            }
            Act::Reload(same) => self.reload(page, same),
            Act::Microphone(wait) => self.pages[page].microphone = Some(wait),
            Act::Refused => self.pages[page].microphone = None,
            Act::MediaFails => self.pages[page].media_fails = true,
            Act::PathDown(wait) => self.pages[page].path_down = now + Duration::from_millis(wait),
            Act::Terminate => self.terminate(page),
            Act::Online => self.input(page, Input::Online),
            Act::Crash(wait, noticed) => self.crash(wait, noticed),
            Act::SlowStore(wait) => self.slow_store(wait),
        }
        self.review_media();
        self.review_later(act);
    }

    /// After a fault is over, media gets through again.
    fn review_later(&mut self, act: Act) {
        if let Act::Stall(wait) | Act::Offline(wait) | Act::PathDown(wait) = act {
            let nobody = Key { page: 0, life: 0, peer: 0 };
            self.later(wait, Happening::Ice(nobody, 0));
        }
    }

    fn call(&mut self, page: usize, callee: usize) {
        let to = Destination::User(USERS[callee].to_owned());
        let now = self.now;
        let info = self.pages[page].client.call(now, to, Vec::new());
        self.watch(page, &info);
        self.drain(page);
    }

    pub fn hang_up(&mut self, page: usize, id: CallId) {
        let now = self.now;
        self.view(page, id).into_iter().for_each(|view| view.pressed = Some(now));
        let _ = self.command(page, |client, now| client.hangup(now, id));
    }

    pub fn start(&mut self, page: usize) {
        let login = Page::login(page, &self.set, self.now);
        let _ = self.command(page, |client, now| client.start(now, login));
    }

    pub fn terminate(&mut self, page: usize) {
        self.end_client(page);
        let life = self.pages[page].life;
        self.later(200, Happening::Start(page, life));
    }

    pub fn end_client(&mut self, page: usize) {
        let now = self.now;
        self.open_views(page).for_each(|view| view.pressed = Some(now));
        self.command(page, |client, now| client.terminate(now));
    }

    fn reload(&mut self, page: usize, same: bool) {
        let now = self.now;
        self.open_views(page).filter(|view| view.outgoing || view.established.is_some()).for_each(|view| view.pressed = Some(now));
        self.command(page, |client, now| client.leave(now, false));
        self.disconnect(page, true);
        self.close_page(page);
        self.later(300, Happening::Return(page, same));
    }

    fn close_page(&mut self, page: usize) {
        let now = self.now;
        self.open_views(page).for_each(|view| view.gone = Some(now));
        self.pages[page].open = false;
        self.media.close_page(page);
    }

    pub fn open_page(&mut self, page: usize, same: bool) {
        let set = self.set.clone();
        self.pages[page].reopen(page, same, &set, &mut self.dice);
        self.start(page);
    }
}

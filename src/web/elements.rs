//! URLs of streams. `URL.createObjectURL(stream)` is gone from browsers, but pages still write `call.incomingStreamURL` to the `src`
//! of a media element. So such a URL is a string that only we know, and while one is alive we watch where it is written:
//!
//! - `element.src = url` and `element.setAttribute("src", url)` (what jQuery does), also outside the document: both wrapped,
//! - `new Audio(url)`: wrapped,
//! - everything else in the document, such as `innerHTML`: a `MutationObserver`.
//!
//! The element gets the stream as `srcObject`; any other `src`, or `""`, takes it away. When the last URL is gone and no element
//! plays its stream any more, the browser's own functions are back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::MediaStream;
use super::dom::{
    apply, call0, call1, call2, descriptor, dict, get, get_in, get_string, global, global_value, is, items, list0, list1, list2,
    new1, new2, push, set, uuid,
};
use crate::text::concat;

thread_local! {
    static ELEMENTS: &'static Elements = Box::leak(Box::new(Elements::new()));
}

/// The one of the page, made when it is first asked for.
fn elements() -> &'static Elements {
    ELEMENTS.with(|elements| *elements)
}

/// Gives `stream` a URL, alive until it is [`retire`]d.
#[must_use]
pub fn publish(stream: &MediaStream) -> JsValue {
    let url = JsValue::from(concat(&["blob:offhook/", &uuid()]));
    let entry = Entry { url: url.clone(), stream: stream.clone(), retired: Cell::new(false), players: RefCell::default() };
    elements().entries.borrow_mut().push(Rc::new(entry));
    elements().install();
    url
}

/// The stream is over: its URL means nothing more once the elements that play it have another.
pub fn retire(url: &JsValue) {
    if let Some(entry) = elements().entry(url) {
        entry.retired.set(true);
        elements().tidy();
    }
}

type Trap = Closure<dyn FnMut(JsValue, JsValue, JsValue) -> JsValue>;

/// The URLs, and the functions of the browser before and after wrapping. The wrappers are made once and never dropped, as a page may
/// have kept one; with no URL alive they do what they wrap.
struct Elements {
    entries: RefCell<Vec<Rc<Entry>>>,
    installed: Cell<bool>,
    wraps: [Wrap; 3],
    observer: JsValue,
    /// Called by the observer.
    _observed: Closure<dyn FnMut(JsValue)>,
}

struct Entry {
    url: JsValue,
    stream: JsValue,
    retired: Cell<bool>,
    /// Weak references to the elements that it was written to.
    players: RefCell<Vec<JsValue>>,
}

/// One function of the browser: where it lives, itself, and its replacement.
struct Wrap {
    owner: JsValue,
    key: &'static str,
    /// Which field of the property's descriptor holds it.
    field: &'static str,
    wrapper: JsValue,
    /// The descriptor that was there before; `undefined` where the function was inherited.
    before: RefCell<JsValue>,
    _trap: Trap,
}

impl Elements {
    fn new() -> Self {
        let media = get_in(&global(), "HTMLMediaElement", "prototype");
        let observed = Closure::wrap(Box::new(|records: JsValue| observe(records)) as Box<dyn FnMut(JsValue)>);
        let observer = new1("MutationObserver", observed.as_ref().clone());
        Self {
            entries: RefCell::default(),
            installed: Cell::new(false),
            wraps: [
                Wrap::new(&media, "src", "set", "apply", Trap::wrap(Box::new(set_src))),
                Wrap::new(&media, "setAttribute", "value", "apply", Trap::wrap(Box::new(set_attribute))),
                Wrap::new(&global(), "Audio", "value", "construct", Trap::wrap(Box::new(new_audio))),
            ],
            observer,
            _observed: observed,
        }
    }

    fn install(&self) {
        if self.installed.replace(true) {
            return;
        }
        self.wraps.iter().for_each(Wrap::install);
        let options = dict().with("subtree", JsValue::TRUE).with("childList", JsValue::TRUE);
        let options = options.with("attributeFilter", list1("src".into()));
        call2(&self.observer, "observe", global_value("document"), options.into());
    }

    /// Forgets retired URLs that no element plays; with the last, the browser is as it was.
    fn tidy(&self) {
        let mut entries = self.entries.borrow_mut();
        for entry in entries.iter() {
            let mut players = entry.players.borrow_mut();
            while let Some(position) = players.iter().position(|player| !plays(&deref(player), &entry.stream)) {
                players.remove(position);
            }
        }
        while let Some(position) = entries.iter().position(|entry| entry.retired.get() && entry.players.borrow().is_empty()) {
            entries.remove(position);
        }
        if entries.is_empty() && self.installed.replace(false) {
            self.wraps.iter().for_each(Wrap::uninstall);
            call0(&self.observer, "disconnect");
        }
    }

    /// What is known of a URL.
    fn entry(&self, url: &JsValue) -> Option<Rc<Entry>> {
        self.entries.borrow().iter().find(|entry| entry.url == *url).cloned()
    }

    /// Whether an element plays the stream of a URL that was written to it.
    fn is_player(&self, element: &JsValue) -> bool {
        let known = |player: &JsValue| deref(player) == *element;
        self.entries.borrow().iter().any(|entry| plays(element, &entry.stream) && entry.players.borrow().iter().any(known))
    }
}

impl Wrap {
    fn new(owner: &JsValue, key: &'static str, field: &'static str, trap_name: &str, trap: Trap) -> Self {
        let native = if field == "set" { get(&descriptor(owner, key), field) } else { get(owner, key) };
        let wrapper = new2("Proxy", native, dict().with(trap_name, trap.as_ref().clone()).into());
        Self { owner: owner.clone(), key, field, wrapper, before: RefCell::default(), _trap: trap }
    }

    fn install(&self) {
        let before = descriptor(&self.owner, self.key);
        let wrapped = dict().with(self.field, self.wrapper.clone()).with("configurable", JsValue::TRUE);
        let wrapped =
            if self.field == "set" { wrapped.with("get", get(&before, "get")) } else { wrapped.with("writable", JsValue::TRUE) };
        let wrapped = wrapped.with("enumerable", get(&before, "enumerable"));
        *self.before.borrow_mut() = before;
        self.define(wrapped.into());
    }

    /// Where a page has put something else meanwhile, that stays.
    fn uninstall(&self) {
        if get(&descriptor(&self.owner, self.key), self.field) != self.wrapper {
            return;
        }
        let before = self.before.take();
        if before.is_undefined() {
            call2(&global_value("Reflect"), "deleteProperty", self.owner.clone(), self.key.into());
        } else {
            self.define(before);
        }
    }

    fn define(&self, descriptor: JsValue) {
        let properties = dict().with(self.key, descriptor);
        call2(&global_value("Object"), "defineProperties", self.owner.clone(), properties.into());
    }
}

/// What a weak reference leads to, while it is there.
fn deref(player: &JsValue) -> JsValue {
    call0(player, "deref")
}

/// `element.src = value`.
fn set_src(native: JsValue, element: JsValue, arguments: JsValue) -> JsValue {
    write(&native, &element, &arguments, "0")
}

/// `element.setAttribute(name, value)`.
fn set_attribute(native: JsValue, element: JsValue, arguments: JsValue) -> JsValue {
    if get_string(&arguments, "0").eq_ignore_ascii_case("src") {
        return write(&native, &element, &arguments, "1");
    }
    natively(&native, &element, &arguments)
}

/// `new Audio(url)`.
fn new_audio(native: JsValue, arguments: JsValue, target: JsValue) -> JsValue {
    let url = get(&arguments, "0");
    let ours = elements().entry(&url).is_some();
    let plain = if ours { list0() } else { arguments };
    let (reflect, how) = (global_value("Reflect"), list2(native, plain));
    push(&how, target);
    let audio = natively(&get(&reflect, "construct"), &reflect, &how);
    if ours {
        // The property and the attribute are wrapped while a URL is alive.
        set(&audio, "src", url);
    }
    audio
}

/// Does a write to the `src` of `element`, natively done by `native`, and gives or takes the stream. `which` of the arguments is written.
fn write(native: &JsValue, element: &JsValue, arguments: &JsValue, which: &str) -> JsValue {
    let url = get(arguments, which);
    // With the stream there already, the browser does not try to fetch the URL.
    let taken = !attach(element, &url) && elements().is_player(element);
    // An empty `src` is an error for an element that plays nothing else: none at all is not.
    let result = if taken && !url.is_truthy() { JsValue::UNDEFINED } else { natively(native, element, arguments) };
    if taken {
        detach(element, &url);
    }
    result
}

/// Plays the stream behind `url`, if it is one of ours.
fn attach(element: &JsValue, url: &JsValue) -> bool {
    let Some(entry) = elements().entry(url) else { return false };
    if !plays(element, &entry.stream) {
        set(element, "srcObject", entry.stream.clone());
        entry.players.borrow_mut().push(new1("WeakRef", element.clone()));
    }
    true
}

/// Whether an element plays a stream. By its id: Chromium wraps a stream anew once a page has called `captureStream()`.
fn plays(element: &JsValue, stream: &JsValue) -> bool {
    let playing = get(element, "srcObject");
    playing.is_object() && get(&playing, "id") == get(stream, "id")
}

/// Takes our stream away from an element whose `src` is something else now.
fn detach(element: &JsValue, url: &JsValue) {
    if !url.is_truthy() {
        call1(element, "removeAttribute", "src".into());
    }
    set(element, "srcObject", JsValue::NULL);
    elements().tidy();
}

/// What happened in the document: attributes and new nodes.
fn observe(records: JsValue) {
    for record in &items(records) {
        if is(record, "type", "attributes") {
            look(&get(record, "target"));
            continue;
        }
        for node in &items(get(record, "addedNodes")) {
            look(node);
            items(call1(node, "querySelectorAll", "audio[src],video[src]".into())).iter().for_each(look);
        }
    }
}

/// Gives or takes the stream as the `src` attribute of an element says.
fn look(element: &JsValue) {
    if !is_media(element) {
        return;
    }
    let url = call1(element, "getAttribute", "src".into());
    if !attach(element, &url) && elements().is_player(element) {
        detach(element, &url);
    }
}

fn is_media(element: &JsValue) -> bool {
    !get(element, "srcObject").is_undefined()
}

/// Calls the browser's own function; what it throws, the page gets.
fn natively(native: &JsValue, this: &JsValue, arguments: &JsValue) -> JsValue {
    apply(native, this, arguments).unwrap_or_else(|error| wasm_bindgen::throw_val(error))
}

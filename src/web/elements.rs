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

use js_sys::{Array, Function, Object, Proxy, Reflect, WeakRef};
use wasm_bindgen::prelude::*;
use web_sys::MediaStream;

use super::dom::{call, construct, dict, get, get_string, global, global_value, seed, set};
use crate::random::Random;

thread_local! {
    static ELEMENTS: Elements = Elements::new();
}

/// Gives `stream` a URL, alive until it is [`retire`]d.
#[must_use]
pub fn publish(stream: &MediaStream) -> String {
    let url = ["blob:offhook/", &Random::new(seed()).uuid()].concat();
    ELEMENTS.with(|elements| {
        elements.entries.borrow_mut().push(Entry { url: url.clone(), stream: stream.into(), retired: false, players: Vec::new() });
        elements.install();
    });
    url
}

/// The stream is over: its URL means nothing more once the elements that play it have another.
pub fn retire(url: &str) {
    ELEMENTS.with(|elements| {
        for entry in elements.entries.borrow_mut().iter_mut().filter(|entry| entry.url == url) {
            entry.retired = true;
        }
        elements.tidy();
    });
}

type Trap = Closure<dyn FnMut(JsValue, JsValue, JsValue) -> JsValue>;

/// The URLs, and the functions of the browser before and after wrapping. The wrappers are made once and never dropped, as a page may
/// have kept one; with no URL alive they do what they wrap.
struct Elements {
    entries: RefCell<Vec<Entry>>,
    installed: Cell<bool>,
    wraps: [Wrap; 3],
    observer: JsValue,
    /// Called by the observer.
    _observed: Closure<dyn FnMut(JsValue)>,
}

struct Entry {
    url: String,
    stream: JsValue,
    retired: bool,
    players: Vec<WeakRef>,
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
        let media = get(&global_value("HTMLMediaElement"), "prototype");
        let observed = Closure::wrap(Box::new(|records: JsValue| observe(&records)) as Box<dyn FnMut(JsValue)>);
        let observer = construct("MutationObserver", &Array::of1(observed.as_ref()));
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
        let filter = Array::of1(&JsValue::from_str("src"));
        let options = dict(&[("subtree", true.into()), ("childList", true.into()), ("attributeFilter", filter.into())]);
        let _ = call(&self.observer, "observe", &Array::of2(&global_value("document"), &options));
    }

    /// Forgets retired URLs that no element plays; with the last, the browser is as it was.
    fn tidy(&self) {
        let mut entries = self.entries.borrow_mut();
        for entry in entries.iter_mut() {
            let Entry { stream, players, .. } = entry;
            players.retain(|player| player.deref().is_some_and(|element: Object| plays(&element, stream)));
        }
        entries.retain(|entry| !entry.retired || !entry.players.is_empty());
        if entries.is_empty() && self.installed.replace(false) {
            self.wraps.iter().for_each(Wrap::uninstall);
            let _ = call(&self.observer, "disconnect", &Array::new());
        }
    }

    /// The stream behind a URL.
    fn stream(&self, url: &str) -> Option<JsValue> {
        self.entries.borrow().iter().find(|entry| entry.url == url).map(|entry| entry.stream.clone())
    }

    /// Whether an element plays the stream of a URL that was written to it.
    fn is_player(&self, element: &JsValue) -> bool {
        let known = |player: &WeakRef| player.deref().is_some_and(|known: Object| *known == *element);
        self.entries.borrow().iter().any(|entry| plays(element, &entry.stream) && entry.players.iter().any(known))
    }

    fn note_player(&self, url: &str, element: &JsValue) {
        for entry in self.entries.borrow_mut().iter_mut().filter(|entry| entry.url == url) {
            entry.players.push(WeakRef::new(element.unchecked_ref::<Object>()));
        }
    }
}

impl Wrap {
    fn new(owner: &JsValue, key: &'static str, field: &'static str, trap_name: &str, trap: Trap) -> Self {
        let native = if field == "set" { get(&descriptor(owner, key), field) } else { get(owner, key) };
        let wrapper = Proxy::new(&native, dict(&[(trap_name, trap.as_ref().clone())]).unchecked_ref()).into();
        Self { owner: owner.clone(), key, field, wrapper, before: RefCell::default(), _trap: trap }
    }

    fn install(&self) {
        let before = descriptor(&self.owner, self.key);
        let wrapped = dict(&[(self.field, self.wrapper.clone()), ("configurable", JsValue::TRUE)]);
        if self.field == "set" {
            set(&wrapped, "get", &get(&before, "get"));
        } else {
            set(&wrapped, "writable", &JsValue::TRUE);
        }
        set(&wrapped, "enumerable", &get(&before, "enumerable").is_truthy().into());
        *self.before.borrow_mut() = before;
        self.define(&wrapped);
    }

    /// Where a page has put something else meanwhile, that stays.
    fn uninstall(&self) {
        if get(&descriptor(&self.owner, self.key), self.field) != self.wrapper {
            return;
        }
        let before = self.before.take();
        if before.is_undefined() {
            let _ = Reflect::delete_property(self.owner.unchecked_ref::<Object>(), &self.key.into());
        } else {
            self.define(&before);
        }
    }

    fn define(&self, descriptor: &JsValue) {
        let _ = Reflect::define_property(self.owner.unchecked_ref::<Object>(), &self.key.into(), descriptor.unchecked_ref());
    }
}

fn descriptor(owner: &JsValue, key: &str) -> JsValue {
    Reflect::get_own_property_descriptor(owner.unchecked_ref::<Object>(), &key.into()).unwrap_or_default()
}

/// `element.src = value`.
fn set_src(native: JsValue, element: JsValue, arguments: JsValue) -> JsValue {
    let arguments: Array = arguments.unchecked_into();
    let value = arguments.get(0);
    write(&element, &value, || apply(&native, &element, &arguments))
}

/// `element.setAttribute(name, value)`.
fn set_attribute(native: JsValue, element: JsValue, arguments: JsValue) -> JsValue {
    let arguments: Array = arguments.unchecked_into();
    if arguments.get(0).as_string().is_some_and(|name| name.eq_ignore_ascii_case("src")) {
        let value = arguments.get(1);
        return write(&element, &value, || apply(&native, &element, &arguments));
    }
    apply(&native, &element, &arguments)
}

/// `new Audio(url)`.
fn new_audio(native: JsValue, arguments: JsValue, target: JsValue) -> JsValue {
    let (native, target): (Function, Function) = (native.unchecked_into(), target.unchecked_into());
    let arguments: Array = arguments.unchecked_into();
    let url = arguments.get(0);
    let ours = ELEMENTS.with(|elements| url.as_string().is_some_and(|url| elements.stream(&url).is_some()));
    let plain = if ours { Array::new() } else { arguments };
    let audio = Reflect::construct_with_new_target(&native, &plain, &target).unwrap_or_else(|error| wasm_bindgen::throw_val(error));
    if ours {
        // The property and the attribute are wrapped while a URL is alive.
        set(&audio, "src", &url);
    }
    audio
}

/// Does a write of `value` to the `src` of `element`, natively done by `native`, and gives or takes the stream.
fn write(element: &JsValue, value: &JsValue, native: impl FnOnce() -> JsValue) -> JsValue {
    let url = value.as_string().unwrap_or_default();
    if ELEMENTS.with(|elements| attach(elements, element, &url)) {
        // With the stream there already, the browser does not try to fetch the URL.
        return native();
    }
    if !ELEMENTS.with(|elements| elements.is_player(element)) {
        return native();
    }
    // An empty `src` is an error for an element that plays nothing else: none at all is not.
    let result = if value.is_null() || url.is_empty() { JsValue::UNDEFINED } else { native() };
    detach(element, &url);
    result
}

/// Plays the stream behind `url`, if it is one of ours.
fn attach(elements: &Elements, element: &JsValue, url: &str) -> bool {
    let Some(stream) = elements.stream(url) else { return false };
    if !plays(element, &stream) {
        set(element, "srcObject", &stream);
        elements.note_player(url, element);
    }
    true
}

/// Whether an element plays a stream. By its id: Chromium wraps a stream anew once a page has called `captureStream()`.
fn plays(element: &JsValue, stream: &JsValue) -> bool {
    let playing = get(element, "srcObject");
    playing.is_object() && get(&playing, "id") == get(stream, "id")
}

/// Takes our stream away from an element whose `src` is something else now.
fn detach(element: &JsValue, url: &str) {
    if url.is_empty() {
        let _ = call(element, "removeAttribute", &Array::of1(&"src".into()));
    }
    set(element, "srcObject", &JsValue::NULL);
    ELEMENTS.with(Elements::tidy);
}

/// What happened in the document: attributes and new nodes.
fn observe(records: &JsValue) {
    for record in records.unchecked_ref::<Array>().iter() {
        if get_string(&record, "type") == "attributes" {
            look(&get(&record, "target"));
            continue;
        }
        for node in Array::from(&get(&record, "addedNodes")).iter() {
            look(&node);
            let found = call(&node, "querySelectorAll", &Array::of1(&"audio[src],video[src]".into()));
            found.iter().flat_map(|found| Array::from(found).to_vec()).for_each(|element| look(&element));
        }
    }
}

/// Gives or takes the stream as the `src` attribute of an element says.
fn look(element: &JsValue) {
    if !is_media(element) {
        return;
    }
    let src = call(element, "getAttribute", &Array::of1(&"src".into())).unwrap_or_default();
    let url = src.as_string().unwrap_or_default();
    if !ELEMENTS.with(|elements| attach(elements, element, &url)) && ELEMENTS.with(|elements| elements.is_player(element)) {
        detach(element, &url);
    }
}

fn is_media(element: &JsValue) -> bool {
    element.is_instance_of::<web_sys::HtmlMediaElement>()
}

/// Calls the browser's own function; what it throws, the page gets.
fn apply(native: &JsValue, this: &JsValue, arguments: &Array) -> JsValue {
    Reflect::apply(native.unchecked_ref::<Function>(), this, arguments).unwrap_or_else(|error| wasm_bindgen::throw_val(error))
}

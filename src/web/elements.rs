//! URLs of streams. `URL.createObjectURL(stream)` is gone from browsers, but pages still write `call.incomingStreamURL` to the `src`
//! of a media element. So such a URL is a string that only the SDK knows, and while one is alive the SDK watches where it is written:
//!
//! - `element.src = url` and `element.setAttribute("src", url)` (what jQuery does), also outside the document: both wrapped,
//! - `new Audio(url)`: wrapped,
//! - everything else in the document, such as `innerHTML`: a `MutationObserver`.
//!
//! The element gets the stream as `srcObject`; any other `src`, or `""`, takes it away. When the last URL is gone and no element
//! plays its stream any more, the browser's own functions are back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Function, Object, Proxy, Reflect, WeakRef};
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlMediaElement, MediaStream, MutationObserver, MutationObserverInit, MutationRecord, Node, NodeList};

use super::bindings::{PropertyDescriptor, ProxyHandler};
use super::dom::{items, uuid, window};
use super::media::same;

thread_local! {
    static ELEMENTS: &'static Elements = Box::leak(Box::new(Elements::new()));
}

/// Returns the one of the page, created at its first use.
fn elements() -> &'static Elements {
    ELEMENTS.with(|elements| *elements)
}

/// Gives `stream` a URL, alive until it is [`retire`]d.
#[must_use]
pub fn publish(stream: &MediaStream) -> String {
    let url = format!("blob:offhook/{}", uuid());
    let entry = Entry { url: url.clone(), stream: same(stream), retired: Cell::new(false), players: RefCell::default() };
    elements().entries.borrow_mut().push(Rc::new(entry));
    elements().install();
    url
}

/// Retires the URL of a stream that has ended: it is dropped once no element plays it.
pub fn retire(url: &str) {
    if let Some(entry) = elements().entry(url) {
        entry.retired.set(true);
        elements().tidy();
    }
}

type Trap = Closure<dyn FnMut(Function, JsValue, JsValue) -> Result<JsValue, JsValue>>;

/// The URLs, and the functions of the browser before and after wrapping. The wrappers are made once and never dropped, as a page may
/// have kept one; with no URL alive they do what they wrap.
struct Elements {
    entries: RefCell<Vec<Rc<Entry>>>,
    installed: Cell<bool>,
    wraps: [Wrap; 3],
    observer: MutationObserver,
    /// Called by the observer.
    _observed: Closure<dyn FnMut(Array)>,
}

struct Entry {
    url: String,
    stream: MediaStream,
    retired: Cell<bool>,
    /// Weak references to the elements that it was written to.
    players: RefCell<Vec<WeakRef>>,
}

/// One function of the browser: its owner, itself, and its replacement.
struct Wrap {
    owner: Object,
    key: &'static str,
    part: Part,
    wrapper: JsValue,
    /// The descriptor that was there before; `undefined` where the function was inherited.
    before: RefCell<Option<PropertyDescriptor>>,
    _trap: Trap,
}

/// Which field of the property's descriptor is wrapped.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Setter,
    Value,
}

impl Elements {
    fn new() -> Self {
        let media = prototype_of_media_elements();
        let observed = Closure::wrap(Box::new(|records| observe(&records)) as Box<dyn FnMut(Array)>);
        let observer = MutationObserver::new(observed.as_ref().unchecked_ref()).expect("every browser has it");
        let (set_src, set_attribute, new_audio) =
            (Trap::wrap(Box::new(set_src)), Trap::wrap(Box::new(set_attribute)), Trap::wrap(Box::new(new_audio)));
        Self {
            entries: RefCell::default(),
            installed: Cell::new(false),
            wraps: [
                Wrap::new(&media, "src", Part::Setter, ProxyHandler::applying(&set_src), set_src),
                Wrap::new(&media, "setAttribute", Part::Value, ProxyHandler::applying(&set_attribute), set_attribute),
                Wrap::new(&window(), "Audio", Part::Value, ProxyHandler::constructing(&new_audio), new_audio),
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
        let options = MutationObserverInit::new();
        options.set_subtree(true);
        options.set_child_list(true);
        options.set_attribute_filter(&Array::of1(&"src".into()));
        if let Some(document) = window().document() {
            let _ = self.observer.observe_with_options(&document, &options);
        }
    }

    /// Drops retired URLs that no element plays; after the last one, the browser's own functions are back.
    fn tidy(&self) {
        let mut entries = self.entries.borrow_mut();
        for entry in entries.iter() {
            entry.players.borrow_mut().retain(|player| deref(player).is_some_and(|player| plays(&player, &entry.stream)));
        }
        entries.retain(|entry| !entry.retired.get() || !entry.players.borrow().is_empty());
        if entries.is_empty() && self.installed.replace(false) {
            self.wraps.iter().for_each(Wrap::uninstall);
            self.observer.disconnect();
        }
    }

    /// Returns the entry of a URL.
    fn entry(&self, url: &str) -> Option<Rc<Entry>> {
        self.entries.borrow().iter().find(|entry| entry.url == url).cloned()
    }

    /// Whether an element plays the stream of a URL that was written to it.
    fn is_player(&self, element: &HtmlMediaElement) -> bool {
        let known = |player: &WeakRef| deref(player).as_ref() == Some(element);
        self.entries.borrow().iter().any(|entry| plays(element, &entry.stream) && entry.players.borrow().iter().any(known))
    }
}

impl Wrap {
    fn new(owner: &Object, key: &'static str, part: Part, handler: ProxyHandler, trap: Trap) -> Self {
        let native = match part {
            Part::Setter => descriptor(owner, key).map(|descriptor| descriptor.set()),
            Part::Value => Reflect::get(owner, &key.into()).ok(),
        };
        let wrapper = Proxy::new(&native.unwrap_or_default(), &handler).into();
        Self { owner: owner.clone(), key, part, wrapper, before: RefCell::default(), _trap: trap }
    }

    fn install(&self) {
        let before = descriptor(&self.owner, self.key);
        let wrapped = PropertyDescriptor::new(before.as_ref().is_some_and(PropertyDescriptor::enumerable));
        match self.part {
            Part::Setter => {
                wrapped.set_get(&before.as_ref().map(PropertyDescriptor::get).unwrap_or_default());
                wrapped.set_set(&self.wrapper);
            }
            Part::Value => {
                wrapped.set_value(&self.wrapper);
                wrapped.set_writable(true);
            }
        }
        self.before.replace(before);
        self.define(&wrapped);
    }

    /// Where a page has put something else meanwhile, that stays.
    fn uninstall(&self) {
        let now = descriptor(&self.owner, self.key).map(|now| if self.part == Part::Setter { now.set() } else { now.value() });
        if now.as_ref() != Some(&self.wrapper) {
            return;
        }
        match self.before.take() {
            None => drop(Reflect::delete_property(&self.owner, &self.key.into())),
            Some(before) => self.define(&before),
        }
    }

    fn define(&self, descriptor: &PropertyDescriptor) {
        Object::define_property(&self.owner, &self.key.into(), descriptor);
    }
}

fn descriptor(owner: &Object, key: &str) -> Option<PropertyDescriptor> {
    let descriptor = Object::get_own_property_descriptor(owner, &key.into());
    descriptor.is_object().then(|| descriptor.unchecked_into())
}

fn prototype_of_media_elements() -> Object {
    let class = Reflect::get(&window(), &"HTMLMediaElement".into()).unwrap_or_default();
    Reflect::get(&class, &"prototype".into()).unwrap_or_default().unchecked_into()
}

/// Returns the element of a weak reference, while it exists.
fn deref(player: &WeakRef) -> Option<HtmlMediaElement> {
    player.deref().map(JsCast::unchecked_into)
}

/// `element.src = value`.
fn set_src(native: Function, element: JsValue, arguments: JsValue) -> Result<JsValue, JsValue> {
    let arguments: Array = arguments.unchecked_into();
    write(&native, &element, &arguments, &arguments.get(0))
}

/// `element.setAttribute(name, value)`.
fn set_attribute(native: Function, element: JsValue, arguments: JsValue) -> Result<JsValue, JsValue> {
    let arguments: Array = arguments.unchecked_into();
    if arguments.get(0).as_string().is_some_and(|name| name.eq_ignore_ascii_case("src")) {
        return write(&native, &element, &arguments, &arguments.get(1));
    }
    native.apply(&element, &arguments)
}

/// `new Audio(url)`.
fn new_audio(native: Function, arguments: JsValue, target: JsValue) -> Result<JsValue, JsValue> {
    let (arguments, target): (Array, Function) = (arguments.unchecked_into(), target.unchecked_into());
    let url = arguments.get(0).as_string().filter(|url| elements().entry(url).is_some());
    let Some(url) = url else { return Reflect::construct_with_new_target(&native, &arguments, &target) };
    let audio = Reflect::construct_with_new_target(&native, &Array::new(), &target)?;
    // The property and the attribute are wrapped while a URL is alive.
    audio.unchecked_ref::<HtmlMediaElement>().set_src(&url);
    Ok(audio)
}

/// Writes to the `src` of `element` by the native function, and attaches or detaches the stream.
fn write(native: &Function, element: &JsValue, arguments: &Array, value: &JsValue) -> Result<JsValue, JsValue> {
    let url = value.as_string().unwrap_or_default();
    let Some(media) = element.dyn_ref::<HtmlMediaElement>() else { return native.apply(element, arguments) };
    // With the stream there already, the browser does not try to fetch the URL.
    let taken = !attach(media, &url) && elements().is_player(media);
    // An empty `src` is an error for an element that plays nothing else: none at all is not.
    let result = if taken && !value.is_truthy() { JsValue::UNDEFINED } else { native.apply(element, arguments)? };
    if taken {
        detach(media, value.is_truthy());
    }
    Ok(result)
}

/// Attaches the stream of `url`, if it is one of ours.
fn attach(element: &HtmlMediaElement, url: &str) -> bool {
    let Some(entry) = elements().entry(url) else { return false };
    if !plays(element, &entry.stream) {
        element.set_src_object(Some(&entry.stream));
        entry.players.borrow_mut().push(WeakRef::new(element));
    }
    true
}

/// Whether an element plays a stream. By its id: Chromium wraps a stream anew once a page has called `captureStream()`.
fn plays(element: &HtmlMediaElement, stream: &MediaStream) -> bool {
    element.src_object().is_some_and(|playing| playing.id() == stream.id())
}

/// Detaches the stream from an element whose `src` is something else now, or nothing.
fn detach(element: &HtmlMediaElement, has_src: bool) {
    if !has_src {
        let _ = element.remove_attribute("src");
    }
    element.set_src_object(None);
    elements().tidy();
}

/// Handles changes of the document: attributes and new nodes.
fn observe(records: &Array) {
    for record in items::<MutationRecord>(records) {
        if record.type_() == "attributes" {
            record.target().iter().for_each(look);
            continue;
        }
        for node in nodes(&record.added_nodes()) {
            look(&node);
            if let Some(element) = node.dyn_ref::<Element>()
                && let Ok(inner) = element.query_selector_all("audio[src],video[src]")
            {
                nodes(&inner).for_each(|node| look(&node));
            }
        }
    }
}

fn nodes(list: &NodeList) -> impl Iterator<Item = Node> {
    (0..list.length()).filter_map(|at| list.get(at))
}

/// Attaches or detaches the stream as the `src` attribute of an element says.
fn look(node: &Node) {
    let Some(element) = node.dyn_ref::<HtmlMediaElement>() else { return };
    let url = element.get_attribute("src").unwrap_or_default();
    if !attach(element, &url) && elements().is_player(element) {
        detach(element, !url.is_empty());
    }
}

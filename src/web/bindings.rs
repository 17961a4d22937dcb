//! Bindings that web-sys and js-sys lack, or declare as functions that do not throw. Names are those of the Web APIs.
#![expect(missing_docs, reason = "the specifications of the Web APIs have it")]

use js_sys::{JsString, Object, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{
    Event, EventTarget, MediaStream, RtcIceCandidate, RtcIceCandidateInit, RtcPeerConnection, RtcRtpSender, RtcRtpTransceiver,
    RtcRtpTransceiverInit, RtcdtmfSender, Window,
};

#[wasm_bindgen]
extern "C" {
    /// The global object, where there may be no `Window`.
    pub type Global;
    /// The window by its name and not by its class, which pages that are run outside of a browser may lack.
    #[wasm_bindgen(method, getter)]
    pub fn window(this: &Global) -> Option<Window>;

    /// What web-sys lacks of `RTCRtpSender`.
    #[wasm_bindgen(extends = RtcRtpSender)]
    pub type Sender;
    /// Firefox before 113 has none.
    #[wasm_bindgen(method, catch, js_name = setStreams)]
    pub fn set_streams(this: &Sender, stream: &MediaStream) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter)]
    pub fn transport(this: &Sender) -> Option<DtlsTransport>;

    /// `RTCPeerConnection`, where web-sys declares functions that do not throw.
    #[wasm_bindgen(extends = RtcPeerConnection)]
    pub type Connection;
    #[wasm_bindgen(method, catch, js_name = addTransceiver)]
    pub fn add_transceiver(this: &Connection, kind: &str, init: &RtcRtpTransceiverInit) -> Result<RtcRtpTransceiver, JsValue>;

    /// `RTCDTMFSender`, for the same reason.
    #[wasm_bindgen(extends = RtcdtmfSender)]
    pub type ToneSender;
    #[wasm_bindgen(method, catch, js_name = insertDTMF)]
    pub fn insert_dtmf(this: &ToneSender, tones: &str) -> Result<(), JsValue>;

    /// `PageTransitionEvent`; what a script of the page dispatches may be any event of that name.
    #[wasm_bindgen(extends = Event)]
    pub type PageTransition;
    #[wasm_bindgen(method, getter)]
    pub fn persisted(this: &PageTransition) -> Option<bool>;

    /// `RTCDtlsTransport`.
    #[wasm_bindgen(extends = EventTarget)]
    pub type DtlsTransport;
    #[wasm_bindgen(method, getter)]
    pub fn state(this: &DtlsTransport) -> String;

    /// What web-sys lacks of `RTCIceCandidate` and `RTCIceCandidateInit`.
    #[wasm_bindgen(extends = RtcIceCandidate)]
    pub type IceCandidate;
    #[wasm_bindgen(method, getter, js_name = usernameFragment)]
    pub fn username_fragment(this: &IceCandidate) -> Option<String>;
    #[wasm_bindgen(extends = RtcIceCandidateInit)]
    pub type IceCandidateInit;
    #[wasm_bindgen(method, setter, js_name = usernameFragment)]
    pub fn set_username_fragment(this: &IceCandidateInit, value: Option<&str>);

    /// An entry of `RTCStatsReport` that may count what was received.
    pub type Received;
    #[wasm_bindgen(method, getter, js_name = bytesReceived)]
    pub fn bytes_received(this: &Received) -> Option<f64>;

    /// `EcKeyGenParams` with `expires` of `RTCPeerConnection.generateCertificate`.
    #[wasm_bindgen(extends = Object)]
    pub type KeyAlgorithm;
    #[wasm_bindgen(method, setter)]
    pub fn set_name(this: &KeyAlgorithm, name: &str);
    #[wasm_bindgen(method, setter, js_name = namedCurve)]
    pub fn set_named_curve(this: &KeyAlgorithm, curve: &str);
    #[wasm_bindgen(method, setter)]
    pub fn set_expires(this: &KeyAlgorithm, millis: f64);

    /// `PermissionDescriptor` for names that web-sys does not know: `microphone` is one.
    #[wasm_bindgen(extends = Object)]
    pub type PermissionQuery;
    #[wasm_bindgen(method, setter, js_name = name)]
    pub fn set_name(this: &PermissionQuery, name: &str);

    /// The descriptor of a property.
    #[wasm_bindgen(extends = Object)]
    pub type PropertyDescriptor;
    #[wasm_bindgen(method, getter)]
    pub fn get(this: &PropertyDescriptor) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub fn set_get(this: &PropertyDescriptor, getter: &JsValue);
    #[wasm_bindgen(method, getter)]
    pub fn set(this: &PropertyDescriptor) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub fn set_set(this: &PropertyDescriptor, setter: &JsValue);
    #[wasm_bindgen(method, getter)]
    pub fn value(this: &PropertyDescriptor) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub fn set_value(this: &PropertyDescriptor, value: &JsValue);
    #[wasm_bindgen(method, setter)]
    pub fn set_writable(this: &PropertyDescriptor, on: bool);
    #[wasm_bindgen(method, getter)]
    pub fn enumerable(this: &PropertyDescriptor) -> bool;
    #[wasm_bindgen(method, setter)]
    pub fn set_enumerable(this: &PropertyDescriptor, on: bool);
    #[wasm_bindgen(method, setter)]
    pub fn set_configurable(this: &PropertyDescriptor, on: bool);

    /// The handler of a `Proxy`.
    #[wasm_bindgen(extends = Object)]
    pub type ProxyHandler;
    #[wasm_bindgen(method, setter)]
    fn set_apply(this: &ProxyHandler, trap: &JsValue);
    #[wasm_bindgen(method, setter)]
    fn set_construct(this: &ProxyHandler, trap: &JsValue);

    /// A promise with the names that the methods of promises had in Q.
    #[wasm_bindgen(extends = Promise)]
    pub type Dressed;
    #[wasm_bindgen(method, setter, js_name = then)]
    pub fn set_then(this: &Dressed, method: &JsValue);
    #[wasm_bindgen(method, setter, js_name = done)]
    pub fn set_done(this: &Dressed, method: &JsValue);
    #[wasm_bindgen(method, setter, js_name = fail)]
    pub fn set_fail(this: &Dressed, method: &JsValue);
    #[wasm_bindgen(method, setter, js_name = fin)]
    pub fn set_fin(this: &Dressed, method: &JsValue);
    #[wasm_bindgen(method, setter, js_name = progress)]
    pub fn set_progress(this: &Dressed, method: &JsValue);

    /// `Promise.prototype`.
    pub type Prototype;
    #[wasm_bindgen(thread_local_v2, js_namespace = Promise, js_name = prototype)]
    pub static PROTOTYPE: Prototype;
    #[wasm_bindgen(method, getter)]
    pub fn then(this: &Prototype) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub fn catch(this: &Prototype) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub fn finally(this: &Prototype) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = valueOf)]
    pub fn value_of(this: &Prototype) -> JsValue;

    /// `TextEncoder`, given what is still JavaScript's.
    pub type TextEncoder;
    #[wasm_bindgen(constructor)]
    pub fn new() -> TextEncoder;
    #[wasm_bindgen(method)]
    pub fn encode(this: &TextEncoder, text: &JsString) -> Uint8Array;

    /// `String(value)`, which runs code of the page where `value` is an object.
    #[wasm_bindgen(catch, js_name = String)]
    pub fn string(value: &JsValue) -> Result<JsString, JsValue>;
}

impl PropertyDescriptor {
    /// One that can be taken back.
    #[must_use]
    pub fn new(enumerable: bool) -> Self {
        let descriptor: Self = bare();
        descriptor.set_configurable(true);
        descriptor.set_enumerable(enumerable);
        descriptor
    }
}

impl ProxyHandler {
    /// What catches calls.
    #[must_use]
    pub fn applying(trap: &impl AsRef<JsValue>) -> Self {
        let handler: Self = bare();
        handler.set_apply(trap.as_ref());
        handler
    }

    /// What catches `new`.
    #[must_use]
    pub fn constructing(trap: &impl AsRef<JsValue>) -> Self {
        let handler: Self = bare();
        handler.set_construct(trap.as_ref());
        handler
    }
}

/// An object without prototype: what a page adds to `Object.prototype` is not in it.
fn bare<T: JsCast>() -> T {
    Object::<JsValue>::create(JsValue::NULL.unchecked_ref()).unchecked_into()
}

//! Small helpers over JavaScript values. They never trust what a page may have done to `Object.prototype`: what we make has no
//! prototype, what we are given is read by its own keys.
//!
//! What the browser has is reached by its name, through these few functions: an import of its own for each of its methods would cost
//! every page forty octets, in the wasm and in the JavaScript around it. What they are given they take, so that no caller has to drop it.

use wasm_bindgen::prelude::*;

use crate::random::Random;
use crate::time::Instant;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = globalThis, js_name = valueOf)]
    fn global_this() -> JsValue;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn random_values(octets: &mut [u8]);
    /// `[]`.
    #[wasm_bindgen(js_namespace = Array, js_name = of)]
    pub fn list0() -> JsValue;
    /// `[first]`.
    #[wasm_bindgen(js_namespace = Array, js_name = of)]
    pub fn list1(first: JsValue) -> JsValue;
    /// `[first, second]`.
    #[wasm_bindgen(js_namespace = Array, js_name = of)]
    pub fn list2(first: JsValue, second: JsValue) -> JsValue;
    #[wasm_bindgen(catch, js_namespace = Reflect, js_name = get)]
    fn read(object: &JsValue, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_namespace = Reflect, js_name = set)]
    fn write(object: &JsValue, key: &str, value: JsValue) -> Result<bool, JsValue>;
    #[wasm_bindgen(catch, js_namespace = Reflect, js_name = apply)]
    fn apply_to(function: &JsValue, this: &JsValue, arguments: &JsValue) -> Result<JsValue, JsValue>;
}

/// The time now, by the clock that never goes back.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970 fit in 53 bits")]
pub fn now() -> Instant {
    let performance = global_value("performance");
    let since = call0(&performance, "now").as_f64().unwrap_or(0.0);
    Instant::from_millis((get_number(&performance, "timeOrigin") + since) as u64)
}

/// 32 bytes that nobody can foretell.
#[must_use]
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    random_values(&mut seed);
    seed
}

/// A version 4 UUID.
#[must_use]
pub fn uuid() -> String {
    Random::new(seed()).uuid()
}

/// Calls `callback` in `millis` milliseconds. Gives the id for [`clear_timeout`].
pub fn set_timeout(callback: JsValue, millis: u64) -> JsValue {
    // The browser takes a 32-bit number, and a larger one as 0.
    #[expect(clippy::cast_precision_loss, reason = "below 2^31")]
    call2(&global(), "setTimeout", callback, (millis.min(0x7fff_ffff) as f64).into())
}

/// Takes a timeout back.
pub fn clear_timeout(id: JsValue) {
    call1(&global(), "clearTimeout", id);
}

/// Writes a value to the console, as an error.
pub fn report(value: JsValue) {
    call_of("console", "error", value);
}

/// The global object.
#[must_use]
pub fn global() -> JsValue {
    global_this()
}

/// The constructor or function of this name on the global object; `undefined` where the browser lacks it.
#[must_use]
pub fn global_value(name: &str) -> JsValue {
    get(&global(), name)
}

/// `object[key]`; `undefined` where there is none, `object` is no object, or the getter throws.
#[must_use]
pub fn get(object: &JsValue, key: &str) -> JsValue {
    read(object, key).unwrap_or_default()
}

/// `object[first][second]`, as [`get`].
#[must_use]
pub fn get_in(object: &JsValue, first: &str, second: &str) -> JsValue {
    get(&get(object, first), second)
}

/// `object[key]` if it is a string, else an empty one.
#[must_use]
pub fn get_string(object: &JsValue, key: &str) -> String {
    string(&get(object, key))
}

/// `value` if it is a string, else an empty one.
#[must_use]
pub fn string(value: &JsValue) -> String {
    value.as_string().unwrap_or_default()
}

/// Whether `object[key]` is this word.
#[must_use]
pub fn is(object: &JsValue, key: &str, word: &str) -> bool {
    get_string(object, key) == word
}

/// `object[key]` if it is a number, else 0.
#[must_use]
pub fn get_number(object: &JsValue, key: &str) -> f64 {
    get(object, key).as_f64().unwrap_or(0.0)
}

/// `object[key]` if that is a property of its own, else `undefined`.
#[must_use]
pub fn own(object: &JsValue, key: &str) -> JsValue {
    // Not by `instanceof`: an object may have no prototype, or one of another frame.
    if object.is_object() && descriptor(object, key).is_object() { get(object, key) } else { JsValue::UNDEFINED }
}

/// How a property of the object's own is defined; `undefined` where it has none of that name.
#[must_use]
pub fn descriptor(object: &JsValue, key: &str) -> JsValue {
    call2(&global_value("Reflect"), "getOwnPropertyDescriptor", object.clone(), key.into())
}

/// `object[key] = value`; what refuses is left as it is.
pub fn set(object: &JsValue, key: &str, value: JsValue) {
    let _ = write(object, key, value);
}

/// An object without prototype: a page that extends `Object.prototype` adds nothing to it.
pub struct Dict(JsValue);

/// An empty one.
#[must_use]
pub fn dict() -> Dict {
    Dict(call_of("Object", "create", JsValue::NULL))
}

impl Dict {
    /// The same with one more entry.
    #[must_use]
    pub fn with(self, key: &str, value: JsValue) -> Self {
        set(&self.0, key, value);
        self
    }
}

impl From<Dict> for JsValue {
    fn from(dict: Dict) -> Self {
        dict.0
    }
}

/// `function.apply(this, arguments)`.
///
/// # Errors
/// What it throws; also where it is no function.
pub fn apply(function: &JsValue, this: &JsValue, arguments: &JsValue) -> Result<JsValue, JsValue> {
    apply_to(function, this, arguments)
}

/// `object[name](…arguments)`.
///
/// # Errors
/// What it throws; also where there is no such function.
pub fn try_call(object: &JsValue, name: &str, arguments: JsValue) -> Result<JsValue, JsValue> {
    apply_to(&get(object, name), object, &arguments)
}

/// `object[name]()`; `undefined` where it throws, or there is no such function.
pub fn call0(object: &JsValue, name: &str) -> JsValue {
    try_call(object, name, list0()).unwrap_or_default()
}

/// `object[name](argument)`, as [`call0`].
pub fn call1(object: &JsValue, name: &str, argument: JsValue) -> JsValue {
    try_call(object, name, list1(argument)).unwrap_or_default()
}

/// `object[name](first, second)`, as [`call0`].
pub fn call2(object: &JsValue, name: &str, first: JsValue, second: JsValue) -> JsValue {
    try_call(object, name, list2(first, second)).unwrap_or_default()
}

/// `NAME[method](argument)` of the global object, as [`call0`].
pub fn call_of(name: &str, method: &str, argument: JsValue) -> JsValue {
    call1(&global_value(name), method, argument)
}

/// Puts what a promise comes to into `list`; nothing where there is none, or it fails.
pub fn keep(promise: &JsValue, list: &JsValue) {
    call2(promise, "then", call1(&get(list, "push"), "bind", list.clone()), nothing());
}

/// `list.push(value)`.
pub fn push(list: &JsValue, value: JsValue) {
    call1(list, "push", value);
}

/// `new NAME(…arguments)`.
///
/// # Errors
/// What it throws; also where the browser has no such constructor.
pub fn construct(name: &str, arguments: JsValue) -> Result<JsValue, JsValue> {
    try_call(&global_value("Reflect"), "construct", list2(global_value(name), arguments))
}

/// `new NAME()`; `undefined` where the browser has no such constructor, or it throws.
#[must_use]
pub fn new0(name: &str) -> JsValue {
    construct(name, list0()).unwrap_or_default()
}

/// `new NAME(argument)`, as [`new0`].
#[must_use]
pub fn new1(name: &str, argument: JsValue) -> JsValue {
    construct(name, list1(argument)).unwrap_or_default()
}

/// `new NAME(first, second)`, as [`new0`].
#[must_use]
pub fn new2(name: &str, first: JsValue, second: JsValue) -> JsValue {
    construct(name, list2(first, second)).unwrap_or_default()
}

/// `new Error(message)`.
#[must_use]
pub fn error(message: &str) -> JsValue {
    new1("Error", message.into())
}

/// The error of what was given up.
#[must_use]
pub fn aborted() -> JsValue {
    let error = error("The call is over");
    set(&error, "name", "AbortError".into());
    error
}

/// What a list or any other iterable has in it; nothing where it is none.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a list has less than 2^32 items")]
pub fn items(iterable: JsValue) -> Vec<JsValue> {
    let list = call_of("Array", "from", iterable);
    let mut items = Vec::new();
    for _ in 0..get_number(&list, "length") as u32 {
        items.push(call0(&list, "shift"));
    }
    items
}

/// A function that does nothing: `Function.prototype` is one.
#[must_use]
pub fn nothing() -> JsValue {
    get_in(&global(), "Function", "prototype")
}

/// The end of something that others wait for: what may never come is raced against it.
pub struct End {
    promise: JsValue,
    reject: JsValue,
}

impl End {
    /// One that is still to come.
    pub fn ahead() -> Self {
        let (promise, _, reject) = promise();
        forget(&promise);
        Self { promise, reject }
    }

    /// Now it has come.
    pub fn reach(&self) {
        invoke(&self.reject, aborted());
    }

    /// A promise of what `promise` comes to, rejected with [`aborted`] where the end comes first.
    #[must_use]
    pub fn or(&self, promise: JsValue) -> JsValue {
        together("race", self.promise.clone(), promise)
    }
}

/// `function(value)`, where nobody looks at what comes of it.
pub fn invoke(function: &JsValue, value: JsValue) {
    let _ = apply_to(function, &JsValue::UNDEFINED, &list1(value));
}

/// `Promise.HOW([first, second])`: `all` or `race`.
#[must_use]
pub fn together(how: &str, first: JsValue, second: JsValue) -> JsValue {
    call_of("Promise", how, list2(first, second))
}

/// A promise with the functions that fulfil and reject it.
#[must_use]
pub fn promise() -> (JsValue, JsValue, JsValue) {
    let functions = list0();
    // The executor runs inside the constructor: `push` writes down what it is given.
    let executor = call1(&get(&functions, "push"), "bind", functions.clone());
    let promise = new1("Promise", executor);
    (promise, get(&functions, "0"), get(&functions, "1"))
}

/// Says that nobody need look at how `promise` ends.
pub fn forget(promise: &JsValue) {
    call2(promise, "then", JsValue::UNDEFINED, nothing());
}

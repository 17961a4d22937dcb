//! What a client that is over keeps. It may be started again, and then its listeners are to be told; so its own object in the page holds them. If the
//! wasm did, and one of them knew the client, the browser could collect neither.

use std::cell::{Cell, RefCell};

use js_sys::{Array, Function, Object, Proxy, Reflect, WeakMap};
use wasm_bindgen::prelude::*;

use crate::web::bindings::ProxyHandler;

type Trap = Closure<dyn FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue>>;

thread_local! {
    /// What the method that runs gives to the object that it was called on.
    static GIVEN: RefCell<Option<Array>> = const { RefCell::new(None) };
    /// Whether the methods of the class are wrapped.
    static WRAPPED: Cell<bool> = const { Cell::new(false) };
    /// Each object with what it keeps.
    static KEPT: WeakMap = WeakMap::new();
}

/// Has the object that the wrapped method was called on keep `what`.
pub fn give(what: Array) {
    GIVEN.set(Some(what));
}

/// Wraps these methods of the class of an object, once, so that they may [`give`]: a method of ours does not know the object that it is called on.
pub fn wrap(object: impl FnOnce() -> JsValue, methods: [&str; 2]) {
    if WRAPPED.replace(true) {
        return;
    }
    let trap = Trap::wrap(Box::new(|method: Function, this: JsValue, arguments: Array| {
        let result = method.apply(&this, &arguments);
        if let Some(given) = GIVEN.take() {
            KEPT.with(|kept| kept.set(this.unchecked_ref(), &given));
        }
        result
    }));
    let (class, handler) = (Object::get_prototype_of(&object()), ProxyHandler::applying(&trap));
    trap.forget();
    for name in methods {
        if let Ok(method) = Reflect::get(&class, &name.into()) {
            let _ = Reflect::set(&class, &name.into(), &Proxy::new(&method, &handler));
        }
    }
}

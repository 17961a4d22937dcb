// The little of jQuery that the snippets use, so that this page needs no library: `$(selector)` with attr, prop, trigger, on and each.
// Attributes are set as jQuery sets them: `setAttribute` with the value as text; null removes.

(function () {
  "use strict";

  /** @extends {Array<any>} */
  class Elements extends Array {
    /** @param {(this: any, index: number, element: any) => void} work */
    each(work) {
      this.forEach((element, index) => work.call(element, index, element));
      return this;
    }

    /**
     * @param {string} name
     * @param {unknown} [value]
     */
    attr(name, value) {
      if (value === undefined) return this[0]?.getAttribute(name) ?? undefined;
      return this.each((index, element) => {
        const text = typeof value === "function" ? value.call(element, index, element.getAttribute(name)) : value;
        if (text === null) element.removeAttribute(name);
        else if (text !== undefined) element.setAttribute(name, String(text));
      });
    }

    /**
     * @param {string} name
     * @param {unknown} [value]
     */
    prop(name, value) {
      if (value === undefined) return this[0]?.[name];
      return this.each((index, element) => {
        element[name] = typeof value === "function" ? value.call(element, index, element[name]) : value;
      });
    }

    /**
     * @param {string} type
     * @param {EventListener} listener
     */
    on(type, listener) {
      return this.each((_, element) => element.addEventListener(type, listener));
    }

    /**
     * Tells the listeners, then does what the element itself does: `trigger("play")` plays.
     * @param {string} type
     */
    trigger(type) {
      return this.each((_, element) => {
        const event = new Event(type, { bubbles: true, cancelable: true });
        element.dispatchEvent(event);
        if (event.defaultPrevented || typeof element[type] !== "function") return;
        // A play() that is interrupted by the next pause() is no error.
        Promise.resolve(element[type]()).catch(() => {});
      });
    }
  }

  /** @param {string | Element | (() => void)} what */
  const $ = function (what) {
    if (typeof what === "function") {
      if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => what());
      else what();
      return new Elements();
    }
    return Elements.from(typeof what === "string" ? document.querySelectorAll(what) : [what]);
  };
  Object.assign(window, { $ });
})();

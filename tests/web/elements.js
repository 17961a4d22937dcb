// URLs of streams, wherever a page writes them.
(() => {
  const src = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "src");
  const audio = Audio;
  // A call with a stream, and an element that counts its errors.
  const begin = async ({ talking, until, sleep, equal, ok }, kind = "audio") => {
    const world = await talking();
    await until(() => world.alice.call.incomingStream, "a stream");
    const url = world.alice.call.incomingStreamURL;
    ok(/^blob:offhook\/[0-9a-f-]{36}$/.test(url) && url === world.alice.call.incomingStreamURL, "one URL");
    ok(url !== world.alice.call.outgoingStreamURL && url !== world.bob.call.incomingStreamURL, "no two streams have the same");
    const element = /** @type {HTMLMediaElement} */ (document.createElement(kind));
    element.autoplay = true;
    let errors = 0;
    element.addEventListener("error", () => errors++);
    const plays = async () => {
      await until(() => element.srcObject === world.alice.call.incomingStream && !element.paused && element.currentTime > 0, "it plays");
      equal(errors, 0, "no error");
    };
    const cleared = async () => {
      await until(() => element.srcObject === null, "it plays no longer");
      await sleep(100);
      equal(errors, 0, "no error");
    };
    return { ...world, url, element, plays, cleared };
  };
  return {
    async an_attribute_plays_a_stream(harness) {
      const { url, element, plays, cleared } = await begin(harness);
      document.body.append(element);
      element.setAttribute("src", url);
      await plays();
      harness.equal(element.getAttribute("src"), url, "it reads as written");
      element.setAttribute("src", "");
      await cleared();
      element.setAttribute("src", url);
      await plays();
      element.removeAttribute("src");
      await cleared();
    },

    async a_property_plays_a_stream(harness) {
      const { url, element, plays, cleared } = await begin(harness, "video");
      document.body.append(element);
      element.src = url;
      await plays();
      harness.equal(element.src, url, "it reads as written");
      element.src = "";
      await cleared();
    },

    // What `$("audio").attr("src", url)` does; at the end of the call, as the page of the original has it.
    async jquery_plays_a_stream(harness) {
      const { alice, url, element, plays, cleared } = await begin(harness);
      document.body.append(element);
      const attr = (name, value) => document.querySelectorAll("audio").forEach((found) => found.setAttribute(name, `${value}`));
      attr("src", url);
      await plays();
      alice.call.addEventListener({ onCallEnded: () => attr("src", "") });
      alice.call.hangup();
      await cleared();
    },

    async an_element_outside_the_document_plays_a_stream(harness) {
      const { url, element, plays, cleared } = await begin(harness);
      element.src = url;
      await plays();
      element.src = "";
      await cleared();
    },

    async new_audio_plays_a_stream(harness) {
      const { alice, url } = await begin(harness);
      const element = new Audio(url);
      harness.ok(element instanceof Audio && element instanceof HTMLAudioElement, "an Audio");
      harness.equal(element.srcObject === alice.call.incomingStream, true, "the stream");
      await element.play();
      element.pause();
      element.src = "";
      harness.ok(new Audio().src === "" && new Audio("x.mp3").getAttribute("src") === "x.mp3", "others are as ever");
    },

    async markup_plays_a_stream(harness) {
      const { alice, url } = await begin(harness);
      const box = document.body.appendChild(document.createElement("div"));
      box.innerHTML = `<p><audio autoplay src="${url}"></audio></p>`;
      const element = box.querySelector("audio");
      await harness.until(() => element.srcObject === alice.call.incomingStream && element.currentTime > 0, "it plays");
      element.removeAttribute("src");
      await harness.until(() => element.srcObject === null, "it plays no longer");
      box.remove();
    },

    async another_source_takes_the_stream_away(harness) {
      const { bob, url, element, plays } = await begin(harness);
      document.body.append(element);
      element.src = url;
      await plays();
      element.setAttribute("SRC", bob.call.incomingStreamURL);
      await harness.until(() => element.srcObject === bob.call.incomingStream, "another stream");
      element.src = "data:audio/wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
      harness.equal(element.srcObject, null, "a file");
    },

    async the_browser_is_as_it_was(harness) {
      const own = () => [
        Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "src").set === src.set,
        Object.hasOwn(HTMLMediaElement.prototype, "setAttribute"),
        Audio === audio,
      ];
      await harness.until(() => own().join() === "true,false,true", "before");
      const { alice, element, url, plays } = await begin(harness);
      harness.equal(own(), [false, true, false], "while a URL is alive");
      element.src = url;
      await plays();
      alice.call.hangup();
      await harness.sleep(50);
      element.src = "";
      harness.equal(own(), [true, false, true], "after the last");
    },
  };
})();

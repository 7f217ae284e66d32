// Keeps the page as it is now, without a reload: the server says when something
// changed, and then the same page is fetched and its main part put in place.
//
// Browsers have six connections to a host, and the server's stream of events takes one
// for as long as it lasts. So one window of all that are seen has the stream, and tells
// the others; when it is closed or hidden another takes over. Where windows can't talk to
// each other, and while nobody has the stream, the page is fetched now and then.
"use strict";
(() => {
  const every = 30000; // relative times grow old, and streams can be refused
  const answersIn = 20000; // a connection can be dead without anybody being told
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  const others = "BroadcastChannel" in window ? new BroadcastChannel("popferry") : null;
  const me = Math.random();
  let events = null, had = false, follows = false, asked = 0, busy = false, again = false;

  const say = (text) => { if (live.textContent !== text) live.textContent = text; };

  function swap(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.querySelector("main");
    const main = document.querySelector("main");
    if (!fresh || fresh.innerHTML === main.innerHTML) return;
    const focus = main.contains(document.activeElement) && document.activeElement.getAttribute("href");
    main.replaceChildren(...fresh.childNodes);
    if (document.title !== page.title) {
      document.title = page.title;
      said.textContent = document.getElementById("verdict").textContent; // for screen readers
    }
    if (!focus) return;
    const link = [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === focus);
    if (link) link.focus({ preventScroll: true });
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout?.(answersIn) });
      if (answer.status === 401) say("needs the token again");
      else if (answer.status === 429) say("too many wrong tokens; wait for a minute");
      else if (answer.status === 404) {
        swap(await answer.text()); // which says so, in place of what was
        say("not there any more");
      } else if (!answer.ok) say("popferry does not answer; this is how it was");
      else {
        swap(await answer.text());
        say(follows || events && events.readyState === EventSource.OPEN ? "live" : "up to date");
      }
    } catch {
      say("popferry does not answer; this is how it was");
    }
    // A page with many accounts takes its time, which the server has other use for.
    setTimeout(() => {
      busy = false;
      if (again) { again = false; refresh(); }
    }, Math.min(5 * (performance.now() - began), every));
  }

  // ask has the stream opened here unless another window says soon that it has it.
  function ask() {
    if (!others || events || document.hidden) return;
    clearTimeout(asked);
    asked = setTimeout(open, 150 + 300 * Math.random());
    others.postMessage({ say: "who" });
  }

  function open() {
    follows = false;
    had = true;
    events = new EventSource("/events");
    events.addEventListener("open", refresh);
    events.addEventListener("changed", () => {
      others.postMessage({ say: "changed" });
      refresh();
    });
    // It comes back by itself unless it was refused, or the window is about to go; then any
    // window may ask again later.
    events.addEventListener("error", () => {
      if (!events) return;
      if (events.readyState !== EventSource.CLOSED) { refresh(); return; } // which tells why
      events = null;
      others.postMessage({ say: "lost" });
    });
    others.postMessage({ say: "mine", id: me });
  }

  function close() {
    clearTimeout(asked);
    if (events) events.close();
    if (had) others.postMessage({ say: "free" });
    events = null;
    had = follows = false;
  }

  function hear({ data }) {
    if (data.say === "who" && events) others.postMessage({ say: "mine", id: me });
    if (document.hidden) return;
    if (data.say === "free") {
      follows = false;
      ask();
    } else if (data.say === "mine") {
      clearTimeout(asked);
      if (events && data.id < me) { // two opened it at once
        events.close();
        events = null;
        had = false;
      }
      if (events || follows) return;
      follows = true;
      refresh();
    } else if (data.say === "lost") follows = false;
    else if (data.say === "changed") refresh();
  }

  function watch() {
    if (document.hidden) close();
    else if (others) ask();
    else refresh();
  }

  if (others) others.addEventListener("message", hear);
  document.addEventListener("visibilitychange", watch);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (ev) => { if (ev.persisted) watch(); });
  setInterval(() => {
    if (document.hidden) return;
    ask(); // the window that had the stream may have died
    refresh();
  }, every);
  watch();
})();

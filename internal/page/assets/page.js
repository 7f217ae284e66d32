// Keeps the page as it is now, without a reload: the server says when something
// changed, and then the same page is fetched and its main part put in place.
"use strict";
(() => {
  const every = 30000; // relative times grow old, and streams can be refused
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  let events = null, busy = false, again = false;

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
      const answer = await fetch(location.href);
      if (answer.status === 401) say("needs the token again");
      else if (!answer.ok) say("not there any more");
      else {
        swap(await answer.text());
        say(events && events.readyState === EventSource.OPEN ? "live" : "up to date");
      }
    } catch {
      say("popferry does not answer; this is how it was");
    }
    // A page with many accounts takes its time, which the server has other use for.
    setTimeout(() => {
      busy = false;
      if (again) { again = false; refresh(); }
    }, 5 * (performance.now() - began));
  }

  function watch() {
    if (document.hidden) {
      if (events) events.close();
      events = null;
    } else if (!events) {
      events = new EventSource("/events");
      events.addEventListener("changed", refresh);
    }
  }

  document.addEventListener("visibilitychange", watch);
  setInterval(() => { if (!document.hidden) refresh(); }, every);
  watch();
})();

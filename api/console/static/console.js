// What the pages do beside htmx: log in and out, poll while somebody looks, show moments in the reader's zone,
// and say so when the gateway cannot be reached.
"use strict";
(() => {
  const POLL_MS = 2000;

  // --- log in and out

  async function send(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: {"Content-Type": "application/json", "Accept": "application/json"},
      body: JSON.stringify(body),
    });
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(content.detail || `The gateway answered with status ${answer.status}.`);
    return content;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-login]");
    if (!form) return;
    event.preventDefault();
    const failure = form.querySelector("[data-failure]");
    const button = form.querySelector("button");
    failure.textContent = "";
    button.disabled = true;
    try {
      const content = await send("/console/login", {key: form.elements.key.value, next: form.dataset.next});
      location.assign(content.next);
    } catch (error) {
      failure.textContent = error instanceof TypeError ? "The gateway cannot be reached." : error.message;
      button.disabled = false;
      form.elements.key.select();
    }
  });

  document.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-logout]")) return;
    try {
      location.assign((await send("/console/logout", {})).next);
    } catch (error) {
      tell(error.message);
    }
  });

  // --- poll: [data-poll="#section"] is asked for while the page is seen and the section is not paused

  setInterval(() => {
    if (document.hidden) return;
    for (const poller of document.querySelectorAll("[data-poll]")) {
      if (!document.querySelector(poller.dataset.poll)?.classList.contains("is-paused")) htmx.trigger(poller, "poll");
    }
  }, POLL_MS);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pause]");
    if (!button) return;
    const isPaused = document.querySelector(button.dataset.pause).classList.toggle("is-paused");
    button.setAttribute("aria-pressed", String(isPaused));
    button.textContent = isPaused ? "Go on" : "Pause";
  });

  function trim() {
    const rows = document.querySelector("[data-rows-max]");
    if (!rows) return;
    while (rows.rows.length > Number(rows.dataset.rowsMax)) rows.lastElementChild.remove();
    const none = document.getElementById("live-none");
    if (none) none.hidden = rows.rows.length > 0;
  }

  // --- moments: <time datetime="2026-11-28T09:02:30Z" data-local> is in UTC without this script

  const moments = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "medium"});
  function localise() {
    for (const time of document.querySelectorAll("time[data-local]")) {
      time.textContent = moments.format(new Date(time.dateTime));
      time.removeAttribute("data-local");
    }
  }

  // --- what kept htmx from an answer that is a page

  function tell(text) {
    const place = document.getElementById("trouble");
    place.querySelector("[data-text]").textContent = text;
    place.hidden = !text;
  }

  document.addEventListener("htmx:error", () => tell("The gateway cannot be reached. What you see may be old."));
  document.addEventListener("htmx:after:request", (event) => {
    const response = event.detail.ctx.response;
    if (response.headers.get("content-type")?.startsWith("text/html") || response.headers.has("hx-redirect")) {
      tell("");
      return;
    }
    event.preventDefault();  // not a part of a page, so it is not put into one
    let text = `The gateway answered with status ${response.status}.`;
    try { text = JSON.parse(event.detail.ctx.text).detail; } catch { /* then the status says it */ }
    tell(text);
  });
  document.addEventListener("htmx:after:swap", () => { localise(); trim(); });
  document.addEventListener("DOMContentLoaded", localise);
})();

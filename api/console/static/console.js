// What the pages do beside htmx: log in and out, and show moments in the zone of the reader.
"use strict";
(() => {
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
      failure.textContent = error.message;
      button.disabled = false;
      form.elements.key.select();
    }
  });

  document.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-logout]")) return;
    const content = await send("/console/logout", {}).catch(() => ({next: "/console/login"}));
    location.assign(content.next);
  });

  // <time datetime="2026-11-28T09:02:30Z" data-local>: in UTC without this script.
  const moments = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "medium"});
  function localise(root) {
    for (const time of root.querySelectorAll("time[data-local]")) {
      time.textContent = moments.format(new Date(time.dateTime));
      time.removeAttribute("data-local");
    }
  }
  document.addEventListener("DOMContentLoaded", () => localise(document));
  document.addEventListener("htmx:after:swap", () => localise(document));
})();

// What htmx does not do for pages that change something: requests with JSON, a dialog before what cannot be undone,
// failures where they happened, and a copy of a secret.
"use strict";
(() => {
  // The guard takes nothing but JSON from a page. `name[]` is a list; what was left empty is not sent. A button says
  // in data-sends what it sends.
  function fields(form) {
    const found = {};
    for (const [name, value] of form) {
      if (name.endsWith("[]")) (found[name.slice(0, -2)] ??= []).push(value);
      else if (value.trim()) found[name] = value.trim();
    }
    return found;
  }

  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    if (ctx.request.method === "GET") return;
    ctx.request.headers["Content-Type"] = "application/json";
    if (ctx.request.method === "DELETE") return;
    const said = JSON.parse(ctx.sourceElement.dataset.sends ?? "{}");
    ctx.request.body = JSON.stringify({ ...fields(ctx.request.body), ...said });
  });

  // The place beside a form or in a row where its failures are told.
  function placeOf(element) {
    return element.closest("[data-fails-here]")?.querySelector("[data-failure]");
  }

  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    const place = placeOf(ctx.sourceElement);
    if (!place || ctx.response.status < 400) return;
    ctx.target = place;
    ctx.swap = "innerHTML";
  });

  document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
    const place = placeOf(ctx.sourceElement);
    if (!place) return;
    const sentence = document.createElement("p");
    sentence.className = "field-error";
    sentence.textContent = "The gateway is out of reach, or did not answer in time. Look at the list before you try again.";
    place.replaceChildren(sentence);
  });

  // What had the focus may be gone with the part it was in.
  document.addEventListener("htmx:after:swap", () => {
    if (document.activeElement && document.activeElement !== document.body) return;
    document.querySelector("[data-focus]")?.focus();
  });

  document.addEventListener("htmx:confirm", (event) => {
    const { ctx, issueRequest, dropRequest } = event.detail;
    event.preventDefault();
    const dialog = document.createElement("dialog");
    const sentence = document.createElement("p");
    sentence.id = "question";
    sentence.textContent = ctx.confirm;
    const button = (text, kind) => {
      const made = document.createElement("button");
      made.className = kind;
      made.textContent = made.value = text;
      return made;
    };
    const yes = button(ctx.sourceElement.dataset.do || "Go on", "button button-danger");
    const form = document.createElement("form");
    form.method = "dialog";
    form.className = "form-end";
    form.append(button("Cancel", "button button-quiet"), yes);
    dialog.append(sentence, form);
    dialog.setAttribute("aria-labelledby", sentence.id);
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue === yes.value) issueRequest();
      else dropRequest();
      ctx.sourceElement.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copies]");
    if (!button) return;
    const secret = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(secret.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(secret); // browsers copy by script only over TLS and on this machine
      button.textContent = "Press Ctrl+C";
    }
  });
})();

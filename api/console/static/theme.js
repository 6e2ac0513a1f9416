// Light or dark: the system's choice, unless the visitor has made one. Loaded before the page is drawn, so that nothing flashes.
"use strict";
(() => {
  const root = document.documentElement;
  const KEY = "amos-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function kept() {
    try { return localStorage.getItem(KEY); } catch { return null; }  // storage may be forbidden
  }

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  }

  function tell() {
    document.dispatchEvent(new CustomEvent("amos:theme"));  // the charts draw themselves anew
  }

  const choice = kept();
  if (choice === "light" || choice === "dark") root.dataset.theme = choice;
  dark.addEventListener("change", tell);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-switch]");
    if (!button) return;
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem(KEY, root.dataset.theme); } catch { /* then for this page only */ }
    tell();
  });
})();

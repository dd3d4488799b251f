/* What pages gain from a script: theme switch, copy buttons, dialogs, keys of the review queue.
   Every page reads, installs and runs without it. */
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  const toggleTheme = () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax`;
  };

  const copyFrom = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    if (!source) return;
    await navigator.clipboard.writeText(source.textContent.trim());
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  };

  /* On a phone the strips of links scroll: where one is, one sees. */
  document.querySelectorAll(".nav-area, .tabs").forEach((strip) => {
    const here = strip.querySelector("[aria-current]");
    if (here) strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.clientWidth) / 2;
  });

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-theme-toggle], [data-copy], [data-dialog-close]");
    if (!target) {
      document.querySelectorAll("details.menu[open]").forEach((menu) => {
        if (!menu.contains(event.target)) menu.open = false;
      });
      return;
    }
    if (target.matches("[data-theme-toggle]")) toggleTheme();
    else if (target.matches("[data-copy]")) copyFrom(target);
    else {
      event.preventDefault();
      target.closest("dialog")?.close();
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });

  /* A fragment swapped into the page's one <dialog> opens it; following a redirect leaves it. */
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "dialog" && !event.target.open) event.target.showModal();
  });
  /* What a person has opened stays open when a live part is replaced. */
  let opened = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    opened = [...event.detail.target.querySelectorAll("details[open][id]")].map((one) => one.id);
  });
  document.addEventListener("htmx:afterSettle", () => {
    opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    opened = [];
  });
  /* Refusals come as 4xx with the corrected form: show them where the form was. */
  document.addEventListener("htmx:beforeSwap", (event) => {
    const status = event.detail.xhr.status;
    if (status === 422 || status === 409) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  /* j and k walk the review queue, Enter opens. */
  document.addEventListener("keydown", (event) => {
    const queue = [...document.querySelectorAll("[data-queue] a[data-queue-link]")];
    if (!queue.length || event.target.matches("input, textarea, select")) return;
    if (event.key !== "j" && event.key !== "k") return;
    const at = queue.indexOf(document.activeElement);
    const next = event.key === "j" ? Math.min(at + 1, queue.length - 1) : Math.max(at - 1, 0);
    queue[next].focus();
  });
})();

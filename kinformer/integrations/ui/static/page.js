// What is where: the overview, a table per informer, an object beside it. The address says which.

import { Detail } from "./detail.js";
import { Overview, label } from "./overview.js";
import { Stream } from "./stream.js";
import { Table, countText, say } from "./table.js";
import { element, number } from "./text.js";

const $ = (id) => document.getElementById(id);

const address = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;
const go = (...parts) => { location.hash = address(...parts); };
const here = () => location.hash.replace(/^#\/?/, "").split("/").filter((part, i) => part || i === 1).map(decodeURIComponent);

const overview = new Overview();
const table = new Table((row) => go(current, row.namespace, row.name));
const detail = new Detail(() => go(current));

let current = null;
let rows = null;
let informers = [];

table.onCount = (shown, all, synced) => {
  say($("browse-count"), countText(shown, all, all === 1 ? "object" : "objects", synced));
  const empty = $("empty");
  empty.hidden = shown > 0 || (!synced && !all);
  say(empty, all ? "No object is left by this filter." : synced ? "There are none." : "");
};
// An open object follows the keys.
table.onActive = (row) => { if (!$("detail").hidden) history.replaceState(null, "", address(current, row.namespace, row.name)), route(); };

function route() {
  const [informer, namespace = "", name] = here();
  $("overview").hidden = Boolean(informer);
  $("browse").hidden = !informer;
  if (informer !== (current ?? undefined)) {
    rows?.close();
    rows = null;
    detail.close();
    const before = current;
    current = informer ?? null;
    $("filter").value = "";
    table.clear();
    if (informer) {
      const { plural, group, scope } = label(informer);
      $("browse-title").replaceChildren(plural, element("span", { class: "scope" }, [group, scope].filter(Boolean).join(" · ")));
      say($("browse-count"), "");
      $("empty").hidden = true;
      rows = new Stream(`api/rows?${new URLSearchParams({ informer })}`, {
        columns: (about) => table.setColumns(about),
        reset: () => table.reset(),
        rows: (some) => table.put(some),
        gone: (keys) => table.gone(keys),
        synced: () => table.allThere(),
      });
    }
    document.title = informer ? `${label(informer).plural} · kinformer` : "kinformer";
    $("main").scrollTop = 0;
    queueMicrotask(() => (informer ? table.focus() : overview.focus(before)));
  }
  if (name) {
    if (detail.key !== `${namespace}/${name}`) detail.open(informer, namespace, name);
    table.select(`${namespace}/${name}`);
  } else if (informer) {
    detail.close();
    table.select(null);
  }
  mark();
}

function mark() {
  for (const link of $("side").querySelectorAll("a")) {
    if ((link.dataset.name || null) === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function side() {
  const links = $("side");
  const names = ["", ...informers.map((one) => one.name)];
  if (names.join("\n") !== [...links.children].map((link) => link.dataset.name).join("\n")) {
    links.replaceChildren(...names.map((name, i) => {
      const { plural, scope } = name ? label(name) : { plural: "Overview", scope: "" };
      const link = element("a", { href: name ? address(name) : "#/", "data-name": name, title: name || "Overview" },
        element("span", { class: "dot", "aria-hidden": "true" }),
        element("span", { class: "text" }, plural, element("span", { class: "scope" }, scope)),
        element("span", { class: "count" }));
      if (i < 10) link.setAttribute("aria-keyshortcuts", String(i));
      return link;
    }));
    mark();
  }
  informers.forEach((one, i) => {
    const link = links.children[i + 1];
    link.dataset.health = one.health;
    say(link.querySelector(".count"), number(one.objects));
  });
  const worst = informers.some((one) => ["ended", "stopped"].includes(one.health) || one.health === "failing") ? "failing" : "live";
  links.children[0].dataset.health = informers.length ? worst : "syncing";
}

function state(is) {
  $("link").dataset.state = is;
  say($("link"), is);
}

new Stream("api/overview", {
  about: ({ title }) => say($("cluster"), title),
  informers: (report) => {
    informers = report.informers;
    side();
    overview.show(report);
  },
}, state);

$("filter").addEventListener("input", (event) => table.filter(event.target.value));
$("filter").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "Enter") { event.preventDefault(); table.firstInView(); }
});

$("side").addEventListener("keydown", (event) => {
  const links = [...$("side").children], at = links.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
  if (to === undefined || !links[to]) return;
  event.preventDefault();
  links[to].focus();
});

function turnTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("kinformer.theme", root.dataset.theme); } catch { /* no storage, no memory of it */ }
}

$("theme").addEventListener("click", turnTheme);
$("help-button").addEventListener("click", () => $("help").showModal());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target.matches("input");
  if (event.key === "Escape") {
    if (typing && event.target.value) { event.target.value = ""; table.filter(""); }
    else if (typing) table.focus();
    else if (!$("detail").hidden) { go(current); table.focus(); }
    else if (current && $("filter").value) { $("filter").value = ""; table.filter(""); }
    else if (current) go();
    else return;
    event.preventDefault();
    return;
  }
  if (typing) return;
  if (event.key === "/") { if (!current) return; $("filter").focus(); $("filter").select(); }
  else if (/^Arrow(Up|Down)$/.test(event.key) && event.target === document.body) {
    if (current) table.firstInView(); else overview.focus();
  }
  else if (!$("detail").hidden && { c: 1, y: 1, r: 1 }[event.key]) detail.show({ c: "changes", y: "yaml", r: "related" }[event.key]);
  else if (event.key === "?") $("help").showModal();
  else if (event.key === "t") turnTheme();
  else if (event.key === "0") go();
  else if (/^[1-9]$/.test(event.key) && informers[event.key - 1]) go(informers[event.key - 1].name);
  else return;
  event.preventDefault();
});

addEventListener("hashchange", route);
route();

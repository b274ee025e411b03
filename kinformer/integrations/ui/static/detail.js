// One object: its latest changes, its YAML, and the objects and Events that belong to it.

import { duration, element, say } from "./text.js";
import { Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);

function yamlLine(line) {
  const found = /^(\s*(?:- )*)((?:"[^"]*"|[^\s:#"'{[][^:#]*|[^\s:]+?):)(?=\s|$)(.*)$/.exec(line);
  const row = element("div", { class: "yl" });
  if (!found) {
    const item = /^(\s*- )(.*)$/.exec(line);
    if (item) row.append(element("span", { class: "dash" }, item[1]), value(item[2]));
    else row.append(value(line || "\u200b"));
    return row;
  }
  row.append(element("span", { class: "dash" }, found[1]), element("span", { class: "key" }, found[2]), value(found[3]));
  return row;
}

function value(text) {
  const plain = text.trim();
  const kind = /^<\d+ bytes, not shown>$|^<not shown>$/.test(plain.replace(/^'|'$/g, "")) ? "hidden"
    : /^(true|false|null|~)$/.test(plain) || /^-?\d+(\.\d+)?$/.test(plain) ? "lit" : "str";
  return element("span", { class: kind }, text);
}

const LINES = { "+": "plus", "-": "minus", "@": "at", " ": "same" };

// Of two lines that took each other's place, what differs is marked.
function diffLine(sign, line, before, after) {
  const row = element("div", { class: `dl ${LINES[sign]}` });
  if (sign === "@") { row.append(line || "the object"); return row; }
  const other = sign === "-" && after?.[0] === "+" ? after[1] : sign === "+" && before?.[0] === "-" ? before[1] : null;
  let from = 0, to = 0;
  if (other !== null) {
    const most = Math.min(line.length, other.length);
    while (from < most && line[from] === other[from]) from++;
    while (to < most - from && line[line.length - 1 - to] === other[other.length - 1 - to]) to++;
    // Whole words.
    while (from > 0 && line[from - 1] !== " ") from--;
    while (to > 0 && line[line.length - to] !== " ") to--;
  }
  // Where the lines have nothing but their indentation in common, all would be marked.
  if (!line.slice(0, from).trim()) row.append(`${sign} ${line}`);
  else row.append(`${sign} ${line.slice(0, from)}`, element("mark", {}, line.slice(from, line.length - to)), line.slice(line.length - to));
  return row;
}

const DEEP = 18; // pixels of a level

function relatedRow({ kind, namespace, name, depth, informer, state }) {
  const text = [element("span", { class: "of" }, kind), element("b", {}, name)];
  const to = informer && `#/${[informer, namespace, name].map(encodeURIComponent).join("/")}`;
  const row = element("li", {},
    to ? element("a", { href: to }, ...text) : element("span", { title: "It is in no cache of this page." }, ...text),
    element("span", { class: "what" }, state));
  row.style.paddingLeft = `${18 + depth * DEEP}px`;
  return row;
}

function eventRow({ type, reason, message, count, at }) {
  const when = element("time", at ? { datetime: at, "data-at": Date.parse(at) / 1000 } : {});
  return element("li", {},
    element("span", { class: `kind ${type === "Warning" ? "deleted" : ""}` }, reason || type),
    element("span", { class: "what" }, message, count > 1 ? element("span", { class: "scope" }, ` ${count}×`) : ""), when);
}

export class Detail {
  constructor(onClose) {
    this.panel = $("detail");
    this.onClose = onClose;
    this.stream = null;
    this.text = "";
    $("detail-close").addEventListener("click", () => onClose());
    $("detail-copy").addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.text);
      say($("detail-copy"), "Copied");
      setTimeout(() => say($("detail-copy"), "Copy YAML"), 1200);
    });
    this.tabs = ["changes", "yaml", "related"];
    for (const tab of this.tabs) {
      $(`tab-${tab}`).addEventListener("click", () => this.show(tab));
      $(`tab-${tab}`).addEventListener("keydown", (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        const step = event.key === "ArrowRight" ? 1 : this.tabs.length - 1;
        const other = this.tabs[(this.tabs.indexOf(tab) + step) % this.tabs.length];
        this.show(other);
        $(`tab-${other}`).focus();
      });
    }
    setInterval(() => this.#ages(), 1000);
    this.show("yaml");
  }

  open(informer, namespace, name) {
    this.close();
    this.key = `${namespace}/${name}`;
    this.panel.hidden = false;
    this.lines = null;
    this.seen = null;
    say($("detail-name"), name);
    say($("detail-kind"), namespace);
    $("pane-changes").replaceChildren();
    $("pane-yaml").replaceChildren();
    $("pane-related").replaceChildren();
    $("related-count").hidden = true;
    const query = new URLSearchParams({ informer, namespace, name });
    this.stream = new Stream(`api/object?${query}`, {
      object: (object) => this.#show(object),
      related: (found) => this.#related(found),
    });
  }

  close() {
    this.stream?.close();
    this.stream = null;
    this.key = null;
    this.panel.hidden = true;
  }

  show(tab) {
    this.tab = tab;
    for (const each of this.tabs) {
      const on = each === tab;
      $(`tab-${each}`).setAttribute("aria-selected", on);
      $(`tab-${each}`).tabIndex = on ? 0 : -1;
      $(`pane-${each}`).hidden = !on;
    }
  }

  #show(object) {
    say($("detail-kind"), [object.kind, object.namespace].filter(Boolean).join(" · "));
    this.panel.classList.toggle("deleted", object.synced && !object.exists);
    say($("changes-count"), String(object.changes.length));
    if (object.exists) this.#yaml(object.yaml);
    else if (!this.text || !this.lines) this.#nothing(object);
    this.#changes(object.changes);
  }

  #nothing(object) {
    $("pane-yaml").replaceChildren(element("p", { class: "note" },
      object.synced ? "It is not in the cache (any more)." : "The cache is not in sync yet."));
  }

  #yaml(text) {
    this.text = text;
    const lines = text.replace(/\n$/, "").split("\n");
    const before = this.lines && new Set(this.lines);
    if (this.lines && this.lines.join("\n") === lines.join("\n")) return;
    this.lines = lines;
    $("pane-yaml").replaceChildren(element("div", { class: "code" }, ...lines.map((line) => {
      const row = yamlLine(line);
      if (before && !before.has(line)) row.classList.add("fresh");
      return row;
    })));
  }

  #changes(changes) {
    const newest = changes[0]?.number ?? 0;
    if (this.seen === newest) return;
    const before = this.seen;
    this.seen = newest;
    const pane = $("pane-changes");
    if (!changes.length) {
      pane.replaceChildren(element("p", { class: "note" }, "Nothing has changed since this page began to look."));
      return;
    }
    pane.replaceChildren(...changes.map((change) => {
      const when = element("time", { datetime: new Date(change.at * 1000).toISOString(), "data-at": change.at });
      when.title = new Date(change.at * 1000).toLocaleString();
      const head = element("header", {}, element("span", { class: `kind ${change.kind}` }, change.kind), when,
        element("span", { class: "version" }, `version ${change.resourceVersion}`));
      const lines = change.difference.map(([sign, line], i, all) => diffLine(sign, line, all[i - 1], all[i + 1]));
      const body = lines.length ? element("div", { class: "code diff" }, ...lines)
        : change.kind === "updated" ? element("p", { class: "note" }, "Nothing that is shown.") : "";
      const article = element("article", { class: "change" }, head, body);
      if (before !== null && change.number > before) article.classList.add("fresh");
      return article;
    }));
    this.#ages();
  }

  #related({ owners, owned, more, events }) {
    // A link that has the focus keeps it.
    const focus = $("pane-related").contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const count = owners.length + owned.length + more;
    say($("related-count"), String(count));
    $("related-count").hidden = !count;
    const list = (title, rows, none) => [element("h3", {}, title),
      rows.length ? element("ul", { class: "related" }, ...rows.map(relatedRow)) : element("p", { class: "note" }, none)];
    const rest = more ? [element("p", { class: "note" }, `and ${more} more`)] : [];
    $("pane-related").replaceChildren(
      ...list("Owners", owners, "It has no owner."),
      ...list("Owned objects", owned, "No object in these caches has it as owner."), ...rest,
      element("h3", {}, "Events"), events === null
        ? element("p", { class: "note" }, "Events are not in these caches: add the resource “events”.")
        : events.length ? element("ul", { class: "events" }, ...events.map(eventRow))
          : element("p", { class: "note" }, "There are none."));
    if (focus) [...$("pane-related").querySelectorAll("a")].find((link) => link.getAttribute("href") === focus)?.focus();
    this.#ages();
  }

  #ages() {
    if (this.panel.hidden) return;
    for (const when of this.panel.querySelectorAll("time")) {
      const seconds = Date.now() / 1000 - Number(when.dataset.at);
      say(when, seconds < 1.5 ? "now" : `${duration(seconds)} ago`);
    }
  }
}

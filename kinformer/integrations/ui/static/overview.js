// The informers at a glance: a row each, renewed once a second.

import { draw } from "./spark.js";
import { bytes, duration, element, number, say } from "./text.js";

const $ = (id) => document.getElementById(id);
const WINDOW = 5; // seconds that a rate is the mean of

const rateOf = (rates) => rates.slice(-WINDOW).reduce((sum, one) => sum + one, 0) / Math.max(1, Math.min(WINDOW, rates.length));
const rateText = (rate) => (rate === 0 ? "0" : rate < 9.95 ? rate.toFixed(1) : number(Math.round(rate)));

// "pods.v1 in shop (app=web)": what it is of, and in which scope.
export function label(name) {
  const [resource] = name.split(" ", 1);
  const [plural, , ...group] = resource.split(".");
  return { plural, group: group.join("."), scope: name.slice(resource.length).trim() };
}

function stateText(one) {
  if (one.health === "live") return `watching ${duration(one.stateSeconds)}`;
  if (one.state === "listing") return one.listed ? `listing, ${number(one.listed)} so far` : "listing";
  if (one.state === "waiting") {
    const retry = one.retrySeconds === null ? "" : `, again in ${Math.ceil(one.retrySeconds)}s`;
    return `failed ${number(one.failures)}×${retry}`;
  }
  return one.state;
}

export class Overview {
  constructor(open) {
    this.open = open;
    this.rows = new Map();
    this.body = $("informers");
    this.body.addEventListener("keydown", (event) => this.#key(event));
  }

  show({ informers, recent, controllers, historySeconds: span }) {
    this.#controllers(controllers);
    const totals = { objects: 0, bytes: 0, live: 0, relists: 0, events: 0 };
    const sum = new Array(Math.max(0, ...informers.map((one) => one.rates.length))).fill(0);
    const seen = new Set();
    informers.forEach((one, place) => {
      seen.add(one.name);
      let row = this.rows.get(one.name);
      if (!row) this.rows.set(one.name, (row = this.#row(one)));
      if (this.body.children[place] !== row.tr) this.body.insertBefore(row.tr, this.body.children[place] ?? null);
      this.#fill(row, one, span);
      totals.objects += one.objects;
      totals.bytes += one.bytes;
      totals.events += one.events;
      totals.relists += one.relists;
      totals.live += one.health === "live";
      one.rates.forEach((rate, i) => (sum[sum.length - one.rates.length + i] += rate));
    });
    for (const [name, row] of this.rows) if (!seen.has(name)) { row.tr.remove(); this.rows.delete(name); }
    say($("tile-objects"), number(totals.objects));
    say($("tile-objects-more"), `${number(totals.events)} events so far`);
    say($("tile-rate"), rateText(rateOf(sum)));
    say($("tile-live"), `${totals.live} / ${informers.length}`);
    say($("tile-live-more"), totals.relists ? `${number(totals.relists)} relists so far` : "no relist so far");
    const ill = informers.some((one) => one.health !== "live" && one.health !== "syncing");
    $("tile-live").dataset.health = ill ? "failing" : totals.live === informers.length ? "live" : "syncing";
    say($("tile-bytes"), bytes(totals.bytes));
    say($("tile-bytes-more"), totals.objects ? `${bytes(Math.round(totals.bytes / totals.objects))} per object` : "");
    draw($("tile-spark"), sum, { span, width: 400, height: 64 });
    this.#recent(recent);
  }

  #row(one) {
    const name = label(one.name);
    const link = element("a", { href: `#/${encodeURIComponent(one.name)}` }, name.plural);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "spark");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    const cells = {
      name: element("th", { scope: "row" }, element("span", { class: "dot", "aria-hidden": "true" }),
        element("div", {}, link, element("span", { class: "scope" }, [name.group, name.scope].filter(Boolean).join(" · ")))),
      state: element("td", { class: "state" }),
      objects: element("td", { class: "num" }),
      rate: element("td", { class: "num" }),
      spark: element("td", { class: "sparkcell" }, svg),
      relists: element("td", { class: "num" }),
      bytes: element("td", { class: "num" }),
      error: element("td", { class: "error" }, element("span")),
    };
    const tr = element("tr", {}, ...Object.values(cells));
    tr.addEventListener("click", (event) => { if (!event.target.closest("a") && !getSelection().toString()) link.click(); });
    return { tr, cells, svg, link };
  }

  #fill({ tr, cells, svg }, one, span) {
    tr.dataset.health = one.health;
    say(cells.state, stateText(one));
    say(cells.objects, number(one.objects));
    const rate = rateText(rateOf(one.rates));
    say(cells.rate, rate);
    cells.rate.title = one.sharding
      ? `shard filtered by: ${one.sharding}; ${number(one.foreignEvents)} objects and events of other shards` : "";
    svg.setAttribute("aria-label", `${rate} events per second`);
    draw(svg, one.rates, { span });
    say(cells.relists, number(one.relists));
    const lists = Object.entries(one.lists).map(([why, count]) => `${count} ${why}`).join(", ");
    cells.relists.title = lists ? `lists: ${lists}; ${one.watches} watches` : "";
    say(cells.bytes, bytes(one.bytes));
    cells.bytes.title = one.bytes < one.jsonBytes ? `of ${bytes(one.jsonBytes)} of JSON` : "";
    const past = one.error && !one.failures && !["ended", "stopped"].includes(one.health);
    cells.error.classList.toggle("past", Boolean(past));
    const ago = `${duration(one.errorSeconds ?? 0)} ago`;
    say(cells.error.firstChild, !one.error ? "none" : past ? `${one.errorKind} · ${ago}` : one.error);
    cells.error.classList.toggle("none", !one.error);
    cells.error.title = one.error ?? "";
  }

  #controllers(controllers) {
    $("controllers").hidden = !controllers.length;
    const body = $("controllers").querySelector("tbody");
    while (body.children.length > controllers.length) body.lastChild.remove();
    controllers.forEach((one, place) => {
      if (!body.children[place]) {
        body.append(element("tr", {}, element("th", { scope: "row" }, element("span", { class: "dot", "aria-hidden": "true" }), element("span")),
          element("td", { class: "state" }), ...Array.from({ length: 4 }, () => element("td", { class: "num" })),
          element("td", { class: "error" }, element("span"))));
      }
      const row = body.children[place], [name, state, queued, working, failing, done, error] = row.children;
      row.dataset.health = one.state === "failed" ? "failing" : one.failing ? "syncing" : "live";
      say(name.lastChild, one.name);
      say(state, one.state);
      say(queued, number(one.queued + one.delayed));
      queued.title = `${number(one.queued)} wait for a worker, ${number(one.delayed)} for their time`;
      say(working, `${number(one.working)} / ${number(one.workers)}`);
      say(failing, number(one.failing));
      say(done, number(Object.values(one.results).reduce((sum, count) => sum + count, 0)));
      done.title = Object.entries(one.results).map(([result, count]) => `${result}: ${number(count)}`).join(", ");
      const ago = one.last_error_seconds === null ? "" : ` · ${duration(one.last_error_seconds)} ago`;
      say(error.firstChild, one.last_error ? `${one.last_error}${ago}` : "none");
      error.classList.toggle("none", !one.last_error);
      error.classList.toggle("past", Boolean(one.last_error) && !one.failing);
    });
  }

  #recent(changes) {
    const list = $("recent");
    list.closest("section").hidden = !changes.length;
    const links = new Map([...list.children].map((item) => [item.dataset.number, item]));
    const items = changes.map((change) => links.get(String(change.number)) ?? this.#change(change));
    if (items.some((item, i) => list.children[i] !== item) || list.children.length !== items.length) list.replaceChildren(...items);
    changes.forEach((change, i) => {
      const seconds = Date.now() / 1000 - change.at;
      say(items[i].querySelector("time"), seconds < 1.5 ? "now" : duration(seconds));
    });
  }

  #change(change) {
    const { plural } = label(change.informer);
    const to = `#/${[change.informer, change.namespace, change.name].map(encodeURIComponent).join("/")}`;
    return element("li", { "data-number": change.number },
      element("span", { class: `kind ${change.kind}` }, change.kind),
      element("span", { class: "of" }, plural),
      element("a", { href: to, tabindex: "-1" }, change.namespace ? `${change.namespace}/` : "", element("b", {}, change.name)),
      element("span", { class: "what" }, change.summary), element("time", {}));
  }

  #key(event) {
    const links = [...this.body.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined || !links[to]) return;
    event.preventDefault();
    links[to].focus();
  }

  focus(name) { (this.rows.get(name)?.link ?? this.body.querySelector("a"))?.focus({ preventScroll: true }); }
}

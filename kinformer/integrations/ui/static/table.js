// A live table of any number of rows: only those in view are in the document.

import { age, element, number, say } from "./text.js";

const $ = (id) => document.getElementById(id);
const ROW = 28; // px, as in page.css
const AROUND = 10; // rows drawn above and below the view
const RENEW = 120; // ms between two sortings while rows keep changing

const WORDS = {
  good: /^(Running|Ready|Active|Bound|True|Available|Normal)$/,
  busy: /^(Pending|ContainerCreating|PodInitializing|Init:\d+\/\d+|Terminating|Released|Suspended|Progressing|Ready,SchedulingDisabled|InProgress)$/,
  bad: /(BackOff|Err|Error|Failed|Evicted|OOMKilled|NotReady|Unknown|Lost|Warning|Invalid|CrashLoop)/,
};

export const mood = (text) =>
  WORDS.good.test(text) ? "good" : WORDS.busy.test(text) ? "busy" : WORDS.bad.test(text) ? "bad" : "";

const numeric = new Intl.Collator("en", { numeric: true });

export class Table {
  constructor(open) {
    this.open = open;
    this.grid = $("grid");
    this.body = $("grid-body");
    this.head = $("grid-head");
    this.pool = [];
    this.grid.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("[role=row]");
      if (row && !getSelection().toString()) { this.#activate(row.dataset.key); this.open(this.rows.get(row.dataset.key)); }
    });
    new ResizeObserver(() => this.#draw()).observe(this.grid);
    setInterval(() => { if (!this.grid.closest("[hidden]")) this.#draw(); }, 1000); // ages go on
    this.clear();
  }

  clear() {
    this.rows = new Map();
    this.arriving = null;
    this.synced = false;
    this.order = [];
    this.columns = [];
    this.active = null;
    this.selected = null;
    this.sort = { column: -1, down: false };
    this.terms = [];
    this.timer = 0;
    this.grid.scrollTop = 0;
    this.#draw();
  }

  // What the stream says.

  setColumns({ columns, namespaced, plural }) {
    this.plural = plural;
    const titles = [...(namespaced ? ["NAMESPACE"] : []), "NAME", ...columns];
    this.namespaced = namespaced;
    const known = titles.join() === this.columns.join();
    this.columns = titles;
    if (known) return;
    this.widths = titles.map((title) => title.length + 3);
    this.head.replaceChildren(...titles.map((title, i) => {
      const button = element("button", { type: "button", tabindex: "-1" }, title);
      button.addEventListener("click", () => this.#sortBy(i));
      return element("div", { role: "columnheader", "aria-colindex": i + 1 }, button);
    }));
    this.grid.setAttribute("aria-colcount", titles.length);
    this.pool.forEach((row) => row.remove());
    this.pool = [];
  }

  // A stream that has come back tells everything again; the old rows stay in view until all the new ones are there.
  reset() { this.arriving = new Map(); this.synced = false; }

  put(rows) {
    const into = this.arriving ?? this.rows;
    const now = this.arriving ? 0 : performance.now();
    for (const [namespace, name, created, labels, cells] of rows) {
      const key = `${namespace}/${name}`;
      const texts = [...(this.namespaced ? [namespace] : []), name, ...cells];
      texts.forEach((text, i) => { if (text.length > this.widths[i]) this.widths[i] = text.length; });
      into.set(key, { key, namespace, name, created, labels: ` ${labels} `, texts, at: now,
        hay: `${namespace}/${name} ${cells.join(" ")} ${labels}`.toLowerCase() });
    }
    // The first rows are shown as they come.
    if (this.arriving && !this.rows.size) this.#later(this.arriving);
    else this.#later();
  }

  gone(keys) {
    for (const [namespace, name] of keys) this.rows.delete(`${namespace}/${name}`);
    this.#later();
  }

  allThere() {
    if (this.arriving) this.rows = this.arriving;
    this.arriving = null;
    this.synced = true;
    this.#renew();
  }

  // What is to be seen.

  filter(text) {
    this.terms = text.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
      const not = word.length > 1 && word.startsWith("-");
      const term = not ? word.slice(1) : word;
      return { not, term, label: /^[^=]+=/.test(term) };
    });
    this.grid.scrollTop = 0;
    this.#renew();
  }

  select(key) { this.selected = key; if (key) this.active = key; this.#draw(); }

  focus() { this.grid.focus({ preventScroll: true }); }

  #sortBy(column) {
    this.sort = this.sort.column === column && this.sort.down ? { column: -1, down: false }
      : { column, down: this.sort.column === column };
    this.#renew();
  }

  #later(rows) {
    if (this.timer) return;
    this.timer = setTimeout(() => { this.timer = 0; this.#renew(rows && this.arriving ? rows : undefined); }, RENEW);
  }

  #renew(rows = this.rows) {
    const terms = this.terms;
    const matches = (row) => terms.every(({ not, term, label }) =>
      (label ? row.labels.toLowerCase().includes(` ${term} `) : row.hay.includes(term)) !== not);
    const found = terms.length ? [...rows.values()].filter(matches) : [...rows.values()];
    const { column, down } = this.sort;
    const byKey = (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
    if (column < 0) found.sort(byKey);
    else if (this.columns[column] === "AGE") found.sort((a, b) => b.created - a.created || byKey(a, b));
    else found.sort((a, b) => numeric.compare(a.texts[column], b.texts[column]) || byKey(a, b));
    if (down) found.reverse();
    this.order = found;
    this.place = null;
    this.#draw();
    this.onCount?.(found.length, rows.size, this.synced);
  }

  #index(key) {
    this.place ??= new Map(this.order.map((row, i) => [row.key, i]));
    return key === null ? -1 : this.place.get(key) ?? -1;
  }

  #draw() {
    const { grid, body, order } = this;
    // ch is the width of a 0, and most letters are narrower.
    const template = this.columns.map((title, i) => {
      const width = Math.min(this.widths[i], title === "NAME" ? 54 : 34);
      return `minmax(${(width * 0.92 + 2.5).toFixed(1)}ch, ${width}fr)`;
    }).join(" ");
    if (template !== this.template) grid.style.setProperty("--columns", (this.template = template));
    body.style.height = `${order.length * ROW}px`;
    grid.setAttribute("aria-rowcount", order.length + 1);
    [...this.head.children].forEach((cell, i) => {
      const sorted = this.sort.column === i ? (this.sort.down ? "descending" : "ascending") : "none";
      cell.setAttribute("aria-sort", sorted);
    });
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - AROUND);
    const last = Math.min(order.length, Math.ceil((grid.scrollTop + grid.clientHeight) / ROW) + AROUND);
    const count = Math.max(0, last - first);
    while (this.pool.length < count) {
      const row = element("div", { role: "row", class: "row" },
        ...this.columns.map((_, i) => element("div", { role: "gridcell", "aria-colindex": i + 1 })));
      this.pool.push(row);
      body.append(row);
    }
    while (this.pool.length > count) this.pool.pop().remove();
    const now = Date.now();
    let activeId = null;
    for (let i = first; i < last; i++) {
      // The element of a row stays the same while the table scrolls past it.
      const row = this.pool[i % count], data = order[i];
      this.#fill(row, data, i, now);
      if (data.key === this.active) activeId = row.id = "active-row";
      else row.removeAttribute("id");
    }
    if (activeId) grid.setAttribute("aria-activedescendant", activeId);
    else grid.removeAttribute("aria-activedescendant");
  }

  #fill(row, data, index, now) {
    const top = `translateY(${index * ROW}px)`;
    if (row.style.transform !== top) row.style.transform = top;
    const moved = row.dataset.key !== data.key;
    row.dataset.key = data.key;
    row.setAttribute("aria-rowindex", index + 2);
    row.setAttribute("aria-selected", data.key === this.selected);
    row.classList.toggle("active", data.key === this.active);
    const fresh = data.at && performance.now() - data.at < 900;
    if (moved) row.classList.remove("fresh");
    if (fresh && row.at !== data.at) {
      row.classList.remove("fresh");
      void row.offsetWidth; // so that it begins anew
      row.classList.add("fresh");
    } else if (!fresh) row.classList.remove("fresh");
    row.at = data.at;
    this.columns.forEach((title, i) => {
      const cell = row.children[i];
      const text = title === "AGE" ? age(data.created, now) : data.texts[i];
      if (cell.textContent === text && !moved) return;
      cell.textContent = text;
      cell.title = text.length > 30 ? text : "";
      cell.className = title === "NAME" ? "name" : title === "STATUS" || title === "PHASE" ? `status ${mood(text)}` : "";
    });
  }

  #activate(key) { this.active = key; this.#draw(); }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW) - 2), last = this.order.length - 1;
    const at = this.#index(this.active);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? last : at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: last }[event.key];
    if (event.key === "Enter" && at >= 0) { event.preventDefault(); this.open(this.order[at]); return; }
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.goTo(Math.min(last, Math.max(0, to)));
  }

  goTo(index) {
    this.active = this.order[index].key;
    const head = this.head.offsetHeight, top = index * ROW, view = this.grid.clientHeight - head;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW > this.grid.scrollTop + view) this.grid.scrollTop = top + ROW - view;
    this.#draw();
    this.onActive?.(this.order[index]);
  }

  firstInView() { if (this.order.length) { this.focus(); if (this.#index(this.active) < 0) this.goTo(0); } }
}

export const countText = (shown, all, plural, synced) =>
  `${shown === all ? number(all) : `${number(shown)} of ${number(all)}`} ${plural}${synced ? "" : " so far"}`;

export { say };

// An EventSource that comes back whatever happened, and rests while nobody looks.

const REST_AFTER = 20_000;
const RETRY = 1_000;

export class Stream {
  constructor(url, handlers, onState = () => {}) {
    this.url = url;
    this.handlers = handlers;
    this.onState = onState;
    this.source = null;
    this.timer = 0;
    this.closed = false;
    this.visibility = () => this.#look();
    document.addEventListener("visibilitychange", this.visibility);
    this.#open();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.visibility);
    this.source?.close();
  }

  #open() {
    clearTimeout(this.timer);
    this.source?.close();
    const source = (this.source = new EventSource(this.url));
    source.onopen = () => this.onState("live");
    source.onerror = () => {
      if (this.closed || source !== this.source) return;
      this.onState("reconnecting");
      // After an answer that is no stream, a browser does not come back by itself.
      if (source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.#open(), RETRY);
    };
    for (const [name, handle] of Object.entries(this.handlers)) {
      source.addEventListener(name, (event) => { if (!this.closed) handle(JSON.parse(event.data)); });
    }
  }

  #look() {
    clearTimeout(this.timer);
    // Browsers open six connections to one host; tabs nobody looks at must not hold them.
    if (document.hidden) this.timer = setTimeout(() => { this.source?.close(); this.source = null; }, REST_AFTER);
    else if (!this.source || this.source.readyState === EventSource.CLOSED) this.#open();
  }
}

// The live console: what an attempt prints, as it prints it.

import { Terminal } from "./ansi.js";

const MOST_LINES = 5000;
const MOST_CHARACTERS = 2_000_000;
const FOLD = 2000; // A line that is longer goes on in the next row.
const LONGEST_PAUSE_MS = 15000;
const AT_END = 24; // Pixels from the end that still count as the end.

/** The rows of the screen, of which the newest are kept. */
class Screen {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.element.replaceChildren();
    this.terminals = {};
    this.line = null;
    this.characters = 0;
    this.dropped = null;
  }

  write(stream, text) {
    if (this.line && this.line.stream !== stream) this.line = null;
    this.terminals[stream] ??= new Terminal();
    this.terminals[stream].write(text, {
      text: (part, classes) => this.#text(stream, part, classes),
      newline: () => { if (!this.line) this.#open(stream); this.line = null; },
      restart: () => { if (this.line) this.line.stale = true; },
    });
    this.#trim();
  }

  note(text) {
    this.#open("note").span.append(text);
    this.line = null;
  }

  #open(stream, more = "") {
    const row = document.createElement("div");
    row.className = `line ${stream}${more}`;
    const span = document.createElement("span");
    row.append(span);
    this.element.append(row);
    this.line = { stream, row, span, length: 0, stale: false };
    return this.line;
  }

  #text(stream, part, classes) {
    if (this.line?.stale) {
      // A progress bar writes over its line.
      this.characters -= this.line.length;
      this.line.span.replaceChildren();
      Object.assign(this.line, { length: 0, stale: false });
    }
    let rest = part;
    while (rest) {
      if (!this.line) this.#open(stream);
      if (this.line.length >= FOLD) this.#open(stream, " cont");
      const piece = rest.slice(0, FOLD - this.line.length);
      rest = rest.slice(piece.length);
      this.line.length += piece.length;
      this.characters += piece.length;
      if (classes) {
        const styled = document.createElement("span");
        styled.className = classes;
        styled.append(piece);
        this.line.span.append(styled);
      } else this.line.span.append(piece);
    }
  }

  #trim() {
    const rows = this.element;
    while (rows.childElementCount > MOST_LINES || this.characters > MOST_CHARACTERS) {
      const oldest = this.dropped ? rows.children[1] : rows.firstElementChild;
      if (!oldest || oldest === this.line?.row) break;
      this.characters -= oldest.textContent.length;
      oldest.remove();
      if (!this.dropped) {
        this.dropped = this.#notice();
        rows.prepend(this.dropped);
      }
    }
  }

  #notice() {
    const row = document.createElement("div");
    row.className = "line note";
    const span = document.createElement("span");
    span.append("Earlier lines are left out here: see the whole output.");
    row.append(span);
    return row;
  }
}

/** Connects the console's card; `say(text, ok)` tells what came of a command. */
export function openConsole(card, say) {
  const screen = new Screen(card.querySelector(".screen"));
  const state = card.querySelector(".state");
  const choice = card.querySelector("select");
  const follow = card.querySelector(".follow");
  let socket = null;
  let cursor = null;
  let noted = "";
  let pause = 500;
  let frames = [];
  let following = true;
  let timer = 0;

  const tell = (text) => { if (state.textContent !== text) state.textContent = text; };

  function setFollowing(wanted) {
    following = wanted;
    follow.setAttribute("aria-pressed", String(wanted));
    if (wanted) screen.element.scrollTop = screen.element.scrollHeight;
  }

  function show() {
    const taken = frames;
    frames = [];
    for (const frame of taken) for (const { stream, text } of frame.chunks) screen.write(stream, text);
    if (following) screen.element.scrollTop = screen.element.scrollHeight;
    // The server waits for what is not yet shown, so a slow or hidden page is not flooded.
    for (const frame of taken) {
      cursor = frame.cursor;
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", cursor }));
    }
  }

  const takes = {
    attempt({ attempt, worker, status }) {
      offer(attempt);
      const note = `attempt ${attempt}${worker ? ` on ${worker}` : ""}`;
      // Said again after a reconnect.
      if (note !== noted) screen.note(note);
      noted = note;
      tell(status === "started" ? "Live" : "");
    },
    output(frame) {
      pause = 500;
      if (!frames.length) requestAnimationFrame(show);
      frames.push(frame);
    },
    status({ status }) {
      tell(status === "started" ? "Live" : `Task is ${status}`);
    },
    end() {
      pause = 500;
      tell(screen.element.childElementCount > 1 || frames.length ? "Ended" : "Ended: it printed nothing");
    },
    said({ ok, text }) {
      say(text, ok);
    },
  };

  function connect() {
    clearTimeout(timer);
    const query = new URLSearchParams();
    if (choice.value) query.set("attempt", choice.value);
    if (cursor) query.set("after", cursor);
    const mine = new WebSocket(`${location.origin.replace(/^http/, "ws")}${card.dataset.socket}?${query}`);
    socket = mine;
    mine.onopen = () => tell("Connected");
    mine.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (socket === mine) takes[message.type]?.(message);
    };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      if (event.code === 4401) return location.reload();
      if (event.code === 4403) return tell("Seeing output needs the permission tasks.view_task");
      if (event.code === 4404) return tell("There is no such task");
      tell("Reconnecting…");
      timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(LONGEST_PAUSE_MS, 2 * pause);
    };
  }

  function restart() {
    cursor = null;
    noted = "";
    frames = [];
    screen.clear();
    const old = socket;
    socket = null;
    old?.close();
    connect();
  }

  /** Makes every attempt up to this one a choice. */
  function offer(newest) {
    for (let number = choice.options.length; number <= newest; number += 1) choice.add(new Option(number, number));
  }

  choice.addEventListener("change", restart);
  follow.addEventListener("click", () => setFollowing(!following));
  screen.element.addEventListener("wheel", (event) => event.deltaY < 0 && setFollowing(false), { passive: true });
  screen.element.addEventListener("scroll", () => {
    const { scrollTop, scrollHeight, clientHeight } = screen.element;
    if (!following && scrollHeight - scrollTop - clientHeight < AT_END) setFollowing(true);
  });
  screen.element.addEventListener("keydown", (event) => {
    if (["PageUp", "ArrowUp", "Home"].includes(event.key)) setFollowing(false);
  });
  addEventListener("pagehide", () => { const old = socket; socket = null; old?.close(); });
  addEventListener("pageshow", (event) => event.persisted && connect());
  connect();
  return { offer };
}

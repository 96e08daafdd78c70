// Show the output of an attempt in a terminal that is as high as its content.

import { Stream } from "./streams.js";
import { Terminal } from "./vendor/xterm.mjs";

const ROWS = 24;
const MOST_LINES = 10000; // Lines above the visible rows.
const LEAST_COLUMNS = 20;
const MOST_MARKS = 1000; // Rows of stderr that are marked.
// What sequences may move: one row for this many characters of output, and some at any time.
const CHARACTERS_PER_ROW = 4;
const SPARE_ROWS = 10000;
const ERASURE = ROWS / 4; // Erasing rows takes as long as moving so many.
const MOST_UNITS = 16; // Length of a character, with its marks, that sequences may repeat.
const SCROLLBAR = 14; // Pixels.

// Sequences that ask for an answer, or change the terminal for all that follows: device queries,
// modes, window, scroll region, tabs, cursor style, resets, and columns that move on all rows.
const IGNORED = [
  ..."cnhlt".split("").flatMap((final) => ["", "?", ">", "="].map((prefix) => ({ prefix, final }))),
  { final: "r" }, { final: "g" }, { prefix: ">", final: "q" }, { prefix: ">", final: "m" },
  ...["!", "$", "\""].map((intermediates) => ({ intermediates, final: "p" })),
  { prefix: "?", intermediates: "$", final: "p" }, { intermediates: " ", final: "q" },
  ...[" @", " A", "'}", "'~"].map(([intermediates, final]) => ({ intermediates, final })),
];
// Links, titles, colours and the clipboard. The streams remove them, too.
const IGNORED_STRINGS = [0, 1, 2, 4, 8, 10, 11, 12, 52, 104, 110, 111, 112];
// Sequences whose parameter is a number of rows or of cells. More than the visible ones are ignored.
const ROWS_REPEATED = "LMST".split("");
const CELLS_REPEATED = "IZb@PX".split("");

const COLOURS = {
  background: "--bg", foreground: "--ink", black: "--term-black", red: "--failed", green: "--complete",
  yellow: "--pending", blue: "--running", magenta: "--tm-accent", cyan: "--term-cyan", white: "--term-white",
};

/** Resolve the tokens of the current theme. */
function readTheme(element) {
  const probe = document.createElement("span");
  element.append(probe);
  const resolve = (token) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const theme = {};
  for (const [name, token] of Object.entries(COLOURS)) {
    theme[name] = resolve(token);
    if (!name.endsWith("ground")) theme[`bright${name[0].toUpperCase()}${name.slice(1)}`] = theme[name];
  }
  probe.remove();
  return { ...theme, selectionBackground: resolveSelection(element) };
}

function resolveSelection(element) {
  return getComputedStyle(element).getPropertyValue("--tm-accent").trim() + "55";
}

/** Show the output of one attempt. `onFollow(following)` is called when the reader scrolls. */
export class OutputTerminal {
  following = true;
  #streams = new Map();
  #stream = null;
  #marks = [];
  #wasAtEnd = true;
  #rowsLeft = SPARE_ROWS;

  constructor(element, onFollow) {
    this.element = element;
    this.onFollow = onFollow;
    this.terminal = new Terminal({
      rows: ROWS, scrollback: MOST_LINES, convertEol: true, disableStdin: true, screenReaderMode: true,
      cursorInactiveStyle: "none", cursorStyle: "bar", minimumContrastRatio: 4.5, scrollOnEraseInDisplay: true,
      fontFamily: getComputedStyle(element).fontFamily, fontSize: 12.5, lineHeight: 1.15, allowProposedApi: true,
      theme: readTheme(element), logLevel: "off", linkHandler: { activate() {} },
    });
    this.#ignore();
    this.terminal.open(element);
    this.terminal.textarea.setAttribute("aria-label", "Output. Arrow keys, Page Up, Page Down, Home and End scroll.");
    this.terminal.textarea.readOnly = true;
    this.terminal.write("\x1b[?25l");
    this.terminal.attachCustomKeyEventHandler((event) => this.#onKey(event));
    this.terminal.onRender(() => this.#onRender());
    new ResizeObserver(() => requestAnimationFrame(() => this.#fit())).observe(element.parentElement);
    this.#scrollByTouch();
    const recolour = () => (this.terminal.options.theme = readTheme(element));
    new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    this.#fit();
  }

  /** Write output. The promise is resolved when it is in the buffer. */
  async write(name, text) {
    let stream = this.#streams.get(name);
    if (!stream) this.#streams.set(name, stream = new Stream());
    let before = "";
    if (this.#stream !== stream) {
      // Before the filter, which changes the style.
      before = (this.#lineIsEmpty() ? "" : "\r\n") + stream.style.sequence;
    }
    const shown = stream.filter(text);
    if (!shown) return;
    this.#stream = stream;
    await this.#put(before);
    const start = this.#cursor();
    await this.#put(shown);
    if (name === "stderr") this.#mark(start);
  }

  /** Write a line of the page itself. */
  async note(text) {
    const line = text.replace(/[\x00-\x1f\x7f-\x9f]/g, "\ufffd");
    await this.#put(`${this.#lineIsEmpty() ? "" : "\r\n"}\x1b[0;2m· ${line}\x1b[0m\r\n`);
    this.#stream = null;
  }

  /** Whether the oldest lines are no longer shown. */
  get isFull() {
    return this.#buffer.length >= MOST_LINES + ROWS;
  }

  clear() {
    this.terminal.reset();
    this.terminal.write("\x1b[?25l");
    this.#streams.clear();
    this.#stream = null;
    this.#marks = [];
    this.setFollowing(true);
  }

  setFollowing(following) {
    this.following = following;
    if (following) this.terminal.scrollToBottom();
    this.onFollow(following);
  }

  get #buffer() {
    return this.terminal.buffer.active;
  }

  #ignore() {
    const { parser } = this.terminal;
    for (const sequence of IGNORED) {
      // The page hides the cursor.
      parser.registerCsiHandler(sequence, ([first]) => !(sequence.prefix === "?" && sequence.final === "l" && first === 25));
    }
    for (const number of IGNORED_STRINGS) parser.registerOscHandler(number, () => true);
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true);
    for (const final of ROWS_REPEATED) {
      parser.registerCsiHandler({ final }, ([count]) => count > ROWS || !this.#spend(count || 1));
    }
    for (const final of CELLS_REPEATED) {
      parser.registerCsiHandler({ final }, ([count]) => count > this.terminal.cols || (final === "b" && this.#isLong()));
    }
    for (const prefix of [undefined, "?"]) {
      parser.registerCsiHandler({ prefix, final: "J" }, ([what]) => what === 3 || !this.#spend(what === 2 ? ROWS : ERASURE));
    }
    parser.registerEscHandler({ final: "c" }, () => true);
    parser.registerEscHandler({ intermediates: "#", final: "8" }, () => true);
  }

  /** Whether the character before the cursor, which may be wide, has very many combining marks. */
  #isLong() {
    const line = this.#buffer.getLine(this.#cursor());
    return [1, 2].some((back) => line?.getCell(this.#buffer.cursorX - back)?.getChars().length > MOST_UNITS);
  }

  /** Return whether a sequence may still move so many rows, and count them. */
  #spend(rows) {
    if (rows > this.#rowsLeft) return false;
    this.#rowsLeft -= rows;
    return true;
  }

  /** Write, and keep the place of a reader who does not follow. */
  async #put(text) {
    if (!text) return;
    const place = this.#buffer.viewportY;
    this.#rowsLeft = Math.min(SPARE_ROWS, this.#rowsLeft) + text.length / CHARACTERS_PER_ROW;
    await new Promise((done) => this.terminal.write(text, done));
    if (!this.following && this.#buffer.viewportY > place) this.terminal.scrollToLine(place);
    this.#crop();
  }

  #cursor() {
    return this.#buffer.baseY + this.#buffer.cursorY;
  }

  #lineIsEmpty() {
    return !this.#buffer.getLine(this.#cursor())?.translateToString(true);
  }

  /** Mark the rows since `start` as stderr. */
  #mark(start) {
    const end = this.#cursor() - (this.#buffer.cursorX ? 0 : 1);
    for (let row = Math.max(start, end - MOST_MARKS); row <= end; row += 1) {
      const marker = this.terminal.registerMarker(row - this.#cursor());
      const decoration = marker && this.terminal.registerDecoration({ marker, layer: "top" });
      if (!decoration) continue;
      decoration.onRender((element) => element.classList.add("stderr-mark"));
      this.#marks.push(decoration);
    }
    while (this.#marks.length > MOST_MARKS) this.#marks.shift().dispose();
  }

  /** Set the columns to the width of the card. */
  #fit() {
    const screen = this.element.querySelector(".xterm-screen");
    const width = screen.clientWidth / this.terminal.cols;
    if (!width || !this.element.clientWidth) return;
    const columns = Math.max(LEAST_COLUMNS, Math.floor((this.element.clientWidth - SCROLLBAR) / width));
    if (columns !== this.terminal.cols) this.terminal.resize(columns, ROWS);
    this.#crop();
  }

  /** Make the element as high as its lines. */
  #crop() {
    const screen = this.element.querySelector(".xterm-screen");
    let rows = ROWS;
    if (!this.#buffer.baseY) {
      while (rows > 1 && !this.#buffer.getLine(rows - 1)?.translateToString(true)) rows -= 1;
    }
    // Without lines above, a finger scrolls the page.
    this.element.style.touchAction = this.#buffer.baseY ? "none" : "auto";
    this.element.style.height = `${Math.ceil((screen.clientHeight / ROWS) * rows)}px`;
  }

  #onKey(event) {
    const scroll = {
      ArrowUp: () => this.terminal.scrollLines(-1), ArrowDown: () => this.terminal.scrollLines(1),
      PageUp: () => this.terminal.scrollPages(-1), PageDown: () => this.terminal.scrollPages(1),
      Home: () => this.terminal.scrollToTop(), End: () => this.terminal.scrollToBottom(),
    }[event.key];
    if (scroll && event.type === "keydown" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      scroll();
    }
    // The terminal itself handles no key: Tab and the shortcuts of the browser keep their effect.
    return false;
  }

  /** End Follow when the reader has scrolled away, and resume it at the end. */
  #onRender() {
    const atEnd = this.#buffer.viewportY >= this.#buffer.baseY;
    if (!atEnd && this.following) this.setFollowing(false);
    else if (atEnd && !this.#wasAtEnd && !this.following) this.setFollowing(true);
    this.#wasAtEnd = atEnd;
  }

  /** The terminal scrolls with a wheel and its bar, but not with a finger. */
  #scrollByTouch() {
    let y = 0;
    this.element.addEventListener("touchstart", (event) => (y = event.touches[0].clientY), { passive: true });
    this.element.addEventListener("touchmove", (event) => {
      const height = this.element.querySelector(".xterm-screen").clientHeight / ROWS;
      const lines = Math.trunc((y - event.touches[0].clientY) / height);
      if (!lines) return;
      const place = this.#buffer.viewportY;
      this.terminal.scrollLines(lines);
      y -= lines * height;
      // At an end the page scrolls.
      if (this.#buffer.viewportY === place) scrollBy(0, lines * height);
    }, { passive: true });
  }
}

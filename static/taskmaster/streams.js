// Prepare the output of the streams of an attempt for one terminal. Each stream has its own state:
// an unfinished sequence waits for its rest, and colours continue after output of another stream.

// OSC, DCS, SOS, PM and APC: titles, links, clipboard, colour queries. They are removed. A terminal
// executes control characters inside a sequence and continues it.
const STRING_BEGIN = /\x1b[\x00-\x17\x19\x1c-\x1f\x7f]*[\]PX^_]|[\x90\x98\x9d-\x9f]/g;
const STRING_END = /\x1b|[\x07\x18\x1a\x9c]/g;
// It stands for what is removed, and ends a sequence before it: what follows must not continue it.
const CANCEL = "\x18";
// The start of a sequence that may continue in the next piece.
const UNFINISHED = /(?:\x1b[\x00-\x17\x19\x1c-\x1f\x7f -\/]*(?:\[[\x00-\x17\x19\x1c-\x1f\x7f -?]*)?|\x9b[\x00-\x17\x19\x1c-\x1f\x7f -?]*)$/;
const MOST_UNFINISHED = 200; // No sequence that is used is longer.
// Characters that change the direction of text, so that it looks different from what it is.
const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// More combining marks on one character take seconds to draw.
const MARKS = /(\p{M}{16})\p{M}+/gu;
const COLOURS = /(?:\x1b\[|\x9b)([0-9;:]*)m/g;

const STYLES = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 5: "blink", 7: "inverse", 8: "hidden", 9: "strike", 21: "underline", 53: "overline" };
const ENDS = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 25: ["blink"], 27: ["inverse"], 28: ["hidden"], 29: ["strike"], 39: ["38"], 49: ["48"], 55: ["overline"], 59: ["58"] };

/** Hold the colours and styles of a stream. */
class Style {
  values = new Map();

  apply(parameters) {
    const codes = parameters.split(";");
    for (let index = 0; index < codes.length; index += 1) {
      const code = Number(codes[index].split(":")[0]);
      let value = codes[index];
      let slot = STYLES[code];
      if ([38, 48, 58].includes(code)) {
        slot = String(code);
        if (!value.includes(":")) {
          const end = index + ({ 5: 2, 2: 4 }[codes[index + 1]] ?? 0);
          value = codes.slice(index, end + 1).join(";");
          index = end;
        }
      } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) slot = "38";
      else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) slot = "48";
      if (code === 0) this.values.clear();
      else if (slot) this.values.set(slot, value);
      else for (const each of ENDS[code] ?? []) this.values.delete(each);
    }
  }

  /** Return the sequence that restores the style, with the usual character set. */
  get sequence() {
    return `\x1b(B\x0f\x1b[${[0, ...this.values.values()].join(";")}m`;
  }
}

/** Hold the state of one stream. */
export class Stream {
  style = new Style();
  #rest = "";
  #inString = false;

  /** Return the part of the text that can be shown now. */
  filter(piece) {
    const text = this.#rest + piece;
    this.#rest = "";
    let shown = this.#withoutStrings(text);
    const unfinished = this.#rest ? null : UNFINISHED.exec(shown);
    if (unfinished) {
      shown = shown.slice(0, unfinished.index);
      if (unfinished[0].length > MOST_UNFINISHED) shown += CANCEL;
      else this.#rest = unfinished[0];
    }
    for (const [, parameters] of shown.matchAll(COLOURS)) this.style.apply(parameters);
    return shown.replace(MARKS, "$1").replace(DIRECTIONS, (found) => `U+${found.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
  }

  #withoutStrings(text) {
    let shown = "";
    let at = 0;
    while (at < text.length) {
      const pattern = this.#inString ? STRING_END : STRING_BEGIN;
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (!this.#inString) shown += text.slice(at, match?.index);
      if (!match) break;
      at = match.index + match[0].length;
      if (!this.#inString) shown += CANCEL;
      if (this.#inString && match[0] === "\x1b") {
        if (at === text.length) {
          // A backslash may follow, which ends the string, too.
          this.#rest = "\x1b";
          break;
        }
        // Any other sequence ends the string and is shown.
        at = text[at] === "\\" ? at + 1 : match.index;
      }
      this.#inString = !this.#inString;
    }
    return shown;
  }
}

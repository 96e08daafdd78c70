// Convert terminal output to text: colours become classes, other escape sequences are removed, and
// control characters are replaced by visible symbols.

// In order: colour sequences, other escape sequences, line ends, control and bidi characters.
const TOKENS =
  /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -\/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -\/]*[0-~]|\r\n|\n|\r|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]/g;
// The start of a sequence that may continue in the next piece.
const UNFINISHED = /\x1b(?:\[[0-?]*[ -\/]*|[\]PX^_][^\x07\x1b]{0,200}\x1b?)?$|\r$/;

/** Parse the pieces of one stream, and keep its state between them. */
export class Terminal {
  constructor() {
    this.rest = "";
    this.classes = new Map();
  }

  /** Parse a piece. Call `out.text(text, classes)`, `out.newline()` and `out.restart()` in order. */
  write(piece, out) {
    let text = this.rest + piece;
    this.rest = UNFINISHED.exec(text)?.[0] ?? "";
    if (this.rest) text = text.slice(0, -this.rest.length);
    let at = 0;
    for (const match of text.matchAll(TOKENS)) {
      if (match.index > at) out.text(text.slice(at, match.index), this.className);
      at = match.index + match[0].length;
      if (match[0].endsWith("\n")) out.newline();
      else if (match[0] === "\r") out.restart();
      else if (match[1] !== undefined) this.#style(match[1]);
      else if (match[0].length === 1) out.text(visible(match[0]), "dim");
    }
    if (at < text.length) out.text(text.slice(at), this.className);
  }

  get className() {
    return [...this.classes.values()].join(" ");
  }

  #style(parameters) {
    const codes = parameters.split(/[;:]/).map(Number);
    for (let index = 0; index < codes.length; index += 1) {
      const code = codes[index];
      const style = { 1: "bold", 2: "dim", 3: "italic", 4: "underline" }[code];
      if (code === 0) this.classes.clear();
      else if (style) this.classes.set(style, style);
      else if (code === 22) ["bold", "dim"].forEach((each) => this.classes.delete(each));
      else if (code === 23) this.classes.delete("italic");
      else if (code === 24) this.classes.delete("underline");
      else if (code === 39) this.classes.delete("fg");
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) this.classes.set("fg", `fg${code % 10}`);
      // Skip 256-colour and RGB codes, for which tokens.css has no colours.
      else if (code === 38 || code === 48) index += codes[index + 1] === 5 ? 2 : 4;
    }
  }
}

function visible(character) {
  const code = character.charCodeAt(0);
  if (code === 0x7f) return "\u2421";
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : `U+${code.toString(16).toUpperCase()}`;
}

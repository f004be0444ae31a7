// What stands within a block of Markdown: code, emphasis, links, marks of citations.

import { make } from "./elements.js";

export const DEEPEST = 6;
// How far the end of a link or an emphasis is looked for: keeps hostile text linear.
const FARTHEST = 2000;

const SPECIAL = /[\\`*_~[!\n]|https?:\/\//g;
const MARK = /\[(\d{1,4})(\?)?\](?!\()/y;
const ADDRESS = /\(<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?\)/y;
const BARE = /https?:\/\/[^\s<>"'`\])}*]+/y;
const PUNCTUATION = /[!-/:-@[-`{-~]/;

export function inline(text, cite, depth = 0, inLink = false) {
  const into = document.createDocumentFragment();
  let at = 0;
  let plain = "";
  const put = (node) => {
    if (plain) into.append(plain);
    plain = "";
    into.append(node);
  };
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const found = SPECIAL.exec(text);
    const next = found ? found.index : text.length;
    plain += text.slice(at, next);
    at = next;
    if (!found) break;
    const token = depth > DEEPEST ? null : tokenAt(text, at, cite, depth, inLink);
    if (token?.node) put(token.node);
    else plain += token?.text ?? text[at];
    at = token?.end ?? at + 1;
  }
  if (plain) into.append(plain);
  return into;
}

function tokenAt(text, at, cite, depth, inLink) {
  const sign = text[at];
  if (sign === "\n") return { node: make("br"), end: at + 1 };
  if (sign === "\\") return PUNCTUATION.test(text[at + 1] ?? "") ? { text: text[at + 1], end: at + 2 } : null;
  if (sign === "`") return codeAt(text, at);
  if (sign === "h") return inLink ? null : bareLinkAt(text, at);
  if (sign === "[" || sign === "!") {
    if (inLink) return null;
    return (sign === "[" && cite && markAt(text, at, cite)) || linkAt(text, at, cite, depth);
  }
  return emphasisAt(text, at, cite, depth, inLink);
}

function codeAt(text, at) {
  const ticks = /`+/y;
  ticks.lastIndex = at;
  const [run] = ticks.exec(text);
  const start = at + run.length;
  const end = text.slice(start, start + FARTHEST).search(new RegExp(`(?<!\`)\`{${run.length}}(?!\`)`));
  if (run.length > 9 || end < 0) return { text: run, end: start };
  return { node: make("code", { dir: "ltr" }, text.slice(start, start + end)), end: start + end + run.length };
}

function markAt(text, at, cite) {
  MARK.lastIndex = at;
  const found = MARK.exec(text);
  if (!found) return null;
  // What ends the sentence must not begin a line of its own.
  const [after] = /^[.,;:!?)]{0,2}/.exec(text.slice(MARK.lastIndex, MARK.lastIndex + 2));
  const node = make("span", { class: "held" }, cite(Number(found[1]), Boolean(found[2])), after);
  return { node, end: MARK.lastIndex + after.length };
}

function linkAt(text, at, cite, depth) {
  const start = text[at] === "!" ? at + 1 : at;
  if (text[start] !== "[") return null;
  const close = closingBracket(text, start);
  if (close < 0) return null;
  ADDRESS.lastIndex = close + 1;
  const found = ADDRESS.exec(text);
  const address = found && webAddress(found[1]);
  if (!address) return null;
  const label = inline(text.slice(start + 1, close), null, depth + 1, true);
  return { node: link(address, label), end: ADDRESS.lastIndex };
}

function closingBracket(text, start) {
  let open = 0;
  for (let at = start; at < Math.min(text.length, start + FARTHEST); at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "[") open += 1;
    else if (text[at] === "]" && (open -= 1) === 0) return at;
  }
  return -1;
}

function bareLinkAt(text, at) {
  BARE.lastIndex = at;
  const address = BARE.exec(text)?.[0].replace(/[.,;:!?]+$/, "");
  return address && webAddress(address) ? { node: link(address, address), end: at + address.length } : null;
}

function link(address, label) {
  const attributes = { href: address, title: address, target: "_blank", rel: "noopener noreferrer nofollow" };
  return make("a", attributes, label);
}

/** Give the address if it leads to the web and hides nobody's name in it; else null. */
function webAddress(address) {
  try {
    const url = new URL(address);
    const isWeb = /^https?:\/\//i.test(address) && /^https?:$/.test(url.protocol);
    return isWeb && !url.username && !url.password ? address : null;
  } catch {
    return null;
  }
}

const WORD = /[\p{L}\p{N}_]/u;

function emphasisAt(text, at, cite, depth, inLink) {
  const sign = text[at];
  const marks = text[at + 1] === sign ? sign + sign : sign;
  if (sign === "!" || marks === "~") return null;
  const start = at + marks.length;
  const within = sign === "_" && WORD.test(text[at - 1] ?? "");
  if (within || /\s|^$/.test(text[start] ?? "")) return { text: marks, end: start };
  const end = closingMarks(text, start, marks);
  if (end < 0) return { text: marks, end: start };
  const tag = sign === "~" ? "del" : marks.length > 1 ? "strong" : "em";
  const inner = inline(text.slice(start, end), cite, depth + 1, inLink);
  return { node: make(tag, {}, inner), end: end + marks.length };
}

function closingMarks(text, start, marks) {
  const last = Math.min(text.length, start + FARTHEST);
  for (let at = start + 1; at < last; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text.startsWith(marks, at) && !/\s/.test(text[at - 1])) {
      const after = text[at + marks.length] ?? "";
      const isDouble = marks.length === 1 && after === marks;
      if (isDouble) at += 1;
      else if (marks[0] !== "_" || !WORD.test(after)) return at;
    }
  }
  return -1;
}

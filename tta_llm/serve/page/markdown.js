// Markdown to DOM nodes. Text becomes text nodes only: nothing is ever parsed as HTML.

import { clean, make } from "./elements.js";
import { DEEPEST, inline } from "./inline.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+|$)/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** Keeps an element showing a text that grows: only the blocks that changed are made anew. */
export class Markdown {
  /**
   * @param {HTMLElement} element
   * @param {(number: number, doubtful: boolean) => Node} cite what stands for a citation's mark
   */
  constructor(element, cite = null) {
    this.element = element;
    this.cite = cite;
    this.shown = [];
  }

  update(text) {
    const blocks = blocksOf(clean(text).split("\n"));
    let same = 0;
    while (same < this.shown.length && same < blocks.length
      && this.shown[same].source === sourceOf(blocks[same])) same += 1;
    for (const { node } of this.shown.splice(same)) node.remove();
    const added = blocks.slice(same).map((block) => (
      { source: sourceOf(block), node: nodeOf(block, this.cite, 0) }));
    this.element.append(...added.map(({ node }) => node));
    this.shown.push(...added);
  }
}

function sourceOf(block) {
  return `${block.kind}\n${block.lines.join("\n")}`;
}

// --------------------------------------------------------------------------------------- blocks

function blocksOf(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const kind = kindOf(lines, at);
    const end = ENDS[kind](lines, at);
    blocks.push({ kind, lines: lines.slice(at, end) });
    at = end;
  }
  return blocks;
}

function kindOf(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return "code";
  if (HEADING.test(line)) return "heading";
  if (RULE.test(line)) return "rule";
  if (QUOTE.test(line)) return "quote";
  if (ITEM.test(line)) return "list";
  if (line.includes("|") && (lines[at + 1] ?? "").includes("|") && TABLE_RULE.test(lines[at + 1])) return "table";
  return "paragraph";
}

const while_ = (test) => (lines, at) => {
  let end = at + 1;
  while (end < lines.length && test(lines, end)) end += 1;
  return end;
};

const ENDS = {
  heading: (_, at) => at + 1,
  rule: (_, at) => at + 1,
  quote: while_((lines, at) => QUOTE.test(lines[at])),
  table: while_((lines, at) => lines[at].includes("|")),
  paragraph: while_((lines, at) => lines[at].trim() && kindOf(lines, at) === "paragraph"),
  list: endOfList,
  code: endOfCode,
};

function endOfCode(lines, at) {
  const fence = FENCE.exec(lines[at])[1];
  for (let end = at + 1; end < lines.length; end += 1) {
    const line = lines[end].trim();
    if (line.startsWith(fence) && !line.replaceAll(fence[0], "")) return end + 1;
  }
  return lines.length;
}

function endOfList(lines, at) {
  let end = at + 1;
  while (end < lines.length) {
    const line = lines[end];
    const goesOn = ITEM.test(line) || /^\s{2,}\S/.test(line);
    const isText = line.trim() && kindOf(lines, end) === "paragraph" && lines[end - 1].trim();
    const next = lines[end + 1] ?? "";
    const blankWithin = !line.trim() && (ITEM.test(next) || /^\s{2,}\S/.test(next));
    if (!(goesOn || isText || blankWithin) || (RULE.test(line) && !goesOn)) break;
    end += 1;
  }
  return end;
}

function nodeOf({ kind, lines }, cite, depth) {
  if (depth > DEEPEST) return make("p", { dir: "auto" }, lines.join("\n"));
  return NODES[kind](lines, cite, depth);
}

const NODES = {
  rule: () => make("hr"),
  paragraph: (lines, cite) => make("p", { dir: "auto" }, inline(lines.join("\n"), cite)),
  heading: ([line], cite) => {
    const [, marks, text] = HEADING.exec(line);
    // The page has the first two levels.
    return make(`h${Math.min(6, marks.length + 2)}`, { dir: "auto" }, inline(text, cite));
  },
  quote: (lines, cite, depth) => {
    const inner = blocksOf(lines.map((line) => line.replace(QUOTE, "")));
    return make("blockquote", { dir: "auto" }, ...inner.map((block) => nodeOf(block, cite, depth + 1)));
  },
  code: ([first, ...rest]) => {
    const [, fence, language] = FENCE.exec(first);
    const isClosed = rest.length && rest.at(-1).trim().startsWith(fence) && !rest.at(-1).trim().replaceAll(fence[0], "");
    const code = make("code", {}, (isClosed ? rest.slice(0, -1) : rest).join("\n"));
    const label = language.trim() ? [make("span", { class: "language" }, language.trim())] : [];
    return make("div", { class: "code" }, ...label, make("pre", { dir: "ltr", tabindex: "0" }, code));
  },
  list: listNode,
  table: tableNode,
};

function listNode(lines, cite, depth) {
  const [, indent, bullet] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(bullet);
  const list = make(ordered ? "ol" : "ul", ordered ? { start: String(parseInt(bullet, 10)) } : {});
  const items = [];
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (found && (found[1].length <= indent.length + 1 || !items.length)) {
      items.push({ width: found[1].length + found[2].length + 1, lines: [line.slice(found[0].length)] });
    } else {
      const { width, lines: own } = items.at(-1);
      own.push(line.slice(Math.min(width, line.length - line.trimStart().length)));
    }
  }
  for (const item of items) {
    const inner = blocksOf(item.lines);
    const [first] = inner;
    // An item of one line is text, not a paragraph in an item.
    const nodes = first?.kind === "paragraph"
      ? [inline(first.lines.join("\n"), cite), ...inner.slice(1).map((block) => nodeOf(block, cite, depth + 1))]
      : inner.map((block) => nodeOf(block, cite, depth + 1));
    list.append(make("li", { dir: "auto" }, ...nodes));
  }
  return list;
}

function tableNode([head, , ...rows], cite) {
  const row = (line, tag) => make("tr", {}, ...cellsOf(line).map((cell) => (
    make(tag, { dir: "auto", ...(tag === "th" ? { scope: "col" } : {}) }, inline(cell, cite)))));
  const table = make("table", {}, make("thead", {}, row(head, "th")), make("tbody", {}, ...rows.map((line) => row(line, "td"))));
  return make("div", { class: "table", tabindex: "0" }, table);
}

function cellsOf(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

// Elements made of text nodes, and text without what hides or turns it.

// Controls (terminals' escapes among them) and marks that turn the direction of what follows.
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]/g;

export function clean(text) {
  return String(text ?? "").replace(/\r\n?/g, "\n").replace(HIDDEN, "");
}

/** Make an element of text and nodes. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

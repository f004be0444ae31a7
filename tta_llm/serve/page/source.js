// The panel that shows what a citation rests on.

import { clean } from "./elements.js";
import { Markdown } from "./markdown.js";

const dialog = document.getElementById("source");
const part = (name) => dialog.querySelector(name);

/** Show the source of this number; the browser gives the focus back when it is closed. */
export function openSource(number, citations) {
  const [first] = citations;
  part("#source-title").textContent = `${number} · ${first ? clean(first.title || first.path) : "Source"}`;
  const headings = (first?.headings ?? []).map(clean).join(" › ");
  part(".place").textContent = [clean(first?.location), headings].filter(Boolean).join(" · ");
  part(".quote").textContent = clean(citations.map((each) => each.quote).filter((each, at, all) => all.indexOf(each) === at).join("\n\n…\n\n"));
  part(".quote").hidden = !first;
  part(".claim").replaceChildren();
  if (first?.claim) new Markdown(part(".claim")).update(`Cited for: ${first.claim}`);
  const problem = citations.map((each) => each.problem).filter(Boolean).join("; ");
  part(".problem").hidden = Boolean(first) && !problem;
  part(".problem").textContent = first ? `Does not support the sentence: ${clean(problem)}` : "The server has told nothing of this source.";
  dialog.showModal();
}

/** Close a dialog by its button, and by a click beside it. */
export function closable(element) {
  element.addEventListener("click", (event) => {
    if (event.target === element || event.target.closest(".close")) element.close();
  });
}

closable(dialog);

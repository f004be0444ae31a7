// A question and its answer on the page.

import { clean, make } from "./elements.js";
import { Markdown } from "./markdown.js";
import { openSource } from "./source.js";

const words = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

const KINDS = {
  ConnectionFailedError: "the connection failed",
  OverloadedError: "overloaded",
  RateLimitError: "too many requests",
  RateLimitExceededError: "too many requests",
  ServerError: "a fault of the provider",
  ProviderTimeoutError: "it took too long",
  CircuitOpenError: "it failed before and rests",
  AnswerRejectedError: "its answer would not do",
};
const plain = (reason) => KINDS[reason] ?? reason;

export class Turn {
  constructor(question, onRetry = null, onDecide = null) {
    Object.assign(this, { onRetry, onDecide });
    this.text = "";
    this.citations = new Map();
    this.tools = new Map();
    this.frame = 0;
    this.build(question);
  }

  build(question) {
    this.steps = make("ul", { class: "steps", "aria-label": "Steps" });
    this.news = make("div", { class: "news" });
    this.body = make("div", { class: "answer", dir: "auto" });
    this.end = make("div", { class: "end" });
    this.working = make("p", { class: "working" }, make("span", { class: "dots", "aria-hidden": "true" }), "Working on it");
    this.answer = make("section", { class: "reply", "aria-label": "Answer", "aria-busy": "true" },
      this.steps, this.news, this.body, this.working, this.end);
    this.element = make("article", { class: "turn" },
      make("h2", { class: "hidden" }, "You asked"),
      make("div", { class: "question", dir: "auto" }, clean(question)), this.answer);
    this.markdown = new Markdown(this.body, (number, doubtful) => this.mark(number, doubtful));
  }

  // -------------------------------------------------------------------------- while it arrives

  take({ name, data }) {
    const taken = TAKES[name];
    if (taken) taken(this, data);
  }

  /** Show the text so far, at most once a frame and less often when showing takes long. */
  later() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      const begun = performance.now();
      this.show();
      const took = performance.now() - begun;
      if (took > 12) {
        this.frame = -1;
        setTimeout(() => {
          this.frame = 0;
          if (this.stale) this.later();
        }, took * 4);
      }
    });
    this.stale = false;
  }

  changed() {
    this.stale = true;
    this.later();
  }

  show() {
    if (this.frame > 0) cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.stale = false;
    this.markdown.update(this.text);
    this.working.hidden = Boolean(this.text) || this.ended;
    this.element.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
  }

  mark(number, doubtful) {
    const button = make("button", { type: "button", class: "cite", "data-number": String(number) }, String(number), doubtful ? "?" : "");
    if (doubtful) button.dataset.doubtful = "";
    button.addEventListener("click", () => openSource(number, this.behind(button)));
    this.label(button);
    return button;
  }

  /** Give what a mark rests on: the same number may hold for one sentence and not for another. */
  behind(button) {
    const known = this.citations.get(Number(button.dataset.number)) ?? [];
    const own = known.filter(({ problem }) => Boolean(problem) === "doubtful" in button.dataset);
    return own.length ? own : known;
  }

  label(button) {
    const [first] = this.behind(button);
    const doubt = "doubtful" in button.dataset || first?.problem;
    button.classList.toggle("doubtful", Boolean(doubt));
    const about = first ? `: ${clean(first.title || first.path)}` : "";
    button.setAttribute("aria-label", `Source ${button.dataset.number}${about}${doubt ? ", does not support this" : ""}`);
  }

  cite(citation) {
    const known = this.citations.get(citation.number) ?? [];
    if (!known.some((each) => each.quote === citation.quote && each.claim === citation.claim)) known.push(citation);
    this.citations.set(citation.number, known);
    for (const button of this.body.querySelectorAll(`button.cite[data-number="${Number(citation.number)}"]`)) this.label(button);
  }

  restart({ choice, reason }) {
    const taken = this.text;
    this.tookBack = this.tookBack || Boolean(taken);
    this.text = "";
    this.citations.clear();
    this.changed();
    const lead = taken ? "The text so far was taken back" : "The answer began anew";
    this.tell(`${lead} (${plain(reason)}). ${choice ? `${choice} answers now.` : ""}`);
  }

  tell(text, kind = "") {
    this.news.append(make("p", { class: `notice ${kind}`, dir: "auto" }, clean(text)));
  }

  tool(call) {
    let step = this.tools.get(call.id);
    if (!step) {
      step = make("li", { dir: "auto" });
      this.tools.set(call.id, step);
      this.steps.append(step);
      if (call.arguments && Object.keys(call.arguments).length) {
        step.append(make("details", {}, make("summary", {}, ""), make("pre", { dir: "ltr", tabindex: "0" }, clean(JSON.stringify(call.arguments, null, 2)))));
      }
    }
    const state = call.state === "started" ? "running" : call.is_error ? "failed" : "done";
    step.className = state;
    const time = typeof call.seconds === "number" ? `, ${call.seconds.toFixed(1)} s` : "";
    const line = make("span", { class: "line" }, make("bdi", {}, clean(call.name)), ` · ${state}${time}`);
    const place = step.querySelector("summary") ?? step;
    place.replaceChildren(line);
    this.changed();
  }

  // --------------------------------------------------------------------------------- its end

  finish(end) {
    if (typeof end.text === "string") this.text = end.text;
    this.citations.clear();
    for (const citation of end.citations ?? []) this.cite(citation);
    this.close();
    this.tellOutage(end);
    for (const note of end.notes ?? []) this.end.append(make("p", { class: "note", dir: "auto" }, clean(note)));
    if (end.stopped_by && end.stopped_by !== "confirmation") this.end.append(make("p", { class: "note" }, `Ended by its limit: ${clean(end.stopped_by)}.`));
    if (end.finish_reason === "length") this.end.append(make("p", { class: "note" }, "The answer was cut off at its longest length."));
    this.pend(end.pending ?? [], end.run_id);
    this.end.append(this.figures(end));
  }

  tellOutage({ failed_attempts: failed = [], provider, model }) {
    if (!failed.length) return;
    // It says what the notes of the restarts said.
    this.news.replaceChildren();
    const who = failed.map(({ choice, reason }) => `${choice} did not answer (${plain(reason)})`).join("; ");
    const back = this.tookBack ? " The text so far was taken back." : "";
    this.tell(`${who}; ${provider}:${model} answered.${back}`);
  }

  pend(calls, run) {
    if (!calls.length) return;
    const decisions = {};
    const listed = calls.map((call) => make("li", {}, make("bdi", { class: "name" }, clean(call.name)),
      make("pre", { dir: "ltr", tabindex: "0" }, clean(JSON.stringify(call.arguments, null, 2))),
      ...(run ? [this.choices(call, (word) => {
        decisions[call.id] = word;
        return calls.every(({ id }) => id in decisions) ? this.decide(calls, decisions, run) : true;
      })] : [])));
    this.end.append(make("section", { class: "pending", "aria-label": "Waiting for confirmation" },
      make("p", {}, "Waits for confirmation; nothing of this was done:"), make("ul", {}, ...listed)));
  }

  choices(call, choose) {
    const buttons = [["Allow", true], ["Refuse", false]].map(([label, word]) => {
      const button = make("button", { type: "button", class: "quiet", "aria-label": clean(`${label} ${call.name} ${JSON.stringify(call.arguments)}`.slice(0, 150)), "aria-pressed": "false" }, label);
      button.addEventListener("click", () => {
        if (choose(word)) for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      });
      return button;
    });
    return make("div", { class: "word" }, ...buttons);
  }

  /** Send the word on all calls, once. */
  decide(calls, decisions, run) {
    const told = calls.map(({ id, name }) => `${decisions[id] ? "Allow" : "Refuse"} ${name}`).join(", ");
    if (!this.onDecide(`${told}.`, { run_id: run, decisions })) return false;
    for (const button of this.end.querySelectorAll(".word button")) button.disabled = true;
    return true;
  }

  figures(end) {
    const { input_tokens: read = 0, output_tokens: written = 0 } = end.usage ?? {};
    const cost = typeof end.cost_usd === "number" ? `$${end.cost_usd === 0 ? "0" : end.cost_usd.toPrecision(2)}` : "cost unknown";
    const seconds = typeof end.seconds === "number" ? `${end.seconds.toFixed(1)} s` : "";
    const told = [`${end.provider}:${end.model}`, seconds, read + written ? words(read + written, "token") : "", cost].filter(Boolean);
    const copy = make("button", { type: "button", class: "quiet copy" }, "Copy");
    copy.addEventListener("click", () => this.copy(copy));
    return make("div", { class: "figures" }, make("p", { dir: "auto" }, clean(told.join(" · "))), copy);
  }

  async copy(button) {
    try {
      await navigator.clipboard.writeText(this.text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Can't copy";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  /** End without figures: it was stopped, or comes from an earlier visit. */
  close(note = "") {
    this.ended = true;
    this.answer.removeAttribute("aria-busy");
    this.show();
    if (note) this.end.append(make("p", { class: "note" }, note));
  }

  fail(trouble) {
    this.close();
    const retry = make("button", { type: "button", class: "quiet" }, "Try again");
    retry.addEventListener("click", () => this.onRetry());
    this.end.append(make("div", { class: "trouble" }, make("p", { dir: "auto" }, clean(trouble.message)), retry));
  }
}

const TAKES = {
  text: (turn, { text }) => {
    turn.text += text;
    turn.changed();
  },
  restart: (turn, data) => turn.restart(data),
  citation: (turn, data) => turn.cite(data),
  tool: (turn, data) => turn.tool(data),
  done: (turn, data) => turn.finish(data),
};

// The conversation: asking, stopping, beginning anew, and coming back to it.

import { clean } from "./elements.js";
import { Trouble, ask, erase, history, identifier, keyring, stored } from "./server.js";
import { closable } from "./source.js";
import { Turn } from "./turn.js";

const $ = (id) => document.getElementById(id);
const SESSION = `tta-session:${new URL(".", document.baseURI).pathname}`;
const SAID = `tta-said:${new URL(".", document.baseURI).pathname}`;
const MOST_KEPT = 40;

let session = stored(() => sessionStorage.getItem(SESSION)) || null;
// What was said, for a server that keeps no conversations.
let said = stored(() => JSON.parse(sessionStorage.getItem(SAID))) ?? [];
// Whether the server keeps them: true, false, or null as long as that is not known.
let kept = null;
let oneText = false;
let running = null;

// ------------------------------------------------------------------------------------- asking

/** Ask a question; or, with `word`, go on with a run: {run_id, decisions}. */
async function send(question, { old = null, word = null } = {}) {
  const turn = new Turn(question, () => send(question, { old: turn, word }), decide);
  if (old) old.element.replaceWith(turn.element);
  else $("turns").append(turn.element);
  stick = true;
  const stop = new AbortController();
  running = stop;
  busy(true);
  announce("Working on the answer.");
  turn.show();
  try {
    await answered(turn, question, word, stop.signal);
  } catch (error) {
    ended(turn, error, stop.signal);
  } finally {
    // A conversation begun meanwhile has its own.
    if (running === stop) {
      running = null;
      busy(false);
    }
  }
}

/** Send a person's word on what an agent wants to do. */
function decide(words, word) {
  if (running) return false;
  send(words, { word });
  $("question").focus();
  return true;
}

async function answered(turn, question, word, signal) {
  session ??= identifier();
  stored(() => sessionStorage.setItem(SESSION, session));
  const mine = session;
  const body = { session_id: mine, ...(word ? { decisions: word.decisions } : { input: inputOf(question) }) };
  const path = word ? `runs/${encodeURIComponent(word.run_id)}` : "run";
  for await (const event of ask(path, body, signal)) turn.take(event);
  if (session !== mine) return;
  announce(spoken(turn.body.innerText));
  said = [...said, { role: "user", content: question }, { role: "assistant", content: turn.text }].slice(-MOST_KEPT);
  kept ??= await history(mine).then((turns) => turns !== null, () => null);
  if (kept) said = [];
  stored(() => sessionStorage.setItem(SAID, JSON.stringify(said)));
}

function inputOf(question) {
  const alone = kept || oneText || !said.length;
  return alone ? question : { messages: [...said, { role: "user", content: question }] };
}

function ended(turn, error, signal) {
  if (signal.aborted) {
    turn.close("You stopped this answer.");
    announce("Stopped.");
    return;
  }
  if (error.code === "one_text" && !oneText) {
    oneText = true;
    turn.onRetry();
    return;
  }
  const trouble = error instanceof Trouble ? error : new Trouble("The page could not show the answer.");
  if (!(error instanceof Trouble)) console.error(error);
  turn.fail(trouble);
  announce(trouble.message);
  if (trouble.status === 401) unlock(turn.onRetry);
}

function unlock(goOn) {
  const wrong = Boolean(keyring.get());
  keyring.forget();
  $("unlock-title").textContent = wrong ? "The server did not take this key" : "This server needs a key";
  $("key").value = "";
  $("unlock").showModal();
  $("unlock").querySelector("form").onsubmit = () => {
    keyring.set($("key").value.trim());
    setTimeout(goOn);
  };
}

// ---------------------------------------------------------------------- a conversation's life

async function restore() {
  if (!session) return;
  try {
    const turns = await history(session);
    kept = turns !== null || (said.length ? false : null);
    show(turns ?? [{ status: "finished", messages: said.map(({ role, content }) => ({ role, text: content })) }]);
  } catch (error) {
    if (error.status === 401) {
      unlock(restore);
      return;
    }
    announce("The conversation so far can't be shown.");
  }
}

function show(turns) {
  $("turns").replaceChildren();
  for (const { status, messages } of turns) {
    let turn = null;
    for (const { role, text } of messages) {
      if (role === "user") {
        turn = new Turn(text);
        $("turns").append(turn.element);
      } else if (role === "assistant" && text && turn) {
        turn.text += (turn.text ? "\n\n" : "") + text;
      }
      turn?.close();
    }
    if (status !== "finished") turn?.close("This answer was not finished.");
  }
  busy(false);
  toLatest();
}

function begin() {
  running?.abort();
  running = null;
  session = null;
  said = [];
  kept = null;
  stored(() => sessionStorage.removeItem(SESSION));
  stored(() => sessionStorage.removeItem(SAID));
  $("turns").replaceChildren();
  busy(false);
  announce("A new conversation.");
  $("question").focus();
}

async function remove() {
  if ($("sure").returnValue !== "yes" || !session) return;
  running?.abort();
  try {
    await erase(session);
    begin();
    announce("The conversation is deleted.");
  } catch (error) {
    announce(error.message);
    showTrouble(error.message);
  }
}

function showTrouble(message) {
  const place = document.createElement("p");
  place.className = "notice trouble";
  place.textContent = `The conversation is not deleted. ${clean(message)}`;
  $("turns").append(place);
  toLatest();
}

// ------------------------------------------------------------------------------------- around

function busy(is) {
  const isEmpty = !$("turns").childElementCount;
  $("welcome").hidden = !isEmpty;
  $("erase").hidden = isEmpty;
  const hadFocus = [$("send"), $("stop")].includes(document.activeElement);
  $("send").hidden = is;
  $("stop").hidden = !is;
  if (hadFocus) (is ? $("stop") : $("question")).focus();
}

function announce(text) {
  $("status").textContent = text;
}

/** What a screen reader says of an answer: all of it, or of a long one how long it is. */
function spoken(text) {
  if (text.length <= 600) return `The answer: ${text}`;
  return `The answer is there: ${text.trim().split(/\s+/).length} words.`;
}

let stick = true;
const scroller = $("scroller");

function toLatest() {
  scroller.scrollTop = scroller.scrollHeight;
}

scroller.addEventListener("scroll", () => {
  stick = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
  $("latest").hidden = stick;
}, { passive: true });
scroller.addEventListener("grown", () => {
  if (stick) toLatest();
  else $("latest").hidden = false;
});
$("latest").addEventListener("click", () => {
  stick = true;
  toLatest();
  $("question").focus();
});

$("question").addEventListener("keydown", (event) => {
  // While letters are being composed, Enter belongs to the input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $("asking").requestSubmit();
});
$("question").addEventListener("input", fit);

function fit() {
  const box = $("question");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
}

$("asking").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question || running) return;
  $("question").value = "";
  fit();
  send(question);
});
$("stop").addEventListener("click", () => running?.abort());
$("begin").addEventListener("click", begin);
$("erase").addEventListener("click", () => {
  $("sure").returnValue = "no";
  $("sure").showModal();
});
$("sure").addEventListener("close", remove);
closable($("unlock"));
$("question").focus();
restore();

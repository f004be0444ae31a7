// Talks to the server, and says in plain sentences what went wrong.

const KEY = "tta-key";

export class Trouble extends Error {
  constructor(message, { code = "", status = 0, retryable = true } = {}) {
    super(message);
    Object.assign(this, { code, status, retryable });
  }
}

export const keyring = {
  get: () => stored(() => sessionStorage.getItem(KEY)) || "",
  set: (key) => stored(() => sessionStorage.setItem(KEY, key)),
  forget: () => stored(() => sessionStorage.removeItem(KEY)),
};

/** Do something with a storage that the browser may have switched off. */
export function stored(action) {
  try {
    return action();
  } catch {
    return null;
  }
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (keyring.get()) headers.authorization = `Bearer ${keyring.get()}`;
  let response;
  try {
    // Relative to the page, which may stand under a path of its own.
    response = await fetch(new URL(path, document.baseURI), { ...options, headers, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const why = navigator.onLine ? "The server can't be reached." : "You are offline.";
    throw new Trouble(`${why} Try again when the connection is back.`);
  }
  if (!response.ok) throw await troubleOf(response);
  return response;
}

async function troubleOf(response) {
  const { status } = response;
  const { error = {} } = await response.json().catch(() => ({})) ?? {};
  const wait = Number(response.headers.get("retry-after"));
  const told = error?.message || `The server answered with status ${status}.`;
  const hint = wait > 0 ? ` Try again in ${wait} s.` : "";
  return new Trouble(told + hint, { code: error?.code ?? "", status, retryable: status >= 500 || status === 429 || status === 408 });
}

/** Send what is asked, or a word on a run, and yield each event as {name, data}. */
export async function* ask(path, body, signal) {
  const response = await request(path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify(body),
    signal,
  });
  let isWhole = false;
  try {
    for await (const event of events(response.body)) {
      if (event.name === "error") {
        throw new Trouble(event.data.message || "The answer failed.", { ...event.data, code: event.data.type });
      }
      isWhole = isWhole || event.name === "done";
      yield event;
    }
  } catch (error) {
    if (error instanceof Trouble || signal.aborted) throw error;
  }
  if (!isWhole) throw new Trouble("The connection was lost before the answer was whole.", { code: "lost" });
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const lines = block.split("\n");
  const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
  const data = field("data").join("\n");
  return data ? { name: field("event")[0] ?? "message", data: JSON.parse(data) } : null;
}

/** Give the turns of a conversation; null when the server keeps none of it. */
export async function history(sessionId) {
  try {
    const response = await request(`sessions/${encodeURIComponent(sessionId)}`);
    return (await response.json()).turns;
  } catch (error) {
    if (error instanceof Trouble && (error.status === 404 || error.status === 405)) return null;
    throw error;
  }
}

export async function erase(sessionId) {
  try {
    await request(`sessions/${encodeURIComponent(sessionId)}`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof Trouble) || (error.status !== 404 && error.status !== 405)) throw error;
  }
}

/** Give a name for a new conversation. */
export function identifier() {
  // Not randomUUID: a page that came without TLS has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

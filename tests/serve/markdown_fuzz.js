async (seed) => {
  const { Markdown } = await import(new URL("page/markdown.js", document.baseURI));
  const { clean } = await import(new URL("page/elements.js", document.baseURI));
  let state = seed;
  const random = (below) => (state = (state * 1103515245 + 12345) % 2147483648) % below;
  const parts = [
    "*", "**", "_", "`", "```\n", "~~", "[", "](", ")", "!", "|", "\n", "\n\n", "# ",
    "- ", "  ", "1. ", "> ", "https://a.b/", "<b>", "\\", "[1]", "[2?]", "|--|\n", "word", "é", "語", "x "];
  const letters = (text) => (text.match(/\p{L}/gu) ?? []).join("");
  for (let round = 0; round < 1500; round += 1) {
    const text = Array.from({ length: random(60) }, () => parts[random(parts.length)]).join("");
    const element = document.createElement("div");
    const markdown = new Markdown(element, (number) => document.createTextNode(`[${number}]`));
    for (let end = 0; end < text.length; end += 9) markdown.update(text.slice(0, end));
    markdown.update(text);
    const whole = document.createElement("div");
    new Markdown(whole, (number) => document.createTextNode(`[${number}]`)).update(text);
    if (whole.innerHTML !== element.innerHTML) return ["streamed otherwise", text];
    for (const link of element.querySelectorAll("a")) {
      if (link.textContent !== link.getAttribute("href")) link.append(link.getAttribute("href"));
    }
    if (letters(element.textContent) !== letters(clean(text))) return ["lost", text, element.innerHTML];
  }
  return null;
}

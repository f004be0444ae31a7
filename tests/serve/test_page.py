"""The chat page in a real browser, before a real server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.scripted import TAG, Scripted, serving
from tta_llm import step
from tta_llm.agents import Agent, Conversation, tool
from tta_llm.messages import ToolCall, assistant
from tta_llm.performance import MemoryStore
from tta_llm.serve import KeyRing, ServeSettings
from tta_llm.testing import FakeChatModel

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser")
expect = playwright.expect
CHROMIUM = shutil.which("chromium")
ARTEFACTS = Path(__file__).parents[2] / ".cache" / "artefacts"
OPEN = ServeSettings(insecure=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture
def no_thread_left() -> None:
    """The server of this module keeps its threads for the next test; its end waits for them."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def workflow() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def url(workflow: Scripted) -> Iterator[str]:
    with serving(workflow, OPEN) as (url, _):
        yield url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    with opened(browser, url) as (page, trouble):
        yield page
        assert trouble == []


class opened:  # noqa: N801  # reads as a sentence
    """A page, and all that it should not have done: errors, dialogs, requests to elsewhere."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context, self.url = browser.new_context(**options), url

    def __enter__(self) -> tuple[Any, list[str]]:
        page, trouble = self.context.new_page(), []
        page.on("console", lambda told: trouble.append(told.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.on("request", lambda sent: trouble.extend(self._elsewhere(sent.url)))
        page.goto(self.url)
        return page, trouble

    def _elsewhere(self, address: str) -> list[str]:
        return [] if address.startswith((self.url, "data:,")) else [address]

    def __exit__(self, *_: object) -> None:
        self.context.close()


def ask(page: Any, question: str) -> Any:
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    return page.get_by_role("article").last


def done(turn: Any) -> Any:
    expect(turn.get_by_role("button", name="Copy")).to_be_visible(timeout=20_000)
    return turn


def survived(page: Any) -> Any:
    turn = ask(page, "sun is missing: how long does the battery last, and what does it cost?")
    expect(turn.locator(".notice").first).to_contain_text("taken back", timeout=20_000)
    return done(turn)


def test_a_question_is_answered_through_an_outage_and_a_citation_opens(page: Any) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    in_each_look(page, "chat-empty")
    turn = survived(page)
    expect(turn).to_contain_text("openai:first did not answer")
    expect(turn).to_contain_text("anthropic:second")
    assert turn.locator(".answer strong").inner_text() == "40 days"
    in_each_look(page, "chat")
    mark = turn.get_by_role("button", name="Source 1").first
    mark.click()
    panel = page.get_by_role("dialog")
    expect(panel.locator(".quote")).to_contain_text("A full battery lasts 40 days")
    expect(panel).to_contain_text("1.md")
    in_each_look(page, "chat-source")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(mark).to_be_focused()


def in_each_look(page: Any, name: str) -> None:
    """Keep pictures of the page, light and dark, wide and narrow; nothing may be wider than it."""
    for scheme in ("light", "dark"):
        for width in (360, 1280):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=ARTEFACTS / f"{name}-{scheme}-{width}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_citation_that_does_not_hold_says_so(page: Any) -> None:
    turn = survived(page)
    turn.get_by_role("button", name=re.compile("Source 2.*does not support")).click()
    problem = page.get_by_role("dialog").locator(".problem")
    expect(problem).to_contain_text("does not say “50”")
    page.keyboard.press("Escape")
    turn.get_by_role("button", name="Source 2: Handbook", exact=True).click()
    expect(problem).to_be_hidden()


def test_nothing_in_an_answer_its_citations_or_tools_runs_or_loads(page: Any) -> None:
    turn = done(ask(page, "evil"))
    assert page.evaluate("window.hit") is None
    assert turn.locator("script, img, iframe, svg, [onerror], [onmouseover], [style]").count() == 0
    addresses = turn.locator("a").evaluate_all("all => all.map((each) => each.href)")
    assert addresses
    assert all(each.startswith("https://evil.example/") for each in addresses)
    rels = turn.locator("a").evaluate_all("all => all.map((each) => each.rel)")
    assert all("noopener" in each for each in rels)
    told = turn.inner_text()
    assert "<script>window.hit = 1</script>" in told
    assert TAG in turn.locator(".steps").inner_text()
    assert "\u202e" not in told
    assert "\x1b" not in told
    turn.get_by_role("button", name="Source 1").first.click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_contain_text(TAG)
    assert page.get_by_role("dialog").locator("img").count() == 0
    assert page.evaluate("window.hit") is None


def test_all_can_be_done_by_keyboard(page: Any) -> None:
    page.keyboard.type("sun")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("battery?")
    assert page.get_by_label("Your question").input_value() == "sun\nbattery?"
    page.get_by_label("Your question").fill("")
    page.keyboard.type("sun battery?")
    page.keyboard.press("Enter")
    done(page.get_by_role("article").last)
    expect(page.get_by_label("Your question")).to_be_focused()
    reached = []
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        if reached[-1] == "1":
            break
    assert reached[-1] == "1", reached
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "1"


def test_enter_that_ends_a_composition_does_not_send(page: Any) -> None:
    box = page.get_by_label("Your question")
    box.fill("にほん")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    assert box.input_value() == "にほん"
    assert page.get_by_role("article").count() == 0


def test_stop_ends_the_answer_here_and_on_the_server(page: Any, workflow: Scripted) -> None:
    before = workflow.closed
    turn = ask(page, "slow")
    expect(turn.locator(".answer")).to_contain_text("that is so.")
    page.get_by_role("button", name="Stop").click()
    expect(turn).to_contain_text("You stopped this answer.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    for _ in range(100):
        if workflow.closed > before:
            break
        page.wait_for_timeout(50)
    assert workflow.closed == before + 1


def test_a_reload_brings_the_conversation_back_and_deleting_forgets_it(page: Any) -> None:
    done(ask(page, "well?"))
    page.reload()
    expect(page.get_by_role("article")).to_contain_text("Well, that is so.")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("article")).to_have_count(1)
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    page.reload()
    expect(page.get_by_role("article")).to_have_count(0)


def test_a_new_conversation_begins_empty_while_an_answer_runs(page: Any) -> None:
    ask(page, "slow")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("article")).to_have_count(0)
    done(ask(page, "well?"))
    expect(page.get_by_role("article")).to_have_count(1)


def test_a_long_answer_leaves_the_page_alive_and_the_reader_where_they_scrolled(page: Any) -> None:
    ask(page, "long")
    expect(page.get_by_role("article")).to_contain_text("word3000 ", timeout=60_000)
    page.locator("main").evaluate("main => { main.scrollTop = 100; }")
    done(page.get_by_role("article"))
    expect(page.get_by_role("article")).to_contain_text("word9999")
    assert page.locator("main").evaluate("main => main.scrollTop") == 100
    page.get_by_role("button", name="Latest").click()
    left = "main => main.scrollHeight - main.scrollTop - main.clientHeight"
    assert page.locator("main").evaluate(left) < 40


def test_the_status_tells_the_answer_once_and_no_log_reads_it_word_by_word(page: Any) -> None:
    done(ask(page, "well?"))
    expect(page.get_by_role("status")).to_have_text("The answer: Well, that is so.")
    assert page.get_by_role("log").get_attribute("aria-live") == "off"


def test_a_key_is_asked_for_kept_in_the_tab_and_used(browser: Any) -> None:
    settings = ServeSettings(keys=KeyRing({"acme": "a-long-random-string"}))
    with serving(Scripted(), settings) as (url, _), opened(browser, url) as (page, trouble):
        ask(page, "well?")
        page.get_by_role("dialog").get_by_label("Key").fill("another")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="did not take this key")).to_be_visible()
        page.get_by_role("dialog").get_by_label("Key").fill("a-long-random-string")
        page.keyboard.press("Enter")
        done(page.get_by_role("article"))
        assert page.evaluate("Object.values(sessionStorage)").count("a-long-random-string") == 1
        assert page.evaluate("localStorage.length") == 0
        assert all("401" in each for each in trouble), trouble


def test_a_page_under_a_path_sends_along_what_its_server_does_not_remember(browser: Any) -> None:
    model = FakeChatModel(["Paris.", "Rome."])
    with serving(model, OPEN, under="/some/bots") as (url, _), opened(browser, url) as (page, _):
        done(ask(page, "Capital of France?"))
        done(ask(page, "And of Italy?"))
        assert [each.text for each in model.calls[1].messages] == [
            *("Capital of France?", "Paris.", "And of Italy?")
        ]
        page.reload()
        expect(page.get_by_role("article").last).to_contain_text("Rome.")
        expect(page.get_by_role("article")).to_have_count(2)


def test_a_workflow_that_takes_one_text_is_asked_the_last_question_alone(browser: Any) -> None:
    @step
    def shout(text: str) -> str:
        return f"{text.upper()}!"

    with serving(shout, OPEN) as (url, _), opened(browser, url) as (page, _):
        done(ask(page, "one"))
        done(ask(page, "two"))
        expect(page.get_by_role("article").last.locator(".answer")).to_have_text("TWO!")


def test_a_call_that_waits_is_allowed_by_keyboard_and_its_answer_comes(browser: Any) -> None:
    done_with: list[int] = []

    @tool(confirm=True)
    def refund(order: int) -> str:
        """Pay an order back."""
        done_with.append(order)
        return "paid back"

    calls = [ToolCall(str(order), "refund", {"order": order}) for order in (7, 8)]
    model = FakeChatModel([assistant(calls), "One is **paid back**."])
    agent = Conversation(Agent(model, [refund], checkpoints=MemoryStore()))
    with serving(agent, OPEN) as (url, _), opened(browser, url) as (page, trouble):
        done(ask(page, "Refund both."))
        turn = page.get_by_role("article").first
        buttons = turn.get_by_role("region", name="Waiting for").get_by_role("button")
        expect(buttons).to_have_count(4)
        expect(turn).not_to_contain_text("limit")
        expect(turn.get_by_role("button", name='Refuse refund {"order":8}')).to_have_count(1)
        buttons.first.focus()
        page.keyboard.press("Enter")
        expect(buttons.first).to_have_attribute("aria-pressed", "true")
        for _ in range(4):  # the arguments can be scrolled by keys, so that they are reached, too
            page.keyboard.press("Tab")
        expect(buttons.last).to_be_focused()
        assert done_with == []
        in_each_look(page, "chat-pending")
        page.keyboard.press("Space")
        expect(page.get_by_label("Your question")).to_be_focused()
        last = done(page.get_by_role("article").last)
        expect(last.locator(".question")).to_have_text("Allow refund, Refuse refund.")
        expect(last.locator(".answer")).to_have_text("One is paid back.")
        expect(buttons.last).to_be_disabled()
        assert (done_with, trouble) == ([7], [])
        page.reload()
        expect(page.get_by_role("article").last).to_contain_text("One is paid back.")


def test_a_server_that_dies_is_told_and_the_question_can_be_asked_again(browser: Any) -> None:
    with serving(Scripted(), OPEN) as (url, server), opened(browser, url) as (page, _):
        turn = ask(page, "slow")
        expect(turn.locator(".answer")).to_contain_text("that is so.")
        server.should_exit = server.force_exit = True
        expect(turn.locator(".trouble")).to_be_visible(timeout=20_000)
        assert "that is so." in turn.inner_text(), "what had come stays"
        page.wait_for_timeout(1500)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".trouble")).to_contain_text("can't be reached", timeout=20_000)


FUZZ = Path(__file__).with_name("markdown_fuzz.js").read_text("utf-8")


@pytest.mark.parametrize("seed", [1, 22, 333])
def test_markdown_of_any_kind_keeps_its_letters_and_streams_to_the_same(
    page: Any, seed: int
) -> None:
    assert page.evaluate(FUZZ, seed) is None


def test_hostile_lengths_of_markdown_take_no_time_to_speak_of(page: Any) -> None:
    page.evaluate("""async () => {
      const { Markdown } = await import(new URL("page/markdown.js", document.baseURI));
      for (const part of ["[", "*a ", "> ", "`", "**", "![", "- ", "[a](", "_a_", "\\n>", "|"]) {
        new Markdown(document.createElement("div")).update(part.repeat(20000));
      }
    }""")


def test_markdown_becomes_the_elements_it_stands_for(page: Any) -> None:
    html = page.evaluate("""async () => {
      const { Markdown } = await import(new URL("page/markdown.js", document.baseURI));
      const element = document.createElement("div");
      new Markdown(element).update("# A\\n\\n- b\\n  1. c\\n\\n> d *e*\\n\\n"
        + "|f|g|\\n|-|-|\\n|h|i|\\n\\n~~j~~ `k`");
      return element.innerHTML.replace(/ [a-z]+="[^"]*"/g, "");
    }""")
    assert html == (
        "<h3>A</h3><ul><li>b<ol><li>c</li></ol></li></ul><blockquote><p>d <em>e</em></p>"
        "</blockquote><div><table><thead><tr><th>f</th><th>g</th></tr></thead><tbody><tr><td>h"
        "</td><td>i</td></tr></tbody></table></div><p><del>j</del> <code>k</code></p>"
    )

"""The dashboard in a real browser, on calls that went through the real proxy: what it shows, and what it never does."""

import json
import os
import re
import shutil
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, Route, expect, sync_playwright

from addons.cli import figures
from addons.demo.provider import FakeProvider
from tests.e2e.harness import OPENAI_KEY, PLANTED, Proxy, claude, said, user
from tests.e2e.test_clients import add, keyed, tokenman
from tokenman_core.admin.pages import FOLDER
from tokenman_core.config.models import Action
from tokenman_core.errors import ErrorKind
from tokenman_core.kinds import KINDS, NATIONAL
from tokenman_core.usage import Basis

expect.set_options(timeout=20_000)  # for what takes a second or two: two slow cores may have other work
HOSTILE = "<img src=x onerror=window.pwned=1>"
CARD = PLANTED["card"]


class Seen:
    """What a page did: its errors, where it sent requests, and what it was answered."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.answers: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfinished", self._finished)

    def _console(self, message: ConsoleMessage) -> None:
        # A browser itself says so of each answer above 399, and of a line that was cut; the page has to say it in its own words.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)

    def _finished(self, request: Request) -> None:
        answer = request.response()
        if answer is not None and not request.url.endswith("/api/events"):
            self.answers.append(answer.text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    assert found, "chromium is not installed; tests/system_packages.sh installs it"
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def house(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy of this module's own: its ledger holds the calls of these tests alone."""
    url = shared_provider.url
    running = Proxy.start(
        tmp_path_factory.mktemp("house"),
        url,
        redaction={"entities": {"US_SSN": "block"}},
        providers={
            "anthropic": {"base_url": url},
            "openai": {"base_url": url},
            "attic": {"base_url": url, "dialect": "openai"},  # of which no list of prices knows
        },
    )
    yield running
    running.stop()


Open = Callable[..., tuple[Page, Seen]]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page of its own at an address. Afterwards it must have had no error, and asked nobody but where it is from."""
    pages: list[tuple[Page, Seen]] = []

    def open_page(
        address: str, prepare: Callable[[Page], None] = lambda page: None, **options: Any
    ) -> tuple[Page, Seen]:
        page = browser.new_context(reduced_motion="reduce", **options).new_page()
        seen = Seen(page)
        prepare(page)
        page.goto(address)
        pages.append((page, seen))
        return page, seen

    yield open_page
    for page, seen in pages:
        assert seen.errors == []
        own = urlsplit(page.url).netloc
        assert {urlsplit(url).netloc for url in seen.requests} == {own}
        page.context.close()


def token(proxy: Proxy) -> str:
    return (proxy.data / "admin-token").read_text().strip()


def code_address(proxy: Proxy) -> str:
    """A new address that opens the dashboard once."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{proxy.admin_port}/api/codes",
        data=b"{}",
        headers={"authorization": f"Bearer {token(proxy)}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        code = json.load(answer)["code"]
    return f"http://127.0.0.1:{proxy.admin_port}/#code={code}"


def call(proxy: Proxy, text: str, **options: Any) -> str:
    """One call through the proxy; the id of it."""
    client = claude(proxy)
    options = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": user(text)} | options
    answer = client.messages.with_raw_response.create(**options)
    return str(answer.headers["x-tokenman-request-id"])


def row(page: Page, name: str) -> Any:
    """The line of a call by its id, which its details show."""
    return page.locator(f'#rows tr[data-id="{name}"]')


def test_the_printed_address_signs_in_once_and_leaves_the_address_bar(house: Proxy, opened: Open) -> None:
    printed = code_address(house)
    page, _ = opened(printed)
    expect(page.locator("#state")).to_have_text("Live")
    assert "code" not in page.url
    assert page.evaluate("document.cookie") == ""
    page.reload()
    expect(page.locator("#state")).to_have_text("Live")
    other, _ = opened(printed)
    expect(other.locator("#sign-in-problem")).to_contain_text("was used already")
    assert "code" not in other.url


def test_the_token_signs_in_and_a_wrong_one_is_told(house: Proxy, opened: Open) -> None:
    page, _ = opened(f"http://127.0.0.1:{house.admin_port}/")
    expect(page.get_by_text("admin-token").first).to_be_visible()
    page.get_by_role("textbox", name="Token").fill("not-the-token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="not the token")).to_be_visible()
    expect(page.locator("#main")).to_be_hidden()
    page.get_by_role("textbox", name="Token").fill(token(house))
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Live")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    expect(page.locator("#rows tr")).to_have_count(0)


def test_a_call_appears_as_it_ends_with_what_was_masked_and_never_the_value(
    house: Proxy, provider: FakeProvider, opened: Open
) -> None:
    page, seen = opened(code_address(house))
    expect(page.locator("#state")).to_have_text("Live")
    name = call(house, f"{said('e-mail')}, {said('card')}")
    line = row(page, name)
    expect(line).to_be_visible()
    expect(line).to_contain_text("claude-sonnet-4-5")
    expect(line).to_contain_text("1 e-mail")
    expect(line).to_contain_text("1 card")
    expect(line.locator(".cost")).to_contain_text("$")

    line.click()
    detail = page.get_by_role("dialog", name="Call")
    expect(detail).to_contain_text("masked, and put back in the answer")
    expect(detail).to_contain_text("redaction.mode")
    expect(detail).to_contain_text(name)
    expect(detail).to_contain_text("an API key")
    expect(detail).to_contain_text("list price")
    expect(page).to_have_url(re.compile(name))
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()
    expect(page).not_to_have_url(re.compile("call="))  # that the drawer has closed is told to the page a moment later

    everything = page.content() + "\n".join(seen.answers)
    assert name in everything
    assert not [value for value in PLANTED.values() if value in everything or value.replace(" ", "") in everything]


def test_details_open_by_keyboard_and_give_the_focus_back(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    name = call(house, "hello")
    page, _ = opened(code_address(house))
    button = row(page, name).get_by_role("button")
    expect(button).to_be_visible()
    button.focus()
    page.keyboard.press("Enter")
    close = page.get_by_role("dialog").get_by_role("button", name="Close")
    expect(close).to_be_focused()
    expect(page.get_by_role("dialog")).to_contain_text(name)
    page.keyboard.press("Enter")
    expect(button).to_be_focused()


def test_a_refusal_says_why_and_by_which_setting(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        call(house, said("ssn"))
    name = refused.value.response.headers["x-tokenman-request-id"]
    page, seen = opened(code_address(house))
    line = row(page, name)
    expect(line).to_contain_text("Refused")
    line.click()
    detail = page.get_by_role("dialog")
    expect(detail).to_contain_text("TokenMan refused it with 400")
    expect(detail).to_contain_text("US_SSN")
    expect(detail).to_contain_text("redaction.entities")
    expect(detail).to_contain_text("the call was refused")
    assert PLANTED["ssn"] not in page.content() + "\n".join(seen.answers)


def test_a_provider_that_fails_is_not_taken_for_a_refusal(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    with pytest.raises(anthropic.InternalServerError) as failed:
        call(house, "[[reset first]]")
    page, _ = opened(code_address(house))
    line = row(page, failed.value.response.headers["x-tokenman-request-id"])
    expect(line.locator(".pill.bad")).to_have_text("502")
    line.click()
    expect(page.get_by_role("dialog")).to_contain_text("It failed with 502")


def test_how_sure_a_cost_is_stands_beside_it(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    def chat(base: str) -> str:
        client = openai.OpenAI(base_url=house.url + base, api_key=OPENAI_KEY, max_retries=0)
        answer = client.chat.completions.with_raw_response.create(model="nobodys-model", messages=user("hello"))
        return str(answer.headers["x-tokenman-request-id"])

    oauth = {"anthropic-beta": "oauth-2025-04-20"}
    login = claude(house, api_key=None, auth_token="sk-ant-oat01-a-login", default_headers=oauth)
    options: Any = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": user("hello")}
    subscribed = login.messages.with_raw_response.create(**options).headers["x-tokenman-request-id"]
    unlisted, unpriced = chat("/v1"), chat("/p/attic/v1")
    page, _ = opened(code_address(house))
    expect(row(page, unlisted).locator(".cost")).to_contain_text("≤ $")
    expect(row(page, unpriced).locator(".cost")).to_have_text("no price")
    expect(row(page, subscribed).locator(".cost")).to_contain_text("plan")
    spend = page.locator(".tile").filter(has_text="Spend today")
    expect(spend).to_contain_text("no price")
    expect(spend).to_contain_text("plan")
    expect(spend).to_contain_text("≤ $")
    expect(page.locator("#models li").filter(has_text="nobodys-model")).to_contain_text("≤ $")
    row(page, unpriced).click()
    expect(page.get_by_role("dialog")).to_contain_text("pricing.overrides")


def test_what_the_provider_refused_stands_beside_the_errors(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    with pytest.raises(anthropic.RateLimitError):
        call(house, "[[status 429]]")
    page, _ = opened(code_address(house))
    expect(page.locator(".tile").filter(has_text="Errors today")).to_contain_text(
        re.compile(r"\d+ refused by the provider")
    )


def test_amounts_are_rounded_as_the_terminal_does(house: Proxy, opened: Open) -> None:
    page, _ = opened(f"http://127.0.0.1:{house.admin_port}/")
    amounts = ["0.00045", "0.0000005", "0.0000125", "0.00001", "0.0421", "0.04215", "0.5", "1", "12.345", "1234.567"]
    shown = page.evaluate(
        "async (all) => { const w = await import('/static/words.js'); return all.map(w.money); }", amounts
    )
    assert shown == [figures.money(Decimal(amount)) for amount in amounts]


def test_what_a_call_carries_is_shown_as_text(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    name = call(house, "hello", extra_headers={"x-tokenman-project": HOSTILE})

    def plant(route: Route) -> None:
        """The same in every text of a row, the names too that the ledger would have turned away."""
        answer = route.fetch()
        document = answer.json()
        for one in document.get("items", [document]):
            one |= dict.fromkeys(("model", "provider", "client", "project", "session", "detail"), HOSTILE)
            one |= {"dialect": HOSTILE, "operation": HOSTILE, "error": HOSTILE, "outcome": "refused", "status": HOSTILE}
            one |= {"redacted": [{"entity": HOSTILE, "action": HOSTILE, "setting": HOSTILE, "count": 1}]}
        route.fulfill(response=answer, json=document)

    page, _ = opened(code_address(house))
    expect(row(page, name)).to_contain_text(HOSTILE)
    page.route(re.compile("/api/requests"), plant)
    page.reload()
    expect(row(page, name).locator(".model")).to_contain_text(HOSTILE)
    row(page, name).click()
    expect(page.get_by_role("dialog").get_by_text("refused it with")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.evaluate("window.pwned") is None


def test_sums_agree_with_the_calls(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    page, _ = opened(code_address(house))
    calls = page.locator(".tile").filter(has_text="Calls today").locator(".value")
    expect(calls).to_have_text(re.compile(r"\d+"))
    before = int(calls.inner_text())
    call(house, "hello")
    expect(calls).to_have_text(str(before + 1), timeout=10_000)  # sooner than what is read every 15 s anyway
    expect(page.locator("#calls-chart .reading")).to_contain_text(f"{before + 1} call")
    expect(page.locator("#calls-chart rect.calls").last).to_be_visible()
    expect(page.locator("#models li").filter(has_text="claude-sonnet-4-5")).to_contain_text("$")


def test_a_chart_is_read_by_arrow_keys(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    call(house, "hello")
    page, _ = opened(code_address(house))
    expect(page.locator("#calls-chart rect.calls").last).to_be_visible()
    page.locator("#calls-chart .plot").focus()
    page.keyboard.press("End")
    expect(page.locator("#calls-chart .reading")).to_have_text(re.compile(r"\d\d:\d\d–\d\d:\d\d: \d+ call"))


def test_filters_hold_for_old_calls_and_for_live_ones(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    sonnet, haiku = call(house, "hello"), call(house, "hello", model="claude-haiku-4-5")
    page, _ = opened(code_address(house))
    expect(row(page, sonnet)).to_be_visible()
    page.get_by_role("searchbox").fill("HAIKU")
    expect(row(page, sonnet)).to_have_count(0)
    expect(row(page, haiku)).to_be_visible()
    hidden, shown = call(house, "hello"), call(house, "hello", model="claude-haiku-4-5")
    expect(row(page, shown)).to_be_visible()
    expect(row(page, hidden)).to_have_count(0)
    page.get_by_label("Status").select_option("5xx")
    expect(page.locator("#empty")).to_contain_text("No call matches")
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Status").select_option("")
    page.get_by_label("Provider").select_option("anthropic")
    expect(row(page, hidden)).to_be_visible()


def test_older_calls_are_read_on_demand_and_none_comes_twice(
    house: Proxy, provider: FakeProvider, opened: Open
) -> None:
    project = {"x-tokenman-project": "many-calls"}
    names = {call(house, "hello", extra_headers=project) for _ in range(60)}
    page, _ = opened(code_address(house))
    expect(page.locator("#rows tr")).to_have_count(50)
    page.get_by_role("searchbox").fill("many-calls")
    older = page.get_by_role("button", name="Show older calls")
    older.click()
    expect(page.locator("#rows tr")).to_have_count(60)
    expect(older).to_be_hidden()
    assert set(page.locator("#rows tr").evaluate_all("rows => rows.map((it) => it.dataset.id)")) == names


def test_a_paused_feed_holds_calls_back_and_says_how_many(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    call(house, "hello")
    page, _ = opened(code_address(house))
    expect(page.locator("#state")).to_have_text("Live")
    expect(page.locator("#rows tr").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    name = call(house, "hello")
    resume = page.get_by_role("button", name="Resume · 1 new call")
    expect(resume).to_be_visible()
    expect(row(page, name)).to_have_count(0)
    resume.click()
    expect(row(page, name)).to_be_visible()


def test_what_the_api_cannot_do_is_told_in_its_words(house: Proxy, opened: Open) -> None:
    words = "the ledger cannot be read now: the disk is full; free some space"
    answer = {"error": {"type": "persistence", "message": words}}

    def prepare(page: Page) -> None:
        page.route(re.compile("/api/(summary|requests)"), lambda route: route.fulfill(status=503, json=answer))

    page, _ = opened(code_address(house), prepare)
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()


@pytest.mark.parametrize("width", [360, 820, 1440])
def test_nothing_sticks_out_of_the_page(width: int, house: Proxy, provider: FakeProvider, opened: Open) -> None:
    call(house, said("e-mail"), extra_headers={"x-tokenman-project": "a-rather-long-name-of-a-project" * 2})
    page, _ = opened(code_address(house), viewport={"width": width, "height": 800})
    expect(page.locator("#rows tr").first).to_be_visible()
    expect(page.locator("#models li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = "[...document.querySelectorAll('.feed, #calls td, .tile, .shares li')]"
    assert page.evaluate(f"{boxes}.filter((it) => it.scrollWidth > it.clientWidth + 1).map((it) => it.outerHTML)") == []
    page.locator("#rows tr").first.click()
    assert page.evaluate("document.querySelector('#detail').scrollWidth <= innerWidth")


def test_it_is_light_or_dark_as_the_system_is_and_every_control_has_a_name(house: Proxy, opened: Open) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page, _ = opened(code_address(house), color_scheme=scheme)
        expect(page.locator("#state")).to_have_text("Live")
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for control in page.locator("button:visible, input:visible, select:visible").all():
            expect(control).to_have_accessible_name(re.compile(r"\w"))
    assert grounds[0] != grounds[1]


@pytest.mark.parametrize(
    ("file", "table", "names"),
    [
        ("words.js", "KINDS", get_args(ErrorKind)),
        ("words.js", "ENTITIES", [kind.name for kind in KINDS if kind not in NATIONAL]),
        ("words.js", "ACTIONS", [name for name in get_args(Action) if name != "off"]),
        ("detail.js", "BASES", get_args(Basis)),
    ],
)
def test_it_has_words_for_all_that_a_row_may_say(file: str, table: str, names: Iterable[str]) -> None:
    found = re.search(rf"const {table} = {{(.*?)\n}};", (FOLDER / file).read_text(), re.DOTALL)
    assert found
    assert set(re.findall(r"^  (\w+):", found[1], re.MULTILINE)) == set(names)


class Relay:
    """A way to the admin port that can be cut, and is then there again at the same address."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self.cut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.cut.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def break_off(self) -> None:
        self.cut.set()
        for end in self._ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.break_off()
        self._listener.close()


def test_an_empty_house_says_what_to_do_and_a_lost_line_comes_back_with_what_was_missed(
    shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path, opened: Open
) -> None:
    proxy = Proxy.start(tmp_path, shared_provider.url)
    relay = Relay(proxy.admin_port)
    try:
        address = code_address(proxy).replace(f":{proxy.admin_port}/", f":{relay.port}/")
        page, _ = opened(address)
        expect(page.locator("#empty")).to_contain_text("tokenman run -- claude")
        first = call(proxy, "hello")
        expect(row(page, first)).to_be_visible()
        expect(page.locator("#empty")).to_be_hidden()

        relay.break_off()
        expect(page.locator("#state")).to_contain_text("Connection lost")
        missed = call(proxy, "hello")
        again: list[Response] = []
        page.on("response", lambda answer: again.append(answer) if answer.url.endswith("/api/events") else None)
        relay.cut.clear()
        retry = page.get_by_role("button", name="Try now")
        if retry.is_visible():  # it may have tried by itself by now
            retry.click()
        expect(row(page, missed)).to_be_visible()
        expect(page.locator("#state")).to_have_text("Live")
        expect(page.locator("#problem")).to_be_hidden()
        assert again[-1].request.headers["last-event-id"] == first
    finally:
        relay.close()
        proxy.stop()


@pytest.fixture
def thrifty(shared_provider: FakeProvider, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with budgets and limits."""
    running = Proxy.start(
        tmp_path,
        shared_provider.url,
        budgets=[
            {"name": "daily", "limit_usd": 5, "window": "day"},
            {"name": "per model", "limit_usd": "0.003", "scope": "model", "window": "day", "on_exceed": "warn"},
            {"name": "all", "limit_usd": 100, "window": "total"},
        ],
        rate_limits=[{"name": "few", "requests": "2/h", "match": {"project": "slow"}}],
    )
    yield running
    running.stop()


def test_budgets_stand_with_what_is_spent_and_when_they_end(
    thrifty: Proxy, provider: FakeProvider, opened: Open
) -> None:
    call(thrifty, "[[say " + "word " * 300 + "]]", max_tokens=500)
    for _ in range(2):
        call(thrifty, "hello", extra_headers={"x-tokenman-project": "slow"})
    with pytest.raises(anthropic.RateLimitError):
        call(thrifty, "hello", extra_headers={"x-tokenman-project": "slow"})
    page, _ = opened(code_address(thrifty))
    card = page.get_by_role("region", name="Budgets")
    expect(card).to_be_visible()
    lines = card.get_by_role("listitem")
    expect(lines).to_have_count(3)
    first = lines.first
    expect(first).to_contain_text("per model claude-sonnet-4-5")
    expect(first).to_contain_text("of $0.003")
    expect(first).to_have_attribute("data-tone", "bad")
    expect(lines.filter(has_text="all")).to_contain_text("without end")
    daily = lines.filter(has_text="daily")
    expect(daily).to_contain_text(re.compile(r"of \$5\.00.*ends .*\d\d:\d\d"))
    expect(daily).to_have_attribute("data-tone", "ok")
    expect(card).to_contain_text("1 call held back by a rate limit or the guard since the start")


def test_without_budgets_there_is_no_card_of_them(house: Proxy, opened: Open) -> None:
    page, _ = opened(code_address(house))
    expect(page.locator(".tile").first).to_be_visible()
    page.route(re.compile("/api/budgets"), lambda route: route.fulfill(status=503, json={"error": {"message": "no"}}))
    expect(page.get_by_role("region", name="Budgets")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("region", name="Budgets")).to_contain_text("They cannot be read now")
    expect(page.locator("#problem")).to_be_hidden()


def test_clients_are_listed_with_what_they_may_do_and_never_their_keys(
    shared_provider: FakeProvider, tmp_path: Path, opened: Open
) -> None:
    budgets = [{"name": "team", "limit_usd": 50, "window": "month", "scope": "client"}]
    proxy = Proxy.start(tmp_path, shared_provider.url, providers=keyed(shared_provider.url), budgets=budgets)
    try:
        terms = (
            "--project",
            "site",
            "--models",
            "claude-*",
            "--budget",
            "5/day",
            "--rate",
            "60/min",
            "--expires",
            "2d",
        )
        keys = {
            "web": add(proxy, "web", *terms),
            "batch": add(proxy, "batch", "--budget", "team", "--providers", "anthropic"),
            "left": add(proxy, "left"),
            "idle": tokenman(proxy, "clients add idle").stdout.strip(),
        }
        for name in ("web", "web", "batch", "left"):
            call(proxy, "[[say " + "word " * 50 + "]]", extra_headers={"x-tokenman-key": keys[name]})
        assert tokenman(proxy, "clients revoke left").returncode == 0
        page, seen = opened(code_address(proxy), viewport={"width": 1280, "height": 1400})
        card = page.get_by_role("region", name="Clients")
        lines = card.get_by_role("listitem")
        expect(lines).to_have_count(4)
        web = lines.filter(has_text="web")
        expect(web).to_contain_text(
            re.compile(r"web site.*\$0\.\d+ of \$5\.00 \(day\)claude-\* · any provider · 60/minuntil .*last used")
        )
        expect(web).to_have_attribute("data-tone", "warn")  # it ends soon
        expect(lines.filter(has_text="batch")).to_contain_text(
            re.compile(r"of \$50\.00 \(month\)any model · anthropic · budget team")
        )
        expect(lines.filter(has_text="idle")).to_contain_text(
            re.compile(r"\$0 in 30 days.*does not expire · not used in 30 days")
        )
        expect(lines.filter(has_text="left")).to_contain_text("revoked · last used")
        for key in keys.values():
            assert not any(key in answer for answer in seen.answers)
        if folder := os.environ.get("TOKENMAN_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / "clients.png", full_page=True)
    finally:
        proxy.stop()


def test_without_clients_there_is_no_card_of_them(house: Proxy, opened: Open) -> None:
    page, _ = opened(code_address(house))
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.get_by_role("region", name="Clients")).to_be_hidden()
    page.route(re.compile("/api/clients"), lambda route: route.fulfill(status=503, json={"error": {"message": "no"}}))
    page.reload()
    expect(page.get_by_role("region", name="Clients")).to_contain_text("They cannot be read now")


def test_caches_stand_with_their_shares_and_why_they_broke(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    name = call(house, "hello")
    told: dict[str, Any] = {
        "prompt_cache_break": f"tool changed at tools[3]{HOSTILE}", "prompt_cache_lost_tokens": 9000,
        "prompt_cache_lost_usd": "0.0243", "repeats": "deterministic",
    }  # fmt: skip
    sums = {
        "cache_read_tokens": 4990, "input_tokens": 5000, "prompt_cache_read_ratio": 0.998, "cache_hits": 1, "calls": 4,
        "cache_hit_ratio": 0.25, "repeated_calls": 3, "repeated_usd": "0.5", "repeated_deterministic_calls": 2,
    }  # fmt: skip
    breaks = [
        {"cause": f"cause {n}{HOSTILE}", "count": n, "lost_tokens": 9000, "lost_usd": "0" if n > 1 else "1.5"}
        for n in range(1, 8)
    ]

    def summary(route: Route) -> None:
        real = route.fetch().json()
        route.fulfill(json=real | {"total": real["total"] | sums, "prompt_cache_breaks": breaks})

    def prepare(page: Page) -> None:
        page.route(re.compile("/api/summary"), summary)
        page.route(re.compile(f"/api/requests/{name}"), lambda route: route.fulfill(json=route.fetch().json() | told))

    page, _ = opened(code_address(house), prepare)
    card = page.get_by_role("region", name="Caches")
    lines = card.get_by_role("listitem")
    expect(lines).to_have_count(8)
    expect(lines.nth(0)).to_contain_text("providers’ caches99%")
    expect(lines.nth(1)).to_contain_text("TokenMan’s cache25%")
    expect(lines.nth(2)).to_contain_text("would have saved$0.5")
    expect(lines.nth(3)).to_contain_text(f"cause 1{HOSTILE}$1.50 1×")
    expect(lines.nth(4)).to_contain_text("9,000 tokens 2×")
    expect(card).to_contain_text("2 causes more")
    row(page, name).click()
    detail = page.locator("#detail")
    expect(detail).to_contain_text(f"tool changed at tools[3]{HOSTILE}")
    expect(detail).to_contain_text(
        "9,000 tokens that the provider’s cache had before were not read from it, which cost $0.0243 more"
    )
    expect(detail).to_contain_text("cache: {mode: deterministic}")
    assert page.evaluate("window.pwned") is None


def test_what_is_not_there_is_shown_as_nothing(house: Proxy, provider: FakeProvider, opened: Open) -> None:
    name = call(house, "hello")
    sums = {"repeated_calls": 2, "cache_read_tokens": 0, "cache_hits": 0}

    def summary(route: Route) -> None:
        real = route.fetch().json()
        route.fulfill(json=real | {"total": real["total"] | sums, "prompt_cache_breaks": []})

    page, _ = opened(code_address(house), lambda page: page.route(re.compile("/api/summary"), summary))
    expect(page.get_by_role("region", name="Caches").get_by_role("listitem")).to_have_count(1)
    row(page, name).click()
    expect(page.locator("#detail")).to_contain_text("By the provider’s list price.")
    found = page.locator("#detail, #caches-card").all_inner_texts()
    assert not re.search("null|false|undefined", " ".join(found))


def test_where_caches_have_nothing_to_say_there_is_no_card_of_them(thrifty: Proxy, opened: Open) -> None:
    page, _ = opened(code_address(thrifty))
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.get_by_role("region", name="Caches")).to_be_hidden()


@pytest.fixture
def caching(shared_provider: FakeProvider, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy that keeps answers."""
    cache = {"mode": "deterministic", "encrypt": "off", "entries": 50}
    routes = [{"match": {"model": "gpt-*"}, "cache": "off"}]
    running = Proxy.start(tmp_path, shared_provider.url, cache=cache, routes=routes)
    yield running
    running.stop()


def test_the_answer_cache_stands_with_what_it_holds_and_saved(
    caching: Proxy, provider: FakeProvider, opened: Open
) -> None:
    page, _ = opened(code_address(caching))
    card = page.get_by_role("region", name="Answer cache")
    lines = card.get_by_role("listitem")
    expect(lines).to_have_count(4)
    expect(lines.nth(2)).to_contain_text("0 calls")
    names = [call(caching, "hello", extra_body={"temperature": 0}) for _ in range(3)]
    expect(lines.nth(0)).to_have_text("Modedeterministic")
    expect(card.get_by_text("1 route has a mode of its own")).to_have_attribute("title", "gpt-* of project *: off")
    expect(lines.nth(1)).to_contain_text(re.compile(r"Answers kept1 \d+ B"), timeout=40_000)  # it is read every 15 s
    expect(lines.nth(2)).to_contain_text("2 calls")
    expect(lines.nth(2)).to_have_attribute("title", "since the start 67% of those that it might have answered")
    expect(lines.nth(3)).to_contain_text(re.compile(r"Saved today\$0\.00\d+"))
    expect(card).to_contain_text("Not encrypted on disk.")
    expect(row(page, names[0]).locator(".cost")).not_to_contain_text("cached")
    expect(row(page, names[2]).locator(".cost")).to_contain_text("cached")
    row(page, names[2]).click()
    expect(page.get_by_role("dialog")).to_contain_text("The answer came from TokenMan’s cache: nothing was sent.")
    assert not re.search("null|false|undefined|NaN", card.inner_text())
    if folder := os.environ.get("TOKENMAN_SCREENSHOTS"):
        page.keyboard.press("Escape")
        page.screenshot(path=Path(folder) / "cache.png", full_page=True)


def test_what_is_wrong_with_the_cache_is_told_and_shown_as_text(caching: Proxy, opened: Open) -> None:
    told = {
        "trouble": f"cache.db cannot be used {HOSTILE}, so answers are cached in memory only", "scope": "shared",
        "routes": [{"match": {"model": HOSTILE, "project": "*", "provider": "*"}, "mode": "all"}], "bytes": 3 << 20,
        "entries": 12, "encrypted": True,
    }  # fmt: skip

    def prepare(page: Page) -> None:
        page.route(re.compile("/api/cache"), lambda route: route.fulfill(json=route.fetch().json() | told))

    page, _ = opened(code_address(caching), prepare)
    card = page.get_by_role("region", name="Answer cache")
    expect(card.locator(".problem")).to_contain_text(HOSTILE)
    expect(card).to_contain_text("Callers get each other’s answers.")
    expect(card).to_contain_text("12 3 MiB")
    expect(card).not_to_contain_text("Not encrypted")
    assert page.evaluate("window.pwned") is None


def test_without_an_answer_cache_there_is_no_card_of_it(house: Proxy, opened: Open) -> None:
    page, _ = opened(code_address(house))
    expect(page.locator("#cache li")).to_have_count(4)  # it was read
    expect(page.locator("#cache-card")).to_be_hidden()


def test_sizes_are_told_in_their_units(house: Proxy, opened: Open) -> None:
    page, _ = opened(f"http://127.0.0.1:{house.admin_port}/")
    sizes = {
        0: "0 B",
        999: "999 B",
        1000: "0.98 KiB",
        1536: "1.5 KiB",
        3 << 20: "3 MiB",
        500 << 20: "500 MiB",
        1 << 30: "1 GiB",
    }
    shown = page.evaluate(
        "async (all) => { const w = await import('/static/words.js'); return all.map(w.size); }", list(sizes)
    )
    assert shown == list(sizes.values())

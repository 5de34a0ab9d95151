"""The pages in a real browser: Chromium without a screen, driven by Selenium."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from content_moderator.access.api_key import make_key
from content_moderator.access.api_keys import ApiKeys
from content_moderator.config.settings import PolicySettings
from tests.support.fault_server import unused_port, wait_until
from tests.support.live import Live, serving
from tests.support.paths import ROOT

AXE = ROOT / "build" / "clients" / "node" / "node_modules" / "axe-core" / "axe.min.js"
REVIEWED = PolicySettings().thresholds["embedded"]["HR"].review
THREAT = "The talk was long. I am going to kill you. See you on Monday."


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("log") / "log", workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium or chromedriver is absent: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--window-size=1100,1200",
        # No name leads anywhere: what a page wants from outside, it does not get.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as running:
        yield running


class Page:
    """A page in the browser."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.url = url
        self.log("browser")
        self.log("performance")
        browser.get(url)

    def log(self, name: str) -> list[dict[str, str]]:
        """Give what the browser has written since it was last asked."""
        entries: list[dict[str, str]] = self.browser.get_log(name)  # type: ignore[no-untyped-call]
        return entries

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def words(self, selector: str) -> list[str]:
        return [each.text for each in self.all(selector)]

    def cards(self, wanted: int = 1) -> list[WebElement]:
        """Wait for the answers."""
        wait_until(lambda: len(self.all("#results:not([hidden]):not([aria-busy]) .card")) == wanted)
        return self.all("#results .card")

    def classify(self, *texts: str) -> list[WebElement]:
        self.browser.execute_script("document.getElementById('results').replaceChildren()")
        for field, text in zip(("#text", "#second"), texts, strict=False):
            self.one(field).clear()
            self.one(field).send_keys(text)
        self.one("#classify").click()
        return self.cards(len(texts))

    def asked_outside(self) -> list[str]:
        """List the addresses elsewhere that the page has asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        urls = [
            each["params"]["request"]["url"]
            for each in events
            if each["method"] == "Network.requestWillBeSent"
        ]
        assert urls, "nothing was recorded"
        own = "/".join(self.url.split("/")[:3])
        return [url for url in urls if not url.startswith((own, "data:", "blob:"))]

    def complaints(self) -> list[str]:
        """What the browser found wrong: errors, and violations of the Content-Security-Policy."""
        return [entry["message"] for entry in self.log("browser")]


@pytest.fixture
def page(chromium: webdriver.Chrome, live: Live) -> Iterator[Page]:
    page = Page(chromium, f"{live.url}/")
    yield page
    assert page.complaints() == []
    assert page.asked_outside() == []


def test_text_is_judged_before_the_eyes(page: Page) -> None:
    [card] = page.classify("you are such a pathetic idiot")
    assert card.find_element(By.CSS_SELECTOR, ".decision").text.endswith("Review")
    assert page.words(".reasons li")[0] == f"harassment: 0.999, review from {REVIEWED} on"
    assert len(page.all(".card tbody tr")) == 9
    assert page.words(".card tbody th")[0] == "harassment HR"
    bar = page.one(".card tbody tr .bar")
    assert bar.get_attribute("aria-label") == f"0.999, review from {REVIEWED}"
    fill, mark = page.one(".card tbody tr .fill"), page.one(".card tbody tr .mark.review")
    assert fill.size["width"] == pytest.approx(bar.size["width"], abs=1)
    assert mark.location["x"] - bar.location["x"] == pytest.approx(REVIEWED * bar.size["width"], abs=2)
    assert "pathetic" in page.words(".passage mark")
    assert str(page.one("#status").get_property("textContent")).startswith("review: harassment 1.00")
    assert "Scored by embedded" in page.one(".source").text
    assert " ms" in page.one(".source").text


def test_triggering_sentence_is_underlined(page: Page) -> None:
    page.classify(THREAT)
    assert page.words(".sentence") == ["I am going to kill you."]
    assert page.one(".passage").text == THREAT
    assert page.one(".triggered").text.startswith("The underlined sentence alone: violence")


def test_sentence_that_would_be_stopped_alone_is_told(page: Page) -> None:
    calm = "The talk was long. {} See you on Monday. We had soup at noon. The bus came at ten."
    [card] = page.classify(calm.format("He is a coward."))
    assert card.find_element(By.CSS_SELECTOR, ".decision").text.endswith("Allow")
    assert page.words(".sentence") == ["He is a coward."]
    assert page.one(".triggered").text.startswith("Alone, the underlined sentence would be for review")


def test_harmless_text_is_not_repeated(page: Page) -> None:
    [card] = page.classify("Thank you, that was kind of you.")
    assert card.find_element(By.CSS_SELECTOR, ".decision").text.endswith("Allow")
    assert not page.one(".passage").is_displayed()


def test_two_texts_are_compared(page: Page) -> None:
    page.one("#compare").click()
    assert page.one("#compare").get_attribute("aria-expanded") == "true"
    cards = page.classify("You are kind.", "You are a pathetic idiot.")
    decisions = [card.find_element(By.CSS_SELECTOR, ".decision").text for card in cards]
    assert [each.split()[-1] for each in decisions] == ["Allow", "Review"]
    orders = [[row.text for row in card.find_elements(By.CSS_SELECTOR, "tbody th")] for card in cards]
    assert orders[0] == orders[1]
    assert any(
        each.text.startswith("+0.9") for each in cards[1].find_elements(By.CSS_SELECTOR, ".number small")
    )
    page.one("#compare").click()
    assert not page.one("#second").is_displayed()


def test_cache_is_told_and_can_be_ignored(page: Page) -> None:
    text = "A sentence that nobody has asked about before."
    page.classify(text)
    assert page.one(".cache").text == "not from memory"
    page.classify(text)
    assert page.one(".cache").text == "from memory"
    page.one("#fresh").click()
    page.classify(text)
    assert page.one(".cache").text == "not from memory"


def test_keyboard_is_enough(page: Page) -> None:
    """The text has the focus; Ctrl+Enter asks; Tab leads through all controls in their order."""
    active = page.browser.switch_to.active_element
    assert active.get_attribute("id") == "text"
    active.send_keys("You are kind.", Keys.CONTROL + Keys.ENTER)
    page.cards()
    reached = []
    for _ in range(8):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.browser.switch_to.active_element)
    ids = [each.get_attribute("id") or each.tag_name for each in reached]
    assert ids == ["classify", "compare", "fresh", *["button"] * 4, "summary"]


def test_markup_in_a_text_stays_text(page: Page) -> None:
    text = "<img src=x onerror=alert(1)> you pathetic idiot <b>bold</b>"
    page.classify(text)
    assert page.one(".passage").text == text
    assert page.all(".passage img, .passage b") == []


def test_snippet_asks_the_same(page: Page) -> None:
    page.classify('It\'s "quoted" \\ and \n two lines \U0001f600')
    page.one("summary").click()
    curl = page.one("#snippet").text
    assert curl.startswith(f"curl -s {page.url}classify -H 'Content-Type: application/json'")
    assert json.loads(curl.split("-d '", 1)[1][:-1].replace("'\\''", "'")) == {
        "text": page.one("#text").get_property("value")
    }
    page.one("input[value=python]").click()
    python = page.one("#snippet").text
    compile(python, "snippet", "exec")
    assert f'base_url="{page.url}v1"' in python
    page.one("input[value=javascript]").click()
    assert f'baseURL: "{page.url}v1"' in page.one("#snippet").text


def test_blank_text_is_told(page: Page) -> None:
    page.one("#classify").click()
    assert page.one("#error").text == "Type a text first."


def test_examples_are_judged_at_a_click(page: Page) -> None:
    for place, decision in enumerate(["Allow", "Review", "Review"]):
        page.browser.execute_script("document.getElementById('results').replaceChildren()")
        page.all("#examples button")[place].click()
        [card] = page.cards()
        assert card.find_element(By.CSS_SELECTOR, ".decision").text.endswith(decision)


def test_error_is_told_in_the_words_of_the_service(chromium: webdriver.Chrome, live: Live) -> None:
    page = Page(chromium, f"{live.url}/")
    chromium.execute_script("document.getElementById('text').value = 'a '.repeat(15000)")
    page.one("#text").send_keys("b")
    assert "over" in (page.one("#text-count").get_attribute("class") or "")
    page.one("#classify").click()
    wait_until(lambda: page.one("#error").is_displayed())
    assert "Must have at most 20480 characters; this has 30001." in page.one("#error").text


def test_stand_in_is_marked_degraded(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    variables = {
        "MODERATOR__CLASSIFIER__NAME": "koala",
        "MODERATOR__CLASSIFIER__CONFIG__URL": f"http://127.0.0.1:{unused_port()}/",
        "MODERATOR__CLASSIFIER__ON_UNAVAILABLE": "embedded",
        "BEARER_TOKEN": "hf_x",
    }
    with serving(tmp_path / "log", variables) as running:
        page = Page(chromium, f"{running.url}/")
        page.classify("you are such a pathetic idiot")
        assert page.one(".degraded").is_displayed()
        assert f"review from {REVIEWED}" in page.words(".reasons li")[0], "by the stand-in's own thresholds"


def test_page_shows_the_policy_of_who_asks(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    secret, key = make_key("playground", ["classify"], created="2026-01-01")
    ApiKeys([key]).save(tmp_path / "keys.json")
    (tmp_path / "tenants.yml").write_text(
        "policies: {children: {embedded: {HR: {review: 0.33, block: null}}, terms: {block: [grumbit]}}}\n"
        "tenants: {playground: {policy: children}}\n"
    )
    variables = {
        "MODERATOR__AUTH__MODE": "api_key",
        "MODERATOR__AUTH__KEYS_FILE": str(tmp_path / "keys.json"),
        "MODERATOR__TENANTS__FILE": str(tmp_path / "tenants.yml"),
    }
    with serving(tmp_path / "log", variables) as running:
        page = Page(chromium, f"{running.url}/")
        page.one("#key").send_keys(secret)
        page.classify("Good morning. What a grumb1t. See you.")
        assert page.words(".reasons li") == ["term \u201cgrumbit\u201d: block"]
        assert page.one(".passage strong").text == "What a grumb1t."
        assert "policy children, version " in page.one(".source").text
        assert any("review from 0.33" in (each.get_attribute("title") or "") for each in page.all(".mark"))
        assert page.complaints() == []


def test_page_of_a_locked_service_takes_a_key(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    secret, key = make_key("forum", ["classify"], created="2026-01-01")
    ApiKeys([key]).save(tmp_path / "keys.json")
    variables = {
        "MODERATOR__AUTH__MODE": "api_key",
        "MODERATOR__AUTH__KEYS_FILE": str(tmp_path / "keys.json"),
    }
    with serving(tmp_path / "log", variables) as running:
        page = Page(chromium, f"{running.url}/")
        page.one("#text").send_keys("good morning")
        page.one("#classify").click()
        wait_until(lambda: page.one("#error").is_displayed())
        assert "Send an API key" in page.one("#error").text
        page.one("#key").send_keys(secret)
        page.classify("good morning")
        page.one("summary").click()
        assert "YOUR_KEY" in page.one("#snippet").text
        assert secret not in page.one("#snippet").text
        assert secret not in running.output


def test_service_that_is_gone_is_told(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    with serving(tmp_path / "log") as running:
        page = Page(chromium, f"{running.url}/")
    page.one("#text").send_keys("one")
    page.one("#classify").click()
    wait_until(lambda: page.one("#error").is_displayed())
    assert page.one("#error").text == "The service did not answer."


def emulate(browser: webdriver.Chrome, *, scheme: str, phone: bool) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    if phone:
        size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    else:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def _usual(chromium: webdriver.Chrome) -> Iterator[None]:
    yield
    emulate(chromium, scheme="light", phone=False)


@pytest.mark.usefixtures("_usual")
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(scheme: str, phone: bool, page: Page) -> None:
    """axe-core finds nothing in WCAG 2.2 AA and its best practices; on a phone nothing is cut off."""
    if not AXE.exists():
        pytest.skip(f"{AXE.relative_to(ROOT)} is absent: make clients")
    emulate(page.browser, scheme=scheme, phone=phone)
    page.one("#compare").click()
    page.classify(THREAT, "You are kind.")
    page.one("summary").click()
    time.sleep(0.4)  # the bars grow
    page.browser.execute_script(AXE.read_text())
    found: Any = page.browser.execute_async_script(
        "axe.run().then(arguments[0], error => arguments[0]({violations: [String(error)]}))"
    )
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert len(found["passes"]) > 20
    width, inner = page.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= inner


def test_documentation_works_without_the_internet(chromium: webdriver.Chrome, live: Live) -> None:
    page = Page(chromium, f"{live.url}/docs")
    wait_until(lambda: len(page.all(".opblock")) >= 9, seconds=20)
    assert "/v1/moderations" in page.words(".opblock-summary-path")[2].replace("\u200b", "")
    assert page.all(".errors-wrapper") == []
    assert page.complaints() == []
    assert page.asked_outside() == []


def test_documentation_can_ask_the_service(chromium: webdriver.Chrome, live: Live) -> None:
    page = Page(chromium, f"{live.url}/docs")
    wait_until(lambda: len(page.all(".opblock")) >= 9, seconds=20)
    page.one("#operations-classify-classify .opblock-summary-control").click()
    wait_until(lambda: page.all(".try-out__btn") != [])
    page.one(".try-out__btn").click()
    wait_until(lambda: page.all(".execute") != [])
    page.one(".execute").click()
    wait_until(lambda: page.all(".live-responses-table .response-col_status") != [], seconds=20)
    assert page.one(".live-responses-table tbody .response-col_status").text.startswith("200")
    assert page.complaints() == []

"""The page in headless Chromium: nothing is asked for, nothing complained of, tables sort, nothing overflows."""

import shutil

import pytest
from browser import Browser

import bitspike

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def page(run_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("browser")
    shutil.copytree(run_folder, place / "run")
    return bitspike.report(place / "run", place / "page.html", samples=30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def column(browser, table, number):
    """The numbers behind a column, from the top down."""
    cells = f"document.querySelectorAll('#{table}-table tbody td:nth-child({number})')"
    return browser.run(f"[...{cells}].map((cell) => Number(cell.dataset.value))")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_it_loads_alone_and_without_complaint(page, browser, width, scheme):
    browser.open(page.path.as_uri(), width=width, scheme=scheme)
    assert browser.complaints() == []
    first, *others = browser.requests()
    assert first == page.path.as_uri()
    # Pictures of many spikes lie in the page.
    assert all(address.startswith("data:image/png;base64,") for address in others)
    assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
    ground = browser.run("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 23, 27)"}[scheme]


def test_a_click_sorts_a_table_and_another_turns_it(page, browser):
    browser.open(page.path.as_uri())
    head = "#pareto-table thead th:nth-child(5) button"
    before = column(browser, "pareto", 5)
    assert before != sorted(before)
    browser.click(head)
    assert column(browser, "pareto", 5) == sorted(before)
    assert browser.run("document.querySelector('#pareto-table th:nth-child(5)').ariaSort") == "ascending"
    browser.click(head)
    assert column(browser, "pareto", 5) == sorted(before, reverse=True)
    # The rows stayed whole: energies go with their operations.
    points = {p.energy_nj: p.operations for p in page.findings.pareto.points}
    assert column(browser, "pareto", 4) == [points[energy] for energy in column(browser, "pareto", 5)]
    browser.click("#terms-table thead th:nth-child(1) button")
    names = "[...document.querySelectorAll('#terms-table tbody th')].map((cell) => cell.textContent)"
    assert browser.run(names) == sorted(browser.run(names), key=str.casefold)
    assert browser.complaints() == []


def test_the_network_is_out_of_reach(page, browser):
    """Even a script in the page could not call out: the page's own policy forbids it."""
    browser.open(page.path.as_uri())
    browser.run("fetch('https://example.org/').catch(() => {}); new Image().src = 'https://example.org/a.png'; 0")
    browser.run("1")
    assert len([line for line in browser.complaints() if "Content Security Policy" in line]) >= 2
    responses = browser.named("Network.responseReceived")
    assert all(not e["params"]["response"]["url"].startswith("http") for e in responses)


def test_the_certificate_can_be_saved(page, browser, tmp_path):
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True)
    browser.open(page.path.as_uri())
    browser.click("a[download]")
    while not any(e["params"]["state"] == "completed" for e in browser.named("Browser.downloadProgress")):
        browser.wait()
    (saved,) = tmp_path.iterdir()
    assert saved.name == "page.certificate.json"
    assert saved.read_bytes() == page.findings.beside.certificate.read_bytes()


def test_it_has_pictures_and_prints(page, browser, tmp_path):
    browser.open(page.path.as_uri())
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    figures = browser.run("[...document.querySelectorAll('figure svg')].map((e) => e.getBoundingClientRect().width)")
    assert len(figures) >= 7
    assert all(width > 200 for width in figures)
    words = "[...document.querySelectorAll('svg[role=img]')].map((e) => e.querySelector('desc').textContent.length)"
    assert all(length > 20 for length in browser.run(words))

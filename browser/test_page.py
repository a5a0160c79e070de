"""The page does what it says: it tells the story, and can be used with the mouse, with the keys, in the dark, by many tasks."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recordings import crowd, kitchen, work_queue
from rondeau.recording import Recording
from rondeau.recording.model import WAIT_KINDS
from test_recording_page import HOSTILE, hostile

ROOT = Path(__file__).parent.parent
RULER, NAMES, HEAD, ROW = 26, 210, 26 + 30 + 5, 40  # as lanes.js lays out a few tasks


@pytest.fixture
def cook(opened):
    return opened(kitchen())


def row(number):
    """The middle of a task's lane."""
    return HEAD + number * ROW + ROW // 2


def test_the_kitchen_tells_its_story_at_a_glance(cook):
    page = cook.page
    assert page.title() == "kitchen.py · Rondeau"
    assert page.locator("#headline").text_content() == "1.04 s of wall time, 2.80 s of waiting: 2.7 waits at a time, at most 4."
    assert page.locator("#bars").get_attribute("aria-label") == (
        "One after another, waits and work would have taken 2.96 s; it took 1.04 s."
    )
    assert cook.rows() == ["main (Task-1)", "soup (Task-2)", "roast (Task-3)", "salad (Task-4)", "dessert (Task-5)"]
    # Four lanes wait in the middle of the evening, and the loop idles; at its beginning one runs and the rest are ready.
    x = NAMES + (cook.lanes.bounding_box()["width"] - NAMES) * 0.25
    kinds = [cook.pixel(x, row(number) + 12) for number in range(1, 5)]
    assert kinds == [cook.colour("socket"), *[cook.colour("thread")] * 3]
    assert [cook.pixel(NAMES + 6, row(number)) for number in range(1, 5)] == [
        cook.colour("running"),
        *[cook.colour("ready")] * 3,
    ]
    cook.shot("kitchen", full_page=True)


@pytest.mark.parametrize(
    ("example", "lanes"),
    [("kitchen", ["main", "soup", "roast", "salad", "dessert"]), ("work_queue", ["main", "worker", "worker"])],
)
def test_a_real_evening(opened, tmp_path, example, lanes):
    """An example as it runs. README's docs/kitchen.png is the kitchen's screenshot of this test."""
    out = tmp_path / example
    command = [sys.executable, "-m", "rondeau", "trace", f"--out={out}", f"examples/{example}.py"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        for line in program.stdout:
            if "asks" in line:
                time.sleep(0.6)  # So long the guest thinks; for the picture, nothing depends on it.
                program.stdin.write("cherries\n")
                program.stdin.flush()
    assert program.returncode == 0
    page = opened(Recording.load(f"{out}.rondeau"), viewport={"width": 1300, "height": 860})
    assert [name.split()[0] for name in page.rows()] == lanes
    page.shot(f"real-{example}")


def test_a_click_tells_all_of_a_task(cook):
    cook.lanes.click(position={"x": 700, "y": row(1)})
    cook.settle()
    details = cook.page.locator("#details")
    assert cook.said() == "soup (Task-2) selected"
    text = details.inner_text()
    for part in (
        "kitchen.py:71",
        "Done after 1.04 s, in 2 steps",
        "waiting: socket",
        "read from 127.0.0.1:43210",
        "woken by the loop",
    ):
        assert part in text
    cook.shot("selected")
    details.get_by_role("button", name="main (Task-1)").first.click()
    cook.settle()
    assert cook.said() == "main (Task-1) selected"
    assert "woken by soup (Task-2)" in details.inner_text()
    details.get_by_role("button", name="gather of 4 tasks").click()
    assert cook.shown() == "0 s to 1.04 s of 1.04 s"
    details.get_by_role("button", name="Close").click()
    cook.settle()
    assert details.is_hidden()


def test_the_pointer_is_told_what_is_under_it(cook):
    cook.lanes.hover(position={"x": 700, "y": row(2)})
    tip = cook.page.locator("#tip")
    assert tip.inner_text().splitlines() == ["roast (Task-3)", "waiting: to_thread(oven), 800 ms", "from 40.3 ms to 840 ms"]
    cook.lanes.hover(position={"x": 700, "y": RULER + 14})
    assert "idle: nothing was ready" in tip.inner_text()
    cook.page.mouse.move(5, 5)
    assert tip.is_hidden()


def test_zoom_with_wheel_and_buttons(cook):
    whole = "0 s to 1.04 s of 1.04 s"
    assert cook.shown() == whole
    cook.lanes.hover(position={"x": 700, "y": row(1)})
    cook.page.keyboard.down("Control")
    cook.page.mouse.wheel(0, -300)
    cook.page.keyboard.up("Control")
    zoomed = cook.shown()
    assert zoomed != whole
    cook.page.keyboard.down("Shift")
    cook.page.mouse.wheel(0, 200)
    cook.page.keyboard.up("Shift")
    assert cook.shown() not in (whole, zoomed)
    cook.page.get_by_role("button", name="All of it").or_(cook.page.locator("#zoom-all")).first.click()
    assert cook.shown() == whole
    cook.page.get_by_role("button", name="Zoom in").click()
    assert cook.shown() == "208 ms to 833 ms of 1.04 s"
    cook.page.get_by_role("button", name="Zoom out").click()
    assert cook.shown() == whole
    cook.strip.hover(position={"x": 800, "y": 40})
    cook.page.mouse.wheel(0, -300)
    assert cook.shown() != whole


def drag(opened, locator, since, until, y):
    box = locator.bounding_box()
    opened.page.mouse.move(box["x"] + since, box["y"] + y)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + until, box["y"] + y, steps=4)
    opened.page.mouse.up()


def test_a_range_is_drawn_with_the_pointer(cook):
    drag(cook, cook.lanes, 500, 700, 10)  # on the ruler
    first = cook.shown()
    assert first != "0 s to 1.04 s of 1.04 s"
    drag(cook, cook.lanes, 700, 500, row(1))  # the lanes follow the hand
    assert cook.shown() != first
    cook.strip.dblclick(position={"x": 300, "y": 20})
    assert cook.shown() == "0 s to 1.04 s of 1.04 s"
    drag(cook, cook.strip, 400, 600, 40)
    window = cook.shown()
    drag(cook, cook.strip, 500, 700, 40)  # the window moves
    assert cook.shown() != window
    cook.shot("zoomed")


def test_everything_can_be_done_with_keys(cook):
    page = cook.page
    cook.lanes.focus()
    for key, said in [
        ("ArrowDown", "main (Task-1)"),
        ("ArrowDown", "soup (Task-2)"),
        ("ArrowUp", "main (Task-1)"),
        ("PageDown", "dessert (Task-5)"),
    ]:
        page.keyboard.press(key)
        assert cook.said() == f"{said} selected"
    page.keyboard.press("Enter")
    assert cook.shown() == "0 s to 728 ms of 1.04 s"
    page.keyboard.press("+")
    near = cook.shown()
    page.keyboard.press("ArrowRight")
    assert cook.shown() != near
    page.keyboard.press("0")
    assert cook.shown() == "0 s to 1.04 s of 1.04 s"
    page.keyboard.press("Escape")
    cook.settle()
    assert page.locator("#details").is_hidden()
    page.keyboard.press("/")
    page.keyboard.type("sal")
    assert cook.rows() == ["salad (Task-4)"]
    page.keyboard.press("Enter")
    assert cook.said() == "salad (Task-4) selected"
    page.keyboard.press("ArrowDown")  # The lanes have the focus again.
    assert cook.said() == "salad (Task-4) selected"


def test_the_table_sorts_and_the_timeline_follows(cook):
    page = cook.page
    page.get_by_role("button", name="waited", exact=True).click()
    assert cook.rows() == ["main (Task-1)", "soup (Task-2)", "roast (Task-3)", "dessert (Task-5)", "salad (Task-4)"]
    assert page.get_by_role("columnheader", name="waited").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="waited", exact=True).click()
    assert cook.rows()[0] == "salad (Task-4)"
    cook.lanes.click(position={"x": 100, "y": row(0)})
    assert cook.said() == "salad (Task-4) selected"
    page.get_by_role("button", name="task", exact=True).click()
    assert cook.rows()[0] == "dessert (Task-5)"


def test_search_finds_by_name_and_by_place(cook):
    search = cook.page.locator("#search")
    search.fill("KITCHEN.py:85")
    assert cook.rows() == ["roast (Task-3)"]
    assert cook.page.locator("#found").text_content() == "1 of 5 tasks"
    search.fill("nothing like it")
    assert cook.rows() == []
    search.fill("")
    assert len(cook.rows()) == 5


def test_names_in_a_trace_are_text(opened):
    page = opened(hostile())
    assert page.page.title() == f"{HOSTILE[0].rpartition('/')[2]}.py · Rondeau"
    assert set(page.rows()) <= set(HOSTILE) | {name.replace("\x00", "\ufffd").replace("\udc80", "\ufffd") for name in HOSTILE}
    assert page.page.locator("script").count() == 2
    assert page.page.locator("img, svg[onload], iframe, object, embed").count() == 0
    page.lanes.hover(position={"x": 700, "y": row(1)})
    page.lanes.click(position={"x": 700, "y": row(1) + 30})  # Below the callbacks' lane.
    page.settle()
    assert HOSTILE[1] in page.page.locator("#details h3").text_content()
    page.page.locator("#held details").first.click()
    assert page.page.evaluate("document.title") == page.page.title()
    page.shot("hostile", full_page=True)


def test_no_script_of_anybody_elses_runs(opened):
    """The policy itself: a script that gets into the document, in whatever way, is refused."""
    cook = opened(kitchen())
    page = cook.page
    refused = page.evaluate(
        """() => new Promise((done) => {
             addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
             const script = document.createElement("script");
             script.textContent = "document.title = 'owned'";
             document.body.append(script);
           })"""
    )
    assert refused.startswith("script-src")
    (said,) = cook.wrong
    assert "Content Security Policy" in said
    cook.wrong.clear()
    assert page.title() == "kitchen.py · Rondeau"


def test_ten_thousand_tasks(opened):
    many = opened(crowd(10_000, 20))
    page = many.page
    assert page.locator("#tasks-note").text_content() == "10,001"
    assert len(many.rows()) < 40  # Only those in sight exist.
    many.shot("ten-thousand")
    page.locator(".rows").evaluate("(rows) => { rows.scrollTop = rows.scrollHeight; }")
    assert many.rows()[-1] == "connection 9999"
    page.locator("#search").fill("connection 77")
    many.settle()
    assert page.locator("#found").text_content() == f"{sum('77' in str(number) for number in range(10_000))} of 10,001 tasks"
    page.keyboard.press("Enter")
    many.settle()
    assert many.said() == "connection 77 selected"
    page.get_by_role("button", name="Show").first.click()
    assert many.shown() != "0 s to 2.00 s of 2.00 s"
    many.shot("ten-thousand-zoomed")
    assert "requests/sessions.py:703" in page.locator("#held-rows").inner_text()


def luminance(colour):
    parts = [value / 255 / 12.92 if value / 255 <= 0.03928 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_contrast(opened, scheme):
    """WCAG 2.2: 4.5 for text, 3 for what must be seen."""
    queue = opened(work_queue(), color_scheme=scheme)
    card, paper = queue.colour("card"), queue.colour("paper")
    assert (luminance(card) > 0.5) == (scheme == "light")
    for text in ("ink", "soft", "blocked", "focus"):
        assert contrast(queue.colour(text), card) >= 4.5, text
        assert contrast(queue.colour(text), paper) >= 4.5, text
    tint = float(queue.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--tint')"))
    kinds = WAIT_KINDS
    for kind in [*kinds, "running"]:
        assert contrast(queue.colour(kind), card) >= (2.3 if kind == "task" else 3), kind
    for kind in kinds:
        ground = [round(tint * a + (1 - tint) * b) for a, b in zip(queue.colour(kind), card, strict=True)]
        assert contrast(queue.colour("label"), ground) >= 4.5, kind
    queue.shot(f"work-queue-{scheme}", full_page=True)
    queue.page.locator("#theme").click()
    queue.settle()
    assert (luminance(queue.colour("card")) > 0.5) != (scheme == "light")


def test_it_can_be_read_without_scripts(opened):
    page = opened(kitchen(), java_script_enabled=False).page
    assert "2.80 s of waiting" in page.locator("#headline").text_content()
    assert "dessert (Task-5) (kitchen.py:122)" in page.locator(".words pre").text_content()
    assert "needs JavaScript" in page.locator("noscript").text_content()


def test_every_control_has_a_name_and_can_be_reached(cook):
    page = cook.page
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, canvas, [tabindex]")]
             .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length))
             .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
    reached = set()
    page.evaluate("document.body.focus()")
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "search", "arrows", "zoom-in", "zoom-out", "zoom-all", "overview", "lanes", "rows"} <= reached


def test_a_narrow_screen_has_no_sideways_scroll(opened):
    for width in (390, 760):
        narrow = opened(kitchen(), viewport={"width": width, "height": 900})
        narrow.settle()
        assert narrow.page.evaluate("document.documentElement.scrollWidth") <= width
        narrow.shot(f"narrow-{width}")


def test_an_empty_recording_says_so(opened):
    empty = opened(Recording(program="idle.py"))
    assert re.search("no event was recorded", empty.page.locator("#headline").text_content())
    empty.shot("empty")

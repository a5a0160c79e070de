"""The page and the trace, as files: what is in them, and that no name gets out of its place. page/ opens them in a browser."""

import base64
import hashlib
import html.parser
import json
import re
import struct
import zlib

import pytest

from recordings import MS, Maker, crowd, kitchen, work_queue
from rondeau.recording import Kind, Recording, analyse, write_page, write_perfetto
from rondeau.recording.page import page

HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"><svg onload=alert(1)>",
    "]]>\u2028\u2029\x00\udc80&lt;/script>",
    "${title} $title $$ {{7*7}}",
    "javascript:alert(1)",
]


def hostile():
    """Every field that a program can choose is hostile."""
    m = Maker(f"/app/{HOSTILE[0]}.py", driver=HOSTILE[1], python=HOSTILE[2], rondeau=HOSTILE[3], loops=[HOSTILE[0]])
    m.recording.argv = HOSTILE
    creator = 0
    for name in HOSTILE:
        task = m.task(name, name, 3, creator, file=f"/app/{name}")
        m.recording.tasks[task].created_file = name
        m.run(task)
        m.at(m.now / MS + 150)
        m.wait(task, "lock", name, creator)
        m.block(140, name, 3, name, task)
        creator = task
    bell = m.task(HOSTILE[0], HOSTILE[1], kind="callback")
    m.callback(bell, 120)
    for task in range(2, len(HOSTILE) + 1):
        m.ready(task, task - 1)
        m.run(task)
        m.done(task, Kind.FAILED)
    return m.made()


class Elements(html.parser.HTMLParser):
    """Every element with its attributes, and the text of each."""

    def __init__(self, text):
        super().__init__()
        self.found, self.inside = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.inside = []
        self.found.append((tag, dict(attributes), self.inside))

    def handle_endtag(self, tag):
        self.inside = []

    def handle_data(self, data):
        self.inside.append(data)

    def all(self, tag):
        return [(attributes, "".join(text)) for found, attributes, text in self.found if found == tag]


def data_of(text):
    (slot,) = [body for attributes, body in Elements(text).all("script") if attributes.get("type") == "application/json"]
    return json.loads(slot)


def test_hostile_names_make_no_element_and_no_attribute():
    plain, bad = Elements(page(kitchen())), Elements(page(hostile()))
    assert [(tag, attributes.keys()) for tag, attributes, _ in bad.found] == [
        (tag, attributes.keys()) for tag, attributes, _ in plain.found
    ]
    names = [lane[1] for lane in data_of(page(hostile()))["lanes"]]
    assert names == HOSTILE


def test_the_policy_allows_this_script_and_this_style_and_nothing_else():
    for recording in (kitchen(), hostile()):
        elements = Elements(page(recording))
        (policy,) = [a["content"] for a, _ in elements.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["base-uri"] == rules["form-action"] == "'none'"
        assert rules["img-src"] == "data:"
        scripts = [text for attributes, text in elements.all("script") if "type" not in attributes]
        for rule, (text,) in [("script-src", scripts), ("style-src", [text for _, text in elements.all("style")])]:
            assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_needs_nothing_from_anywhere():
    elements = Elements(page(kitchen()))
    for tag, attributes, _ in elements.found:
        for name in ("src", "href", "action", "poster", "srcset"):
            if name in attributes:
                assert (tag, name) == ("link", "href"), (tag, name)
                assert attributes[name].startswith("data:image/svg+xml,")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    script = next(text for attributes, text in elements.all("script") if "type" not in attributes)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
        "XMLHttp",
        "import(",
    ):
        assert word not in script
    assert not re.search(r"https?://", page(kitchen()).replace("http://www.w3.org/2000/svg", ""))


def test_the_segments_are_the_analysis():
    found = analyse(work_queue())
    data = data_of(page(found))
    raw, count = zlib.decompress(base64.b64decode(data["segments"])), data["count"]
    assert len(raw) == 17 * count
    steps = struct.unpack_from(f"<{count}d", raw)
    times, now = [], 0
    for step in steps:
        times.append(now := now + step)
    assert times == [start - found.began for start in found.segments.start]
    assert list(struct.unpack_from(f"<{count}I", raw, 8 * count)) == list(found.segments.lane)
    assert list(struct.unpack_from(f"<{count}I", raw, 12 * count)) == list(found.segments.reference)
    assert list(raw[16 * count :]) == list(found.segments.state)
    assert [lane[1] for lane in data["lanes"]] == ["main (Task-1)", "worker One", "worker Two"]


def test_the_pages_time_begins_with_the_loop():
    m = Maker()
    m.at(1000)
    task = m.task("late")
    m.run(task)
    m.at(1500)
    m.done(task)
    data = data_of(page(m.made(3000)))
    assert data["duration"] == 500 * MS
    assert data["lanes"][0][6:8] == [0, 500 * MS]
    assert data["held"][0][0] == 0


@pytest.mark.parametrize("recording", [Recording(), hostile()])
def test_any_recording_has_a_page_and_a_trace(tmp_path, recording):
    write_page(recording, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8").endswith("</html>\n")
    write_perfetto(recording, tmp_path / "trace.json")
    json.loads((tmp_path / "trace.json").read_bytes())


def traced(recording, tmp_path):
    """The trace's events, and each thread's name by its number."""
    write_perfetto(recording, tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_bytes())["traceEvents"]
    return events, {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}


def imported(events):
    """The arrows, as (slice, slice): what Perfetto's importer makes of the events, by its rules.

    Events are taken in the order of their times, those of one time as the file has them. A slice is put on its thread's stack,
    from which all that have ended are taken; it must end before the one below does. An arrow starts at the uppermost slice.
    """
    stacks, under_way, starts, arrows = {}, {}, {}, []
    for event in sorted((e for e in events if e["ph"] != "M"), key=lambda e: round(e["ts"] * 1000)):
        stack, time = stacks.setdefault((event["pid"], event["tid"]), []), round(event["ts"] * 1000)
        if event["ph"] == "X":
            end = time + round(event["dur"] * 1000)
            while stack and stack[-1][0] <= time:
                stack.pop()
            assert all(end <= outer for outer, _ in stack), event
            stack.append((end, event))
            arrows += [(starts[number], event) for number in under_way.pop(event["tid"], [])]
        elif event["ph"] == "s":
            starts[event["id"]] = stack[-1][1]
        else:
            under_way.setdefault(event["tid"], []).append(event["id"])
    assert not under_way
    return arrows


def test_the_trace_has_a_slice_for_each_state_and_an_arrow_for_each_waking(tmp_path):
    events, threads = traced(kitchen(), tmp_path)
    assert list(threads.values()) == [
        "the loop", "callbacks", "main (Task-1)", "soup (Task-2)", "roast (Task-3)", "salad (Task-4)", "dessert (Task-5)",
    ]  # fmt: skip
    soup = [(e["name"], e["ts"], round(e["dur"])) for e in events if e["ph"] == "X" and threads[e["tid"]].startswith("soup")]
    assert soup == [
        ("ready", 100.0, 200),
        ("running", 300.0, 20_000),
        ("read from 127.0.0.1:43210", 20_300.0, 1_000_000),
        ("ready", 1_020_300.0, 50),
        ("running", 1_020_350.0, 20_000),
    ]
    arrows = [(threads[a["tid"]].split()[0], threads[b["tid"]].split()[0]) for a, b in imported(events)]
    assert arrows == [("main", "soup"), ("main", "roast"), ("main", "salad"), ("main", "dessert"), ("soup", "main")]
    assert {(a["name"], b["name"]) for a, b in imported(events)} == {("running", "running")}


@pytest.mark.parametrize("recording", [kitchen(), work_queue(), crowd(60, 6), hostile()])
def test_slices_are_disjoint_or_nested_and_arrows_have_both_ends(tmp_path, recording):
    events, _ = traced(recording, tmp_path)
    arrows = imported(events)
    assert len(arrows) == sum(e["ph"] == "s" for e in events)
    assert all(event["name"] == "running" for _, event in arrows)
    slices = [e for e in events if e["ph"] == "X"]
    assert not [e for e in slices if e["name"] == "ready" and not e["dur"]]


def test_an_arrow_starts_at_the_callback_that_woke(tmp_path):
    m = Maker()
    task, bell = m.task("soup"), m.task("bell", kind="callback")
    m.run(task)
    m.wait(task, "future")
    m.callback(bell, 2, wakes=task)
    m.run(task)
    m.done(task)
    events, threads = traced(m.made(), tmp_path)
    assert [(threads[a["tid"]], a["name"], threads[b["tid"]], b["name"]) for a, b in imported(events)] == [
        ("callbacks", "bell", "soup", "running")
    ]


def test_who_wakes_before_it_was_seen_to_run_has_no_arrow(tmp_path):
    m = Maker()
    early, late = m.task("early"), m.task("late")
    m.ready(early, late)
    m.run(early)
    m.done(early)
    m.run(late)
    m.done(late)
    events, _ = traced(m.made(), tmp_path)
    assert imported(events) == []


def test_blocks_that_cross_are_cut(tmp_path):
    m = Maker()
    m.task("outer")
    for began, length in ((150, 20), (0, 300), (100, 300), (500, 200)):
        m.at(began + length)
        m.block(length, "/app/app.py", began)
    events, threads = traced(m.made(800), tmp_path)
    imported(events)
    blocks = [(threads[e["tid"]], e["name"], e["ts"] / 1000, e["dur"] / 1000) for e in events if e.get("cat") == "blocked"]
    assert blocks == [
        ("blocked", "app.py", 0, 300),
        ("blocked", "app.py:100", 100, 200),
        ("blocked", "app.py:150", 150, 20),
        ("blocked", "app.py:500", 500, 200),
    ]


def test_threads_of_two_loops_have_numbers_of_their_own_and_an_order(tmp_path):
    m = Maker(loops=["MainThread", "Thread-1"])
    for number in (0, 1):
        m.loop = number
        task = m.task(f"task of {number}")
        m.run(task)
        m.done(task)
    events, _ = traced(m.made(), tmp_path)
    named = [e for e in events if e["name"] == "thread_name"]
    assert len({e["tid"] for e in named}) == len(named)
    assert [e["args"]["name"] for e in named if e["tid"] == e["pid"]] == ["the loop"] * 2
    order = {e["tid"]: e["args"]["sort_index"] for e in events if e["name"] == "thread_sort_index"}
    for process in (1, 2):
        mine = sorted((order[e["tid"]], e["args"]["name"]) for e in named if e["pid"] == process)
        assert [name for _, name in mine] == ["the loop", "callbacks", f"task of {process - 1}"]


def test_no_surrogate_is_escaped(tmp_path):
    """Perfetto reads no trace that has one; JSON in ASCII would write each character beyond U+FFFF as two."""
    m = Maker("/app/\U0001f372.py")
    task = m.task("soup \U0001f372 \udc80 \u202emoorhsum", "", 0)
    m.run(task)
    m.done(task)
    _, threads = traced(m.made(), tmp_path)
    assert threads[max(threads)] == "soup \U0001f372 ? \u202emoorhsum"
    text = (tmp_path / "trace.json").read_text("utf-8").partition('"otherData"')[0]
    assert not re.search(r"\\ud[89a-f]", text, re.IGNORECASE)

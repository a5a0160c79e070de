// What is told of one task: in a small box where the pointer is, and at length beside the timeline for the one that is selected.

const tip = $("tip"), panel = $("details");
const MOST = 200;

function showTip(x, y) {
  const { lane, time } = hovered ?? {};
  const block = lane !== undefined && lane >= 0 && lane < pinned ? blockAt(lane, time) : null;
  if (lane === undefined || lane < 0 || time === null) {
    tip.hidden = true;
    return;
  }
  const i = segmentAt(lane, time);
  const lines = [make("strong", { text: lanes[lane].name })];
  if (block) {
    lines.push(make("span", { text: `blocked for ${duration(block[1])} by ${who(block[3])}` }));
    if (block[4]) lines.push(make("br"), make("span", { name: "dim", text: block[4] }));
  } else if (i >= first[lane] && state[i] !== NOTHING && endOf(lane, i) >= time) {
    const length = endOf(lane, i) - start[i];
    lines.push(make("span", { text: `${describe(lane, i)}, ${duration(length)}` }), make("br"));
    lines.push(make("span", { name: "dim", text: `from ${duration(start[i])} to ${duration(start[i] + length)}` }));
  } else if (lane >= pinned) {
    lines.push(make("span", { name: "dim", text: time < lanes[lane].began ? "not made yet" : lanes[lane].outcome }));
  }
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.min(x + 16, innerWidth - width - 8)}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? y - height - 12 : y + 18}px`;
}

function blockAt(lane, time) {
  if (lane % 2) return null;
  return data.held.find(([began, length, loop]) => loop === lane / 2 && length >= data.threshold && began <= time && time < began + length);
}

const swatch = (name) => {
  const element = make("span", { name: "swatch" });
  element.style.background = colours[name];
  return element;
};

// A button that selects a task and brings it into sight.
function link(number) {
  const lane = laneOf.get(number);
  if (lane === undefined) return make("span", { text: who(number) });
  return make("button", { name: "link", type: "button", text: who(number), on: { click: () => { select(lane); reveal(lane); } } });
}

let told = -2;
function drawDetails() {
  if (told === selected) return;
  told = selected;
  panel.hidden = selected < pinned;
  if (panel.hidden) return;
  const lane = lanes[selected];
  const children = [
    make("button", { name: "close", type: "button", text: "×", "aria-label": "Close", on: { click: () => select(-1) } }),
    make("h3", { text: lane.name }),
    make("p", { name: "soft mono", text: lane.place }),
    make("p", {}, made(lane), ` ${lane.created}`),
    make("p", { name: lane.outcome === "failed" ? "failed" : "", text: `${outcomes[lane.outcome]} after ${duration(lane.ended - lane.began)}, in ${count(lane.steps)} ${lane.steps === 1 ? "step" : "steps"}` }),
    spentBar(selected),
  ];
  children.push(make("h4", { text: "Where its time went" }), spentTable(selected));
  const [waits, wakers] = gathered(selected);
  children.push(make("h4", { text: `Its waits${waits.length > MOST ? `, the first ${MOST} of ${count(waits.length)}` : ""}` }));
  const rows = waits.slice(0, MOST).map((i) => {
    const end = endOf(selected, i), woken = i + 1 < first[selected + 1] && state[i + 1] === READY ? reference[i + 1] : null;
    const wait = data.waits[reference[i]];
    const look = make("button", { name: "link", type: "button", text: describe(selected, i).replace(/^waiting: /, ""), on: { click: () => zoomTo(i) } });
    const held = wait?.[2] ? make("span", {}, ", on ", link(wait[2])) : "";
    const by = woken === null ? "never woken" : woken ? make("span", {}, "woken by ", link(woken)) : "woken by the loop";
    return make("tr", {}, make("td", { name: "n", text: duration(end - start[i]) }),
      make("td", {}, swatch(colourName(state[i])), look, held, make("br"), make("span", { name: "soft" }, by)));
  });
  if (rows.length) children.push(make("table", {}, make("tbody", {}, ...rows)));
  if (wakers.size) {
    children.push(make("h4", { text: "Who woke it" }));
    const most = [...wakers].sort((a, b) => b[1] - a[1]).slice(0, 20);
    children.push(make("table", {}, make("tbody", {}, ...most.map(([by, times]) =>
      make("tr", {}, make("td", { name: "n", text: `${count(times)} ×` }), make("td", {}, by ? link(by) : "the loop: a timer, a socket or a thread"))))));
  }
  panel.replaceChildren(...children);
  panel.scrollTop = 0;
}

const outcomes = { done: "Done", failed: "Failed", cancelled: "Cancelled", pending: "Still there at the end," };

function made({ creator }) {
  return creator ? make("span", {}, "made by ", link(creator)) : make("span", { text: "made outside of any task" });
}

function zoomTo(i) {
  const lane = selected, length = Math.max(endOf(lane, i) - start[i], 1000);
  show(start[i] - length * 0.15, start[i] + length * 1.15);
}

function gathered(lane) {
  const waits = [], wakers = new Map();
  for (let i = first[lane]; i < first[lane + 1]; i++) {
    if (state[i] >= WAITING) waits.push(i);
    else if (state[i] === READY && i > first[lane]) wakers.set(reference[i], (wakers.get(reference[i]) ?? 0) + 1);
  }
  return [waits, wakers];
}

// How long the lane was in each state: [state, ns], the longest first.
function spent(lane) {
  const sums = new Map();
  for (let i = first[lane]; i < first[lane + 1]; i++) {
    if (state[i] !== NOTHING) sums.set(state[i], (sums.get(state[i]) ?? 0) + endOf(lane, i) - start[i]);
  }
  return [...sums].sort((a, b) => b[1] - a[1]);
}

function spentBar(lane) {
  const life = Math.max(lanes[lane].ended - lanes[lane].began, 1);
  return make("div", { name: "spent", "aria-hidden": "true" }, ...spent(lane).map(([what, ns]) => {
    const piece = swatch(colourName(what));
    piece.className = "";
    piece.style.width = `${(ns / life) * 100}%`;
    return piece;
  }));
}

function spentTable(lane) {
  const life = Math.max(lanes[lane].ended - lanes[lane].began, 1);
  return make("table", {}, make("tbody", {}, ...spent(lane).map(([what, ns]) =>
    make("tr", {}, make("td", {}, swatch(colourName(what)), stateName(what)),
      make("td", { name: "n", text: duration(ns) }), make("td", { name: "n", text: `${((ns / life) * 100).toFixed(1)} %` })))));
}

const stateName = (what) => (what === RUNNING ? "running" : what === READY ? "ready, not its turn" : `waiting: ${data.kinds[what - WAITING]}`);

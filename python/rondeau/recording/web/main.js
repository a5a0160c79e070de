// What is drawn once (the story, the legend), what is bound to keys and pointers, and the beginning.

function drawStory() {
  $("command").textContent = data.command;
  $("facts").textContent = data.facts.join(" · ");
  const worked = data.loops.reduce((sum, loop) => sum + loop[3] + loop[5], 0);
  drawBars(worked);
  // Of two loops each has its figures; of more, all have them together, and their lanes show each.
  const rows = data.loops.length > 2
    ? figures(["s", "they", "were"], data.loops.reduce((sum, loop) => sum.map((each, n) => each + loopFigures(loop)[n]), [0, 0, 0, 0]))
    : data.loops.flatMap((loop) => figures(["", "it", "was"], loopFigures(loop), data.loops.length > 1 ? ` (${loop[0]})` : ""));
  const delay = lanes.slice(pinned).reduce((most, lane) => Math.max(most, lane.delay), 0);
  rows.push([tasks === 1 ? "task" : "tasks", count(tasks), ""]);
  rows.push(["waited at once", `${data.atOnce ? "at most " : ""}${count(data.atOnce)}`, ""]);
  rows.push(["longest wait for a turn", duration(delay), ""]);
  $("figures").replaceChildren(...rows.map(([title, value, note, bad]) =>
    make("div", { name: bad ? "bad" : "" }, make("dt", { text: title }), make("dd", { text: `${value} ` }, make("small", { text: note })))));
}

const loopFigures = ([, began, ended, work, idle, blocked]) => [ended - began, work, idle, blocked];

function figures([plural, they, were], [all, work, idle, blocked], of = "") {
  const share = (ns) => `${((ns / Math.max(all, 1)) * 100).toFixed(1)} %`;
  return [
    [`the loop${plural} worked${of}`, duration(work), share(work)],
    [`${they} idled${of}: nothing was ready`, duration(idle), share(idle)],
    [`${they} ${were} blocked${of}`, blocked ? duration(blocked) : "never", blocked ? share(blocked) : `for ${duration(data.threshold)} or longer`, blocked > 0],
  ];
}

// Two bars: all waits and all work one after another, and what it really took.
function drawBars(worked) {
  const bars = $("bars");
  if (!data.outside) {
    bars.hidden = true;
    return;
  }
  const outside = new Set(["timer", "socket", "thread", "subprocess", "file"]);
  const parts = data.kinds.map((kind, n) => [kind, data.byWait[n]]).filter(([kind, ns]) => ns && outside.has(kind));
  const rest = data.outside - parts.reduce((sum, [, ns]) => sum + ns, 0);
  if (rest > 0) parts.push(["future", rest]);
  parts.sort((a, b) => b[1] - a[1]);
  parts.push(["running", worked]);
  const total = parts.reduce((sum, [, ns]) => sum + ns, 0);
  const scale = 88 / Math.max(total, data.duration);
  const row = (title, pieces, after) => {
    const track = make("div", { name: "track" });
    pieces.forEach(([name, ns, text], n) => {
      const piece = make("div", { name: n === pieces.length - 1 ? "piece last" : "piece", title: `${text}: ${duration(ns)}` });
      piece.style.width = `max(${ns * scale}%, 2px)`;
      piece.style.borderColor = colours[name];
      piece.style.background = name === "running" ? colours.running : `color-mix(in srgb, ${colours[name]} ${colours.tint * 100}%, transparent)`;
      if (ns * scale > 7) piece.append(make("b", { text: `${text}, ${duration(ns)}` }));
      else piece.style.paddingLeft = "0";
      track.append(piece);
    });
    track.append(make("span", { name: "after", text: after }));
    return [make("span", { text: title }), track];
  };
  bars.replaceChildren(
    ...row("one after another", parts.map(([name, ns]) => [name, ns, name === "running" ? "work" : name]), duration(total)),
    ...row("as it went", [["soft", data.duration, "wall time"]], duration(data.duration)),
  );
  bars.setAttribute("aria-label", `One after another, waits and work would have taken ${duration(total)}; it took ${duration(data.duration)}.`);
}

function drawLegend() {
  const used = new Set();
  for (let lane = pinned; lane < lanes.length; lane++) {
    if (!lanes[lane].housekeeping) for (let i = first[lane]; i < first[lane + 1]; i++) used.add(state[i]);
  }
  const entries = [["running", "runs", ""], ["ready", "ready, not its turn yet", "half"]];
  data.kinds.forEach((kind, n) => { if (used.has(WAITING + n)) entries.push([kind, kind === "task" ? "waits for other tasks" : `waits: ${kind}`, "tinted"]); });
  entries.push(["idle", "the loop idles", "half"]);
  if (data.loops.some(([, , , , , , spans]) => spans.length)) entries.push(["blocked", "the loop is blocked", "hatched"]);
  $("legend").replaceChildren(...entries.map(([name, text, form]) => {
    const sample = make("i", { name: `swatch ${form}` });
    if (form !== "hatched") sample.style.background = form === "tinted" ? `color-mix(in srgb, ${colours[name]} ${colours.tint * 100}%, transparent)` : colours[name];
    sample.style.borderColor = colours[name];
    return make("span", { role: "listitem" }, sample, text);
  }));
}

function drawHeld() {
  $("held").hidden = !data.held.length;
  const worst = [...data.held].sort((a, b) => b[1] - a[1]).slice(0, 50);
  const blocked = data.held.filter(([, length]) => length >= data.threshold).length;
  const often = blocked ? `it was blocked ${blocked === 1 ? "once" : `${count(blocked)} times`}, for ${duration(data.threshold)} or longer` : "";
  $("held-note").textContent = [often, data.held.length > 50 ? "the longest 50" : ""].filter(Boolean).join("; ");
  $("held-rows").replaceChildren(...worst.map(([began, length, , task, place, stack, caught]) => {
    const look = make("button", { type: "button", text: "Show", on: { click: () => {
      show(began - length, began + 2 * length);
      select(laneOf.get(task) ?? -1);
      if (laneOf.has(task)) reveal(laneOf.get(task));
      $("timeline").scrollIntoView({ behavior: "smooth" });
    } } });
    const where = make("td", { name: "mono", text: place || "not known" });
    if (place && !caught) where.append(make("span", { name: "soft", text: "  (its function; nobody looked while it blocked)" }));
    if (stack) where.append(make("details", {}, make("summary", { text: "the stack meanwhile" }), make("pre", { text: stack })));
    return make("tr", {}, make("td", { name: "n", text: duration(length) }), where, make("td", {}, link(task)), make("td", { name: "n", text: duration(began) }), make("td", {}, look));
  }));
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  readColours();
  told = -2;
  drawStory();
  drawLegend();
  refresh();
}

function bindPointers() {
  let drag = null;
  const place = (event) => ({ x: event.offsetX, y: event.offsetY });
  canvas.addEventListener("pointerdown", (event) => {
    const { x, y } = place(event);
    canvas.setPointerCapture(event.pointerId);
    drag = { x, y, from: shown.from, top: scroller.scrollTop, ruler: y < RULER && x > layout.names, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    if (drag) {
      drag.moved ||= Math.abs(x - drag.x) + Math.abs(y - drag.y) > 4;
      if (drag.moved && drag.ruler) dragged = { from: timeAt(drag.x), to: timeAt(x) };
      else if (drag.moved) {
        canvas.classList.add("dragging");
        const wide = (shown.to - shown.from) / (layout.width - layout.names);
        pan((drag.from - (x - drag.x) * wide - shown.from) / (shown.to - shown.from));
        scroller.scrollTop = drag.top - (y - drag.y);
      }
    }
    hovered = { lane: laneAt(y), time: x > layout.names ? timeAt(x) : null, x };
    if (drag?.moved) tip.hidden = true;
    else showTip(event.clientX, event.clientY);
    refresh();
  });
  canvas.addEventListener("pointerup", (event) => {
    const { y } = place(event);
    canvas.classList.remove("dragging");
    if (dragged && Math.abs(xAt(dragged.to) - xAt(dragged.from)) > 4) show(Math.min(dragged.from, dragged.to), Math.max(dragged.from, dragged.to));
    else if (drag && !drag.moved) {
      const lane = laneAt(y);
      select(lane >= pinned && lane !== selected ? lane : -1);
    }
    drag = dragged = null;
    refresh();
  });
  canvas.addEventListener("pointerleave", () => { hovered = null; tip.hidden = true; refresh(); });
  canvas.addEventListener("dblclick", (event) => { const lane = laneAt(event.offsetY); if (lane >= 0) { select(lane < pinned ? -1 : lane); showLane(lane); } });
  canvas.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (event.ctrlKey || event.metaKey || event.offsetY < RULER) zoom(Math.exp(event.deltaY * 0.003), timeAt(event.offsetX));
    else if (event.shiftKey || sideways) pan(((event.deltaX || event.deltaY) / (layout.width - layout.names)) * 1.2);
    else return;
    event.preventDefault();
  }, { passive: false });
  scroller.addEventListener("scroll", refresh);
}

function bindKeys() {
  const keys = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), PageDown: () => step(10), PageUp: () => step(-10),
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), w: () => zoom(0.6), s: () => zoom(1 / 0.6), a: () => pan(-0.2), d: () => pan(0.2),
    0: showAll, Home: showAll, Enter: () => { if (selected >= 0) showLane(selected); }, Escape: () => select(-1),
  };
  for (const element of [canvas, strip, rows]) {
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      keys[event.key]();
      event.preventDefault();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { $("search").focus(); event.preventDefault(); }
    else if (event.target === document.body && keys[event.key] && !event.key.startsWith("Arrow") && !event.key.startsWith("Page") && event.key !== "Home") keys[event.key]();
  });
  $("search").addEventListener("input", (event) => { wanted = event.target.value; arrange(); });
  $("search").addEventListener("keydown", (event) => { if (event.key === "Enter" && order.length) { select(order[0]); reveal(order[0]); canvas.focus(); } });
  $("zoom-in").addEventListener("click", () => zoom(0.6));
  $("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
  $("zoom-all").addEventListener("click", showAll);
  $("arrows").addEventListener("change", refresh);
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  const words = [["Ctrl", " + wheel zooms, "], ["Shift", " + wheel moves, so does dragging; drag on the ruler or above it to choose a range; "], ["+", " "], ["-", " "], ["←", " "], ["→", " "], ["0", " zoom and move, "], ["↑", " "], ["↓", " select, "], ["Enter", " zooms to the task, "], ["/", " searches"]];
  $("keys").replaceChildren(...words.flatMap(([key, text]) => [make("kbd", { text: key }), text]));
}

async function begin() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  await unpack();
  fixed = [...lanes.keys()].filter((lane) => lane < pinned && first[lane] < first[lane + 1]);
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  drawHeld();
  bindPointers();
  bindKeys();
  arrange();
  listeners.push(drawLanes, drawOverview, drawDetails, drawTable);
  new ResizeObserver(refresh).observe(scroller);
  refresh();
}

begin().then(
  () => document.documentElement.setAttribute("data-ready", ""),
  (error) => {
    $("said").classList.remove("hidden");
    $("said").textContent = `The timeline cannot be shown: ${error.message}. A browser of 2023 or later can.`;
    throw error;
  },
);

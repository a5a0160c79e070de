// Colours, canvases in the screen's own pixels, and how one lane is drawn into a strip of them.
//
// Running is solid and full, ready is solid and half as high, waiting is tinted with a solid foot: they can be told apart without
// colours. A lane with more segments than pixels is drawn as what it mostly waited for, with a column for the share it ran.

let colours = {};
let hatch; // what is blocked

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["running", "ready", "blocked", "idle", "paper", "card", "ink", "soft", "line", "hover", "label", "focus", ...data.kinds];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  colours.tint = Number(style.getPropertyValue("--tint"));
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = colours.blocked;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = colours.card;
  pen.lineWidth = 1.6;
  pen.beginPath();
  for (const x of [-8, 0, 8]) {
    pen.moveTo(x - 1, 9);
    pen.lineTo(x + 9, -1);
  }
  pen.stroke();
  hatch = tile;
}

const FONT = '12px system-ui, "Segoe UI", "Helvetica Neue", "Liberation Sans", sans-serif';

// A canvas that is `width` by `height` CSS pixels, cleared, with a pen that counts in these.
function prepare(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  pen.textBaseline = "middle";
  return pen;
}

// As much of a text as there is room for; of a name that is cut, its end tells it from its like.
function fit(pen, text, width, keep = 0) {
  if (width < 14) return "";
  if (pen.measureText(text).width <= width) return text;
  const letters = [...text], end = keep && letters.length > 2 * keep ? letters.slice(-keep).join("") : "";
  const cut = (most) => `${letters.slice(0, most).join("")}…${end}`;
  let low = 0, high = letters.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(cut(middle)).width <= width) low = middle;
    else high = middle - 1;
  }
  return low > 1 ? cut(low) : "";
}

// `area`: left, width, top, height, and from, to in time.
function paintLane(pen, lane, area) {
  const { width, from, to } = area;
  const i = Math.max(segmentAt(lane, from), first[lane]);
  const last = segmentAt(lane, to, i);
  if (last < i || first[lane] === first[lane + 1]) return;
  if (last - i > width / 2) paintDense(pen, lane, i, area);
  else paintEach(pen, lane, i, last, area);
}

function paintEach(pen, lane, i, last, { left, width, top, height, from, to }) {
  const scale = width / (to - from);
  const work = [];
  for (; i <= last; i++) {
    const what = state[i];
    if (what === NOTHING) continue;
    const x = left + Math.max((start[i] - from) * scale, 0);
    const end = left + Math.min((endOf(lane, i) - from) * scale, width);
    if (end < left) continue;
    if (busy(what)) {
      work.push(i, x, Math.max(end - x, 1));
    } else if (end - x < 0.2) {
      continue;
    } else if (what === READY) {
      pen.fillStyle = colours.ready;
      pen.fillRect(x, top + height * 0.25, end - x, height * 0.5);
    } else if (what === IDLE) {
      pen.fillStyle = colours.idle;
      pen.fillRect(x, top + height * 0.3, end - x, height * 0.4);
    } else {
      paintWait(pen, what, x, end - x, top, height);
      if (end - x > 30) {
        const text = describe(lane, i).replace(/^waiting: /, "");
        const seen = fit(pen, text, end - x - 12);
        pen.fillStyle = colours.label;
        if (seen === text || end - x > 70) pen.fillText(seen, x + 7, top + height / 2 - 1);
      }
    }
  }
  for (let n = 0; n < work.length; n += 3) {
    pen.fillStyle = colours.running;
    pen.fillRect(work[n + 1], top, work[n + 2], height);
  }
}

function paintWait(pen, what, x, width, top, height) {
  pen.fillStyle = colours[data.kinds[what - WAITING]];
  pen.globalAlpha = colours.tint;
  pen.fillRect(x, top, width, height);
  pen.globalAlpha = 1;
  const foot = Math.max(2, height * 0.11);
  pen.fillRect(x, top + height - foot, width, foot);
}

function paintDense(pen, lane, i, { left, width, top, height, from, to }) {
  const step = 2, time = (to - from) / width;
  let before = runsUntil(lane, i, from);
  for (let x = 0; x < width; x += step) {
    const until = from + (x + step) * time;
    const at = Math.max(segmentAt(lane, from + (x + step / 2) * time, i), i);
    const after = runsUntil(lane, at, until);
    let what = state[at];
    // The middle may hit a step between two waits; what is around it says more.
    for (let n = at; busy(what) || what === READY; what = state[n]) if (++n >= first[lane + 1] || n > at + 4) break;
    if (what >= WAITING && what < WORKING) paintWait(pen, what, left + x, step, top, height);
    const share = Math.min((after - before) / (step * time), 1);
    if (share > 0) {
      pen.fillStyle = colours.running;
      const tall = Math.max(share * height, 2);
      pen.fillRect(left + x, top + height - tall, step, tall);
    }
    before = after;
    i = at;
  }
}

// How long the lane had run by `time`; `i`: a segment at or before it.
function runsUntil(lane, i, time) {
  i = Math.max(segmentAt(lane, time, Math.max(i, first[lane])), first[lane]);
  if (start[i] > time) return 0;
  return runs[i] + (busy(state[i]) ? Math.min(time, endOf(lane, i)) - start[i] : 0);
}

// Round times for a ruler: about one for every 110 pixels. From ten seconds on they are those of a clock.
const CLOCK = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].map((seconds) => seconds * 1e9);
function ticks(from, to, width) {
  const rough = (to - from) / Math.max(width / 110, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const steps = rough > 1e10 && rough <= CLOCK.at(-1) ? CLOCK : [1, 2, 5, 10].map((factor) => factor * power);
  const step = steps.find((each) => each >= rough);
  const found = [];
  for (let n = Math.ceil(from / step); n * step <= to; n++) found.push(n * step);
  return { found, step };
}

// A tick's name: as fine as its step.
function tickName(time, step) {
  const [unit, size] = step >= 1e9 ? ["s", 1e9] : step >= 1e6 ? ["ms", 1e6] : step >= 1e3 ? ["µs", 1e3] : ["ns", 1];
  if (time >= 1e9 && size < 1e9) return `${(time / 1e9).toFixed(Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / 1e9)))))} s`;
  if (size === 1e9 && time >= 6e10) return duration(time);
  return `${Number((time / size).toFixed(3))} ${time ? unit : "s"}`;
}

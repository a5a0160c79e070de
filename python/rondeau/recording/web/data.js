// The recording: read from the page, unpacked, and laid out so that each lane's segments stand together in the order of time.

const data = JSON.parse(document.getElementById("recording").textContent);
const NOTHING = 0, RUNNING = 1, READY = 2, WAITING = 3, WORKING = 32, IDLE = 33; // as lanes.py numbers them

// A lane of the page. The first ones are the loops' (even) and their callbacks' (odd).
const lanes = [];
for (const [name, began, ended] of data.loops) {
  const title = data.loops.length === 1 ? "the loop" : `loop of ${name}`;
  lanes.push({ name: title, began, ended }, { name: "callbacks", began, ended, callbacks: true });
}
const pinned = lanes.length;
const label = /^(.*?)( \(Task-\d+\))?$/s; // a name nobody gave is written less loud
const laneOf = new Map(); // a task's number → its lane's index
for (const row of data.lanes) {
  const [id, name, coroutine, place, creator, created, began, ended, outcome, running, ready, waited, steps, delay, housekeeping] = row;
  laneOf.set(id, lanes.length);
  lanes.push({
    id, name, label: label.exec(name).slice(1), coroutine, place, creator, created, began, ended, running, ready, waited, steps, delay, housekeeping,
    outcome: data.outcomes[outcome], text: `${name}\n${coroutine}\n${place}`.toLowerCase(),
  });
}

const tasks = lanes.slice(pinned).filter(({ housekeeping }) => !housekeeping).length;

// Columns of the segments; lane L has those from first[L] to before first[L + 1]. One lasts until the next one's start.
let start, state, reference, first;
let runs; // how long the lane had run before each segment

async function unpack() {
  const bytes = Uint8Array.from(atob(data.segments), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const packed = await new Response(stream).arrayBuffer();
  const count = data.count;
  const times = new Float64Array(packed, 0, count);
  const lane = new Uint32Array(packed, 8 * count, count);
  const pointed = new Uint32Array(packed, 12 * count, count);
  const states = new Uint8Array(packed, 16 * count, count);

  first = new Uint32Array(lanes.length + 1);
  for (let i = 0; i < count; i++) first[lane[i] + 1]++;
  for (let l = 0; l < lanes.length; l++) first[l + 1] += first[l];
  const next = first.slice();
  start = new Float64Array(count);
  state = new Uint8Array(count);
  reference = new Uint32Array(count);
  for (let i = 0, now = 0; i < count; i++) {
    now += times[i];
    const place = next[lane[i]]++;
    start[place] = now;
    state[place] = states[i];
    reference[place] = pointed[i];
  }
  runs = new Float64Array(count + 1);
  for (let l = 0; l < lanes.length; l++) {
    for (let i = first[l], sum = 0; i < first[l + 1]; i++) {
      runs[i] = sum;
      if (busy(state[i])) sum += endOf(l, i) - start[i];
    }
  }
}

const busy = (what) => what === RUNNING || what === WORKING;

function endOf(lane, i) {
  return i + 1 < first[lane + 1] ? start[i + 1] : start[i];
}

// The last segment of a lane that begins at or before `time`, from `low` on; first[lane] - 1 if there is none.
function segmentAt(lane, time, low = first[lane]) {
  let high = first[lane + 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (start[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function colourName(what) {
  if (what === RUNNING || what === WORKING) return "running";
  if (what === READY) return "ready";
  if (what === IDLE) return "idle";
  return data.kinds[what - WAITING];
}

// Who a number is, in words.
function who(number) {
  if (!number) return "the loop";
  const lane = laneOf.get(number);
  if (lane !== undefined) return lanes[lane].name;
  return data.callbacks[number] ?? `#${number} (not recorded)`;
}

// What a segment is, in words.
function describe(lane, i) {
  const what = state[i], at = reference[i];
  if (lanes[lane].callbacks) return what === RUNNING ? `running ${who(at)}` : "none runs";
  if (what === RUNNING) return "running";
  if (what === READY) return at ? `ready, thanks to ${who(at)}` : "ready for its turn";
  if (what === WORKING) return "working";
  if (what === IDLE) return "idle: nothing was ready";
  if (what === NOTHING) return "";
  const wait = data.waits[at];
  if (!wait) return "waiting, since before the recording";
  return `waiting: ${wait[1] || wait[0]}`;
}

// The same words as words.py's duration().
function duration(ns) {
  if (!ns) return "0 s";
  for (const [unit, size] of [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]]) {
    const value = ns / size;
    if (value < (unit === "s" ? 59.95 : 999.5)) return `${value.toFixed(size === 1 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2)} ${unit}`;
  }
  const seconds = Math.round(ns / 1e9), minutes = Math.round(seconds / 60);
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

const count = (number) => number.toLocaleString("en-GB");

// An element with text and children; nothing that comes in is ever read as markup.
function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  const { text, name, on, ...attributes } = options;
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  for (const [key, value] of Object.entries(on ?? {})) element.addEventListener(key, value);
  element.append(...children);
  return element;
}

const $ = (id) => document.getElementById(id);

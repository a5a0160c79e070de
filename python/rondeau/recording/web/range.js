// Which part of the recording is shown, which task is selected, and in what order the tasks stand: the page's whole state.
// Whoever changes it calls one of these; whoever shows it is told once a frame.

const whole = [0, Math.max(data.duration, 1)];
const shown = { from: whole[0], to: whole[1] };
const SHORTEST = 200; // ns; below it there is nothing to see
let selected = -1; // a lane's index
let order = [];

const listeners = [];
let asked = false;

function refresh() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const listener of listeners) listener();
  });
}

function show(from, to) {
  const length = Math.min(Math.max(to - from, SHORTEST), whole[1] - whole[0]);
  if (length < to - from) from = whole[0];
  from = Math.min(Math.max(from, whole[0]), whole[1] - length);
  shown.from = from;
  shown.to = from + length;
  refresh();
}

// `by` < 1 zooms in; `at`: the time that stays where it is.
function zoom(by, at = (shown.from + shown.to) / 2) {
  const length = Math.min(Math.max((shown.to - shown.from) * by, SHORTEST), whole[1] - whole[0]);
  const share = (at - shown.from) / (shown.to - shown.from);
  show(at - share * length, at + (1 - share) * length);
}

function pan(share) {
  const by = (shown.to - shown.from) * share;
  const length = shown.to - shown.from;
  const from = Math.min(Math.max(shown.from + by, whole[0]), whole[1] - length);
  show(from, from + length);
}

function showAll() {
  show(whole[0], whole[1]);
}

// The lane and a little around it.
function showLane(lane) {
  const { began, ended } = lanes[lane];
  const around = Math.max((ended - began) * 0.04, SHORTEST);
  show(Math.max(began - around, whole[0]), Math.min(ended + around, whole[1]));
}

function select(lane) {
  selected = lane;
  $("said").textContent = lane < 0 ? "Nothing selected" : `${lanes[lane].name} selected`;
  refresh();
}

// The tasks that are shown, and how they are sorted.
const sorting = { by: "began", down: false };
let wanted = "";

function arrange() {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  order = [];
  for (let lane = pinned; lane < lanes.length; lane++) {
    if (!words.length && lanes[lane].housekeeping) continue; // The runner's own, at the end: found if searched for.
    if (words.every((word) => lanes[lane].text.includes(word))) order.push(lane);
  }
  const { by, down } = sorting;
  const value = (lane) => (by === "lifetime" ? lanes[lane].ended - lanes[lane].began : lanes[lane][by]);
  const compare = ["name", "place", "outcome"].includes(by)
    ? (a, b) => value(a).localeCompare(value(b), "en", { numeric: true })
    : (a, b) => value(a) - value(b);
  order.sort((a, b) => (down ? compare(b, a) : compare(a, b)) || a - b);
  refresh();
}

/** Shows the model in the document, and receives the events. */
import { h, icon, s, sample, show } from "./dom.js";
import { plots } from "./plots.js";
import {
  afterView,
  bytesText,
  countText,
  DAY_MS,
  durationText,
  entriesBehind,
  findings,
  LAGGING_ENTRIES,
  lastSeen,
  leaderReport,
  linksOf,
  listOf,
  microsText,
  ownReport,
  rateText,
  SLOW_SYNC_MICROS,
} from "./model.js";

const MAX_EVENTS = 30;
/** Time without an event after which what is shown counts as old. */
const OLD_MS = 4_000;
const RETRY_MS = 3_000;

const button = document.getElementById("pause");
const beganMs = performance.now();
let model = null;
/** Wall-clock time of the newest event. */
let updatedAt = null;
/** Why there are no events; null while there are. */
let problem = null;
let isPaused = false;

function render() {
  const nowMs = performance.now();
  const isOld = model === null || nowMs - model.updatedAtMs > OLD_MS;
  show("live", liveText(isOld, nowMs));
  if (isPaused) return;
  showVerdict(isOld);
  if (model === null) return;
  show("cluster", `cluster ${model.cluster.slice(0, 8)}`);
  show("figures", ...figures());
  show("members", ...model.members.map((member, position) => card(member, position, { isOld, nowMs })));
  const plottedMs = isOld ? model.updatedAtMs : nowMs;
  show("plots", ...plots(model.members, { nowMs: plottedMs, watchedMs: plottedMs - beganMs }));
  show("storage", ...storage());
  show("events", events());
  const own = ownReport(model);
  show("version", own === null ? "" : `kvraft ${own.status.version} on Deno ${own.denoVersion}`);
}

function liveText(isOld, nowMs) {
  if (model === null) return problem === null ? "Connecting …" : "No contact yet";
  const by = `as node ${model.node} sees it`;
  if (isPaused) return `Paused, ${by}`;
  if (!isOld) return `Live, ${by}`;
  return `Last news ${durationText(nowMs - model.updatedAtMs)} ago, ${by}`;
}

function showVerdict(isOld) {
  if (model === null && problem === null) return;
  const found = isOld ? [silence()] : findings(model);
  const [first, ...others] = found;
  document.title = `${first.title} – kvraft`;
  show(
    "verdict",
    h(
      "div",
      { class: `verdict ${first.level}` },
      icon(first.level),
      h(
        "div",
        {},
        h("p", { class: "title", role: "status" }, first.title),
        h("p", { class: "text" }, first.text),
        others.length === 0
          ? null
          : h("ul", {}, others.map(({ title, text }) => h("li", {}, h("b", {}, title), ". ", text))),
      ),
    ),
  );
}

function silence() {
  const title = model === null ? "This node shows nothing yet" : `No news from node ${model.node}`;
  const rest = model === null ? "" : ` What is shown is of ${timeText(updatedAt)}.`;
  return { level: "unknown", title, text: `${problem ?? "It does not answer."} Trying again.${rest}` };
}

function figures() {
  const own = ownReport(model);
  const leader = leaderReport(model);
  const from = leader ?? own;
  if (own === null || from === null) return [];
  const answering = model.members.filter(({ reason }) => reason === null);
  const rates = answering.map(({ points }) => points.at(-1)?.requests ?? null).filter((rate) =>
    rate !== null
  );
  const { quota } = from;
  return [
    figure(
      "Leader",
      own.status.leader === null ? "none" : `Node ${own.status.leader}`,
      `term ${own.status.term}`,
    ),
    figure("Members", `${answering.length} of ${model.members.length}`, "answer"),
    figure("Requests", rates.length === 0 ? "–" : rateText(rates.reduce((a, b) => a + b, 0)), "a second"),
    figure("Write latency, p99", microsText(from.latency.writeP99Micros), ""),
    figure("Keys", countText(from.status.keys), bytesText(quota.usedBytes)),
    figure("Revision", countText(from.status.revision), ""),
  ];
}

function figure(name, value, unit) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value, " ", h("span", {}, unit)));
}

const ROLES = { leader: "Leader", follower: "Follower", candidate: "Candidate", preCandidate: "Candidate" };

function card(member, position, { isOld, nowMs }) {
  const { id, address, report, reason } = member;
  const isLost = reason !== null;
  return h(
    "li",
    { class: `card${isLost ? " lost" : isOld ? " old" : ""}` },
    h("div", { class: "head" }, sample(position), h("h3", {}, `Node ${id}`), badge(member)),
    h("p", { class: "where" }, h("code", {}, address), id === model.node ? " · this page" : ""),
    isLost ? h("p", { class: "problem bad" }, `${seenText(member, nowMs)} ${sentence(reason)}`) : null,
    report === null ? null : h("dl", { class: "facts" }, facts(member, report)),
  );
}

function badge({ id, report, reason }) {
  if (reason !== null) return h("span", { class: "badge bad" }, mark("M2 2l8 8M10 2l-8 8"), "No answer");
  const place = ownReport(model)?.status.members.find((member) => member.id === id)?.role;
  if (report.status.disk === "full") {
    return h("span", { class: "badge bad" }, mark("M2 2l8 8M10 2l-8 8"), "Disk full");
  }
  if (report.status.role === "leader") {
    return h("span", { class: "badge leader" }, mark("M1 10 1.5 3 4 6 6 1.5 8 6l2.500-3L11 10z"), "Leader");
  }
  const name = place === "learner" ? "Learner" : place === "leaving" ? "Leaving" : ROLES[report.status.role];
  return h("span", { class: "badge plain" }, name);
}

function mark(d) {
  return s(
    "svg",
    { viewBox: "0 0 12 12", "aria-hidden": "true" },
    s("path", { d, stroke: "currentColor", "stroke-width": 1.5 }),
  );
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

function seenText(member, nowMs) {
  const seen = lastSeen(model, member, nowMs);
  if (seen === null) return "No node that answers is in contact with it.";
  return `Last ${seen.by === null ? "seen" : `heard by node ${seen.by}`} ${durationText(seen.agoMs)} ago.`;
}

function facts(member, report) {
  const { status, uptimeMs, memory, latency } = report;
  const links = linksOf(report);
  const rate = member.points.at(-1)?.requests ?? null;
  const behind = entriesBehind(model, report);
  return [
    ["Term", countText(status.term)],
    [
      "Behind",
      behind === 0 ? "nothing" : `${countText(behind)} ${behind === 1 ? "entry" : "entries"}`,
      behind >= LAGGING_ENTRIES && "lags",
    ],
    ["Linked with", linksText(links), links.oneWay.length > 0 && "one way"],
    ["Round trip", member.id === model.node ? "this node" : microsText(member.roundTripMicros)],
    ["Requests", `${rateText(rate)} a second`],
    [
      "Sync, p99",
      microsText(latency.syncP99Micros),
      (latency.syncP99Micros ?? 0) >= SLOW_SYNC_MICROS && "slow",
    ],
    ["Memory", bytesText(memory?.residentBytes ?? null)],
    ["Running for", durationText(uptimeMs)],
  ].flatMap(([name, text, alarm = false]) => {
    const flag = member.reason === null && alarm; // what is old needs no attention
    return [
      h("dt", {}, name),
      h("dd", { class: flag && "alarm" }, text, flag && " ", flag && h("small", {}, flag)),
    ];
  });
}

function linksText({ both, oneWay, none }) {
  const parts = [
    both.length === 0 ? null : listOf(both),
    oneWay.length === 0 ? null : `only half with ${listOf(oneWay)}`,
    none.length === 0 ? null : `not with ${listOf(none)}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? "no others" : parts.join(", ");
}

/** Rows of the table: a name, and what a report has for it: the text, a small one below, and a kind of cell. */
const ROWS = [
  ["Keys and values", ({ quota, status }) => [bytesText(quota.usedBytes), `${countText(status.keys)} keys`]],
  [
    "Quota",
    ({ quota: { usedBytes, limitBytes } }) =>
      limitBytes === null ? ["none"] : [percentText(usedBytes / limitBytes), `of ${bytesText(limitBytes)}`, {
        part: usedBytes / limitBytes,
      }],
  ],
  [
    "History",
    ({ history }) => [bytesText(history.bytes), `from revision ${countText(history.compactedRevision)}`],
  ],
  ["Log", ({ log }) => [
    bytesText(log.bytes),
    `${countText(log.lastIndex - log.firstIndex + 1)} entries`,
  ]],
  ["Snapshot", ({ snapshot }) => snapshotCell(snapshot)],
  [
    "Disk",
    ({ status: { disk } }) =>
      disk === "ok" ? ["has space"] : [disk === "full" ? "full" : "nearly full", null, { isAlarm: true }],
  ],
  [
    "Free descriptors",
    ({ descriptors: { free } }) =>
      free === null ? ["–"] : [free >= 256 ? "256 or more" : countText(free), null, { isAlarm: free < 64 }],
  ],
  [
    "Clients",
    ({ connections: { clients, maxClients } }) => [countText(clients), `of ${countText(maxClients)}`],
  ],
  [
    "Watches",
    (
      { watches },
    ) => [countText(watches.open), watches.behind > 0 ? `${countText(watches.behind)} behind` : null],
  ],
  ["Leases", ({ leases }) => [countText(leases)]],
  [
    "Users",
    ({ auth }) => [auth.enabled ? countText(auth.users) : "off", auth.enabled ? null : "no sign-in needed"],
  ],
  [
    "Encryption",
    ({ tls, wallClockMs }) => tls.enabled ? ["TLS", certificateText(tls, wallClockMs)] : ["none"],
  ],
  [
    "Feature level",
    (
      { featureLevel, knownFeatureLevel },
    ) => [countText(featureLevel), `knows ${countText(knownFeatureLevel)}`],
  ],
  ["Version", ({ status }) => [status.version]],
];

function snapshotCell({ index, bytes, ageMs, lastFailure }) {
  if (lastFailure !== null) return ["failed", bytes > 0 ? bytesText(bytes) : null, { isAlarm: true }];
  if (index === 0) return ["none yet"];
  return [bytesText(bytes), ageMs === null ? `to entry ${countText(index)}` : `${durationText(ageMs)} ago`];
}

function percentText(part) {
  return part < 0.001
    ? "under 0.1 %"
    : `${(part * 100).toPrecision(part < 0.1 ? 2 : 3).replace(/\.0+$/, "")} %`;
}

function certificateText({ certificateExpiresAtMs }, wallClockMs) {
  return certificateExpiresAtMs === null
    ? null
    : `for ${Math.floor((certificateExpiresAtMs - wallClockMs) / DAY_MS)} days`;
}

function storage() {
  const head = model.members.map(({ id, reason }) =>
    h("th", { scope: "col" }, `Node ${id}`, reason === null ? null : h("small", { class: "soft" }, " (old)"))
  );
  const rows = ROWS.map(([name, cellOf]) =>
    h("tr", {}, h("th", { scope: "row" }, name), model.members.map((member) => cell(member, cellOf)))
  );
  return [h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Figure"), head)), h("tbody", {}, rows)];
}

function cell({ report, reason }, cellOf) {
  if (report === null) return h("td", { class: "stale" }, "–");
  const [text, small = null, { part = null, isAlarm = false } = {}] = cellOf(report);
  const isFull = part !== null && part >= 0.9;
  return h(
    "td",
    { class: reason !== null ? "stale" : isAlarm || isFull ? "alarm" : null },
    text,
    small === null ? null : h("small", {}, small),
    part === null ? null : bar(part, isFull),
  );
}

function bar(part, isFull) {
  const width = Math.min(96, Math.max(1, 96 * part)).toFixed(1);
  return s(
    "svg",
    { class: "bar", viewBox: "0 0 96 5", "aria-hidden": "true" },
    s("rect", { width: 96, height: 5 }),
    s("rect", { width, height: 5, class: isFull ? "full" : "used" }),
  );
}

function events() {
  const all = model.members.flatMap(({ id, report }) =>
    (report?.events ?? []).map((event) => ({ ...event, id }))
  );
  const newest = all.sort((a, b) => b.atMs - a.atMs).slice(0, MAX_EVENTS);
  if (newest.length === 0) return h("p", { class: "empty" }, "Nothing notable since the nodes have started.");
  return h(
    "ol",
    { class: "events" },
    newest.map(({ id, atMs, name, text, times }) =>
      h(
        "li",
        {},
        h("time", { datetime: new Date(atMs).toISOString() }, timeText(new Date(atMs))),
        h("span", { class: "node" }, `Node ${id}`),
        h(
          "span",
          { class: "text" },
          text,
          times > 1 ? ` (${countText(times)} times)` : "",
          " ",
          h("code", {}, name),
        ),
      )
    ),
  );
}

/** Returns the time of the day, with the date where that is not today. */
function timeText(date) {
  const time = date.toLocaleTimeString("en-GB");
  if (new Date().toDateString() === date.toDateString()) return time;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/** Receives events; where the node refuses, asks it why, and tries again. */
function listen() {
  const source = new EventSource("/status/events");
  source.onmessage = ({ data }) => {
    model = afterView(model, JSON.parse(data), performance.now());
    updatedAt = new Date();
    problem = null;
    render();
  };
  source.onerror = async () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
    problem = await reasonOfSilence();
    render();
  };
}

async function reasonOfSilence() {
  try {
    const answer = await fetch("/ready");
    const [line] = (await answer.text()).split("\n", 1);
    return answer.ok ? "It sends no events now." : `It says: ${line.replace(/^[a-zA-Z]+: /, "")}`;
  } catch {
    return "It does not answer.";
  }
}

button.addEventListener("click", () => {
  isPaused = !isPaused;
  button.setAttribute("aria-pressed", String(isPaused));
  render();
});
setInterval(render, 1_000);
listen();

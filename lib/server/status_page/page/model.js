// @ts-check
/**
 * What the status page knows of a cluster, and what it concludes from that. It has no part of a document: everything that
 * comes from nodes stays text.
 *
 * @import { MemberReport, NodeReport } from "../../../protocol/diagnostics/report.ts"
 * @import { ClusterView } from "../status_page.ts"
 *
 * @typedef {{ atMs: number, requests: number | null, writes: number | null, reads: number | null, syncs: number | null, loop: number | null, memory: number | null }} Point
 * @typedef {{ id: number, address: string, report: NodeReport | null, seenAtMs: number, reason: string | null, roundTripMicros: number | null, clockOffsetMs: number | null, points: Point[] }} KnownMember
 * @typedef {{ node: number, cluster: string, updatedAtMs: number, members: KnownMember[] }} Model
 * @typedef {"good" | "warn" | "bad"} Level
 * @typedef {{ level: Level, title: string, text: string }} Finding
 */

/** The time that the plots show. */
export const WINDOW_MS = 300_000;
/** A busy member misses the time for an answer now and then; it counts as lost after this time without one. */
export const GRACE_MS = 2_500;
/** A member sends a ping every second; after this time without one it is not heard. */
const SILENT_MS = 3_500;
/** 99th percentile of syncs at which a disk counts as slow. */
export const SLOW_SYNC_MICROS = 100_000;
/** 99th percentile of the delays of the event loop at which a node counts as overloaded. */
const SLOW_LOOP_MICROS = 250_000;
/** Entries behind the leader at which a member counts as lagging. */
export const LAGGING_ENTRIES = 1_000;
const QUOTA_NEAR = 0.9;
export const DAY_MS = 86_400_000;
const CERTIFICATE_NEAR_MS = 14 * DAY_MS;
/** Difference of two clocks from which on it is shown, beside the uncertainty of its measurement. */
const CLOCK_OFFSET_MS = 500;
const NEARLY_ALL = 0.9;

/** @type {Record<Level, number>} */
const SEVERITY = { bad: 0, warn: 1, good: 2 };

/**
 * Returns the model after a view that has arrived at `nowMs`, a time of the clock that all times of the model are of.
 *
 * @param {Model | null} model @param {ClusterView} view @param {number} nowMs @returns {Model}
 */
export function afterView(model, view, nowMs) {
  const before = new Map(model?.members.map((member) => [member.id, member]));
  const members = view.members.map((given) => afterReport(before.get(given.id) ?? null, given, nowMs));
  return { node: view.node, cluster: view.cluster, updatedAtMs: nowMs, members };
}

/** @param {KnownMember | null} before @param {MemberReport} given @param {number} nowMs @returns {KnownMember} */
function afterReport(before, given, nowMs) {
  const { id, address } = given;
  const points = (before?.points ?? []).filter(({ atMs }) => atMs >= nowMs - WINDOW_MS);
  if (given.kind === "unreachable") {
    if (before !== null && before.reason === null && nowMs - before.seenAtMs < GRACE_MS) {
      return { ...before, points };
    }
    const { report = null, seenAtMs = nowMs } = before ?? {};
    return {
      id,
      address,
      report,
      seenAtMs,
      reason: given.reason,
      roundTripMicros: null,
      clockOffsetMs: null,
      points,
    };
  }
  const { report, roundTripMicros, clockOffsetMs } = given;
  points.push(pointOf(before?.report ?? null, report, nowMs));
  return { id, address, report, seenAtMs: nowMs, reason: null, roundTripMicros, clockOffsetMs, points };
}

/** @param {NodeReport | null} before @param {NodeReport} report @param {number} atMs @returns {Point} */
function pointOf(before, report, atMs) {
  const { writeP99Micros, getP99Micros, syncP99Micros, loopDelayP99Micros } = report.latency;
  return {
    atMs,
    requests: requestsPerSecond(before, report),
    writes: writeP99Micros,
    reads: getP99Micros,
    syncs: syncP99Micros,
    loop: loopDelayP99Micros,
    memory: report.memory?.residentBytes ?? null,
  };
}

/**
 * Returns the rate between two reports of one process; null without two.
 *
 * @param {NodeReport | null} before @param {NodeReport} report @returns {number | null}
 */
export function requestsPerSecond(before, report) {
  if (before === null || before.instance !== report.instance) return null;
  const elapsedMs = report.uptimeMs - before.uptimeMs;
  return elapsedMs <= 0 ? null : (requestsOf(report) - requestsOf(before)) * 1_000 / elapsedMs;
}

/** @param {NodeReport} report @returns {number} */
function requestsOf({ counters: { reads, writes, otherRequests } }) {
  return reads + writes + otherRequests;
}

/** The node that the page is of. @param {Model} model @returns {NodeReport | null} */
export function ownReport(model) {
  return model.members.find(({ id }) => id === model.node)?.report ?? null;
}

/** The report of the node that leads, if it answers. @param {Model} model @returns {NodeReport | null} */
export function leaderReport(model) {
  const leader = ownReport(model)?.status.leader ?? null;
  const member = model.members.find(({ id }) => id === leader);
  return member === undefined || member.reason !== null ? null : member.report;
}

/** Entries that a member has not applied of those that are known to be committed. @param {Model} model @param {NodeReport} report @returns {number} */
export function entriesBehind(model, { status }) {
  const answering = model.members.filter(({ reason }) => reason === null);
  const committed = Math.max(...answering.map(({ report }) => report?.status.commitIndex ?? 0));
  return Math.max(0, committed - status.appliedIndex);
}

/**
 * Returns what is known of when a member was alive: `agoMs` of the newest sign of life, and which node had it (null: this page).
 *
 * @param {Model} model @param {KnownMember} member @param {number} nowMs @returns {{ agoMs: number, by: number | null } | null}
 */
export function lastSeen(model, member, nowMs) {
  if (member.report !== null) return { agoMs: nowMs - member.seenAtMs, by: null };
  let newest = null;
  for (const { id, reason, report } of model.members) {
    const heard = reason === null ? report?.heardFrom.find((other) => other.id === member.id)?.agoMs : null;
    const contact = report?.status.peers.find((peer) => peer.id === member.id)?.lastContactMs ?? null;
    for (const agoMs of [heard ?? null, reason === null ? contact : null]) {
      if (agoMs !== null && (newest === null || agoMs < newest.agoMs)) newest = { agoMs, by: id };
    }
  }
  return newest;
}

/** The members with a vote, by one node's own view. @param {NodeReport} report @returns {number[]} */
function votersOf({ status }) {
  return status.members.filter(({ role }) => role !== "learner").map(({ id }) => id);
}

/** Whether a node hears another, and is connected to it. @param {NodeReport} report @param {number} other @returns {boolean} */
function hasContact({ status, heardFrom }, other) {
  if (other === status.id) return true;
  const link = heardFrom.find(({ id }) => id === other);
  return link !== undefined && link.connectedFrom && link.connectedTo && (link.agoMs ?? Infinity) < SILENT_MS;
}

/**
 * Returns the connections of a member with others: those that work, and those of one direction only.
 *
 * @param {NodeReport} report @returns {{ both: number[], oneWay: number[], none: number[] }}
 */
export function linksOf(report) {
  const { id: self, members } = report.status;
  /** @type {{ both: number[], oneWay: number[], none: number[] }} */
  const links = { both: [], oneWay: [], none: [] };
  for (const { id } of members) {
    if (id === self) continue;
    const link = report.heardFrom.find((other) => other.id === id);
    const isHeard = link !== undefined && link.connectedFrom && (link.agoMs ?? Infinity) < SILENT_MS;
    const kind = isHeard && link.connectedTo ? "both" : isHeard || link?.connectedTo ? "oneWay" : "none";
    links[kind].push(id);
  }
  return links;
}

/** What is found about the cluster, the worst first: at least one. @param {Model} model @returns {Finding[]} */
export function findings(model) {
  const own = ownReport(model);
  if (own === null) {
    return [{
      level: "bad",
      title: `Node ${model.node} is no member`,
      text: "Add it: kvraft client … member add.",
    }];
  }
  const found = [...contactFindings(model, own)];
  for (const member of model.members) {
    if (member.report !== null) found.push(...memberFindings(model, member));
  }
  found.push(...clockFindings(model), ...slownessFindings(model));
  if (found.length === 0) found.push(allIsWell(model, own));
  return found.sort((a, b) => SEVERITY[a.level] - SEVERITY[b.level]);
}

/** @param {Model} model @param {NodeReport} own @returns {Finding[]} */
function contactFindings(model, own) {
  const voters = votersOf(own);
  const majority = Math.floor(voters.length / 2) + 1;
  const heard = voters.filter((id) => hasContact(own, id));
  if (heard.length < majority) {
    return [{
      level: "bad",
      title: `Node ${model.node} has no contact with a majority`,
      text:
        `It hears ${heard.length} of ${voters.length} voters, itself among them, and ${majority} are needed. It takes no ` +
        "writes and no current reads, and what it says of the others is old. If they hear each other, they go on without it: " +
        "look at the page of one of them.",
    }];
  }
  /** @type {Finding[]} */
  const found = [];
  if (own.status.leader === null) {
    const text =
      "Writes and current reads wait until a majority has elected one, which takes a second or two.";
    found.push({ level: "bad", title: "No leader", text });
  }
  const lost = model.members.filter(({ reason }) => reason !== null);
  if (lost.length > 0) {
    const [first] = lost;
    const title = lost.length === 1 && first !== undefined
      ? `Node ${first.id} does not answer`
      : `Nodes ${listOf(lost.map(({ id }) => id))} do not answer`;
    const level = workingVoters(model, voters).length > voters.length / 2 ? "warn" : "bad";
    found.push({ level, title, text: marginText(model, voters) });
  }
  return found;
}

/** @param {Model} model @param {number[]} voters @returns {string} */
function marginText(model, voters) {
  const lost = model.members.filter(({ reason }) => reason !== null).map(({ id }) => id);
  const answering = voters.filter((id) => !lost.includes(id)).length;
  const working = workingVoters(model, voters).length;
  const more = working - Math.floor(voters.length / 2) - 1;
  const full = working < answering ? `, ${answering - working} of them with a full disk` : "";
  const rest = more < 0
    ? "That is no majority: writes and current reads wait."
    : more === 0
    ? "That is just a majority: the cluster works, and stops if one more fails."
    : `The cluster works, and goes on working if ${more === 1 ? "one more fails" : `${more} more fail`}.`;
  return `${answering} of ${voters.length} voters answer${full}. ${rest}`;
}

/** @param {Model} model @param {NodeReport} own @returns {Finding} */
function allIsWell(model, own) {
  const voters = votersOf(own);
  const count = model.members.length;
  const title = count === 1 ? `Node ${model.node} works alone` : `All ${count} members answer`;
  const spare = voters.length - Math.floor(voters.length / 2) - 1;
  const margin = spare === 0
    ? "It has no replica: if it fails, the cluster stops."
    : spare === 1
    ? "The cluster goes on working if one of them fails."
    : `The cluster goes on working if ${spare} of them fail.`;
  return {
    level: "good",
    title,
    text: `Node ${own.status.leader} leads in term ${own.status.term}. ${margin}${lateText(model)}`,
  };
}

/** Members that are late, and do not count as lost yet. @param {Model} model @returns {string} */
function lateText({ members, updatedAtMs }) {
  const late = members.filter(({ seenAtMs }) => seenAtMs < updatedAtMs);
  if (late.length === 0) return "";
  const oldestMs = updatedAtMs - Math.min(...late.map(({ seenAtMs }) => seenAtMs));
  const [names, last] = late.length === 1
    ? ["node", "it last answered"]
    : ["nodes", "the first of them last answered"];
  return ` There is no answer yet from ${names} ${listOf(late.map(({ id }) => id))}: ${last} ${
    (oldestMs / 1_000).toFixed(1)
  } s ago.`;
}

/** @param {Model} model @param {KnownMember} member @returns {Finding[]} */
function memberFindings(model, { id, report, reason }) {
  if (report === null || reason !== null) return [];
  /** @type {Finding[]} */
  const found = [];
  /** @param {Level} level @param {string} title @param {string} text */
  const add = (level, title, text) => found.push({ level, title, text });
  const { status, quota, snapshot, tls, wallClockMs, memory, connections: { clients, maxClients } } = report;
  if (status.disk === "full") {
    add(
      hasMajority(model) ? "warn" : "bad",
      `The disk of node ${id} is full`,
      "It takes part in nothing until there is space. Free disk space there; it continues by itself.",
    );
  } else if (status.disk === "nearlyFull") {
    add(
      "warn",
      `The disk of node ${id} is nearly full`,
      "Snapshots fail, and the log has only the space that it has reserved: after that, no data can be added. Free disk space there.",
    );
  }
  if (entriesBehind(model, report) >= LAGGING_ENTRIES) {
    add(
      "warn",
      `Node ${id} lags behind`,
      `It has not applied ${countText(entriesBehind(model, report))} entries.`,
    );
  }
  if (snapshot.lastFailure !== null) add("warn", `Node ${id} cannot take snapshots`, snapshot.lastFailure);
  if (status.role === "leader" && quota.limitBytes !== null) {
    const part = quota.usedBytes / quota.limitBytes;
    const text = `${bytesText(quota.usedBytes)} of ${
      bytesText(quota.limitBytes)
    } are used. Delete keys, or raise --quota-bytes.`;
    if (part >= 1) add("bad", "The quota is reached: writes that need space are refused", text);
    else if (part >= QUOTA_NEAR) add("warn", "The quota is nearly reached", text);
  }
  const leftMs = tls.certificateExpiresAtMs === null ? Infinity : tls.certificateExpiresAtMs - wallClockMs;
  if (leftMs <= 0) add("bad", `The certificate of node ${id} has expired`, "Others refuse it. Renew it.");
  else if (leftMs < CERTIFICATE_NEAR_MS) {
    add("warn", `The certificate of node ${id} expires in ${durationText(leftMs)}`, "Renew it.");
  }
  const { heapBytes = 0, heapLimitBytes = null } = memory ?? {};
  if (heapLimitBytes !== null && heapBytes >= NEARLY_ALL * heapLimitBytes) {
    const text = `${bytesText(heapBytes)} of ${
      bytesText(heapLimitBytes)
    } are used: at the end the process ends.`;
    add("warn", `The heap of node ${id} is nearly full`, text);
  }
  if (clients >= NEARLY_ALL * maxClients) {
    const text = `${countText(clients)} of at most ${
      countText(maxClients)
    } are connected. Further ones are refused.`;
    add("warn", `Node ${id} has few places for clients`, text);
  }
  return found;
}

/** Whether a majority of the voters answers, and has space on its disks. @param {Model} model @returns {boolean} */
function hasMajority(model) {
  const own = ownReport(model);
  const voters = own === null ? [] : votersOf(own);
  return workingVoters(model, voters).length > voters.length / 2;
}

/**
 * Returns the voters that answer and have space on their disks.
 *
 * @param {Model} model @param {number[]} voters @returns {number[]}
 */
function workingVoters(model, voters) {
  return model.members.filter(({ id, reason, report }) =>
    voters.includes(id) && reason === null && report?.status.disk !== "full"
  ).map(({ id }) => id);
}

/**
 * Clocks are compared with the one in the middle, since the page's own may be the wrong one; of two, with that.
 *
 * @param {Model} model @returns {Finding[]}
 */
function clockFindings(model) {
  const measured = model.members.flatMap(({ id, clockOffsetMs, roundTripMicros }) =>
    clockOffsetMs === null ? [] : [{ id, clockOffsetMs, halfTripMs: (roundTripMicros ?? 0) / 2_000 }]
  ).sort((a, b) => a.clockOffsetMs - b.clockOffsetMs);
  const middle = measured.length < 3
    ? measured.find(({ id }) => id === model.node)
    : measured[Math.floor(measured.length / 2)];
  if (middle === undefined) return [];
  return measured.flatMap(({ id, clockOffsetMs, halfTripMs }) => {
    const ms = clockOffsetMs - middle.clockOffsetMs;
    if (Math.abs(ms) - halfTripMs - middle.halfTripMs < CLOCK_OFFSET_MS) return [];
    const text = `It is ${(Math.abs(ms) / 1_000).toFixed(1)} s ${
      ms > 0 ? "ahead of" : "behind"
    } that of node ${middle.id}. Run a time service on all machines.`;
    return [{ level: /** @type {Level} */ ("warn"), title: `The clock of node ${id} is wrong`, text }];
  });
}

/** What is slow is often so on all nodes, for one reason. @param {Model} model @returns {Finding[]} */
function slownessFindings(model) {
  /** @type {Finding[]} */
  const found = [];
  const disks = membersAbove(model, "syncP99Micros", SLOW_SYNC_MICROS);
  if (disks.ids.length > 0) {
    const title = disks.ids.length === 1
      ? `The disk of node ${listOf(disks.ids)} is slow`
      : `The disks of nodes ${listOf(disks.ids)} are slow`;
    const text =
      `One of a hundred syncs takes ${disks.most} or longer: writes wait for the disks of a majority.`;
    found.push({ level: "warn", title, text });
  }
  const loops = membersAbove(model, "loopDelayP99Micros", SLOW_LOOP_MICROS);
  if (loops.ids.length > 0) {
    const title = loops.ids.length === 1
      ? `Node ${listOf(loops.ids)} is overloaded`
      : `Nodes ${listOf(loops.ids)} are overloaded`;
    const text =
      `The event loop is late by ${loops.most}: the process, or its machine, has more to do than it can.`;
    found.push({ level: "warn", title, text });
  }
  return found;
}

/**
 * Returns the members whose latency is at least `least`, and the highest of these latencies as text.
 *
 * @param {Model} model @param {"syncP99Micros" | "loopDelayP99Micros"} name @param {number} least
 * @returns {{ ids: number[], most: string }}
 */
function membersAbove({ members }, name, least) {
  /** @type {number[]} */
  const ids = [];
  let most = 0;
  for (const { id, reason, report } of members) {
    const micros = reason === null ? report?.latency[name] ?? 0 : 0;
    if (micros < least) continue;
    ids.push(id);
    most = Math.max(most, micros);
  }
  return { ids, most: microsText(most) };
}

/** @param {readonly number[]} ids @returns {string} */
export function listOf(ids) {
  return ids.length < 2 ? ids.join("") : `${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
}

/** @param {number | null} count @returns {string} */
export function countText(count) {
  return count === null ? "–" : Math.round(count).toLocaleString("en");
}

/** @param {number | null} rate @returns {string} */
export function rateText(rate) {
  return rate === null ? "–" : rate > 0 && rate < 10 ? rate.toFixed(1) : countText(rate);
}

/** @param {number | null} bytes @returns {string} */
export function bytesText(bytes) {
  if (bytes === null) return "–";
  let size = bytes;
  let unit = 0;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (size >= 1_000 && unit < units.length - 1) {
    size /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : Number(size.toPrecision(3))} ${units[unit]}`;
}

/** @param {number | null} micros @returns {string} */
export function microsText(micros) {
  if (micros === null) return "–";
  if (micros < 1_000) return `${Math.round(micros)} µs`;
  if (micros < 1_000_000) return `${Number((micros / 1_000).toPrecision(micros < 100_000 ? 2 : 3))} ms`;
  return `${Number((micros / 1_000_000).toPrecision(3))} s`;
}

/** @param {number} ms @returns {string} */
export function durationText(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** The bytes of the reports of nodes. A field is added at the end of its record, as `trailing`. */
import {
  boolean,
  type Field,
  integer,
  list,
  nullable,
  oneOf,
  sentence,
  signedInteger,
  text,
} from "../field.ts";
import { STATUS } from "../members.ts";
import { frame, record, variants } from "../schema.ts";
import type { DescribedNodes, MemberReport, NodeReport } from "./report.ts";

/** The longest difference of two clocks that is reported: 34 years. A longer one is reported as this. */
export const MAX_CLOCK_OFFSET_MS = 2 ** 40;
/** Most events of a report. */
export const MAX_REPORTED_EVENTS = 50;
/** Most settings of a report. */
const MAX_SETTINGS = 100;
/** Most members of which reports are collected: those of a joint configuration and learners. */
const MAX_MEMBERS = 100;

/** Which nodes a request is about. */
export const DESCRIBED_NODES = oneOf<DescribedNodes>({ self: true, all: true });

const COUNTERS: Field<NodeReport["counters"]> = record("counters", {
  reads: integer(),
  writes: integer(),
  otherRequests: integer(),
  failedRequests: integer(),
  proposals: integer(),
  refusedProposals: integer(),
  leaderChanges: integer(),
  snapshotsTaken: integer(),
  snapshotsReceived: integer(),
  snapshotFailures: integer(),
  compactedWatches: integer(),
});

const MICROS = nullable(integer());
const LATENCY: Field<NodeReport["latency"]> = record("latency", {
  writeP50Micros: MICROS,
  writeP99Micros: MICROS,
  getP50Micros: MICROS,
  getP99Micros: MICROS,
  syncP50Micros: MICROS,
  syncP99Micros: MICROS,
  syncMaxMicros: MICROS,
  loopDelayP99Micros: MICROS,
  loopDelayMaxMicros: MICROS,
});

/** A node's report about itself. */
export const REPORT: Field<NodeReport> = record("report", {
  status: STATUS,
  instance: text(),
  startedAtMs: integer(),
  wallClockMs: integer(),
  uptimeMs: integer(),
  featureLevel: integer(1),
  knownFeatureLevel: integer(1),
  denoVersion: text(),
  heardFrom: list(
    record("heardFrom", {
      id: integer(1),
      agoMs: nullable(integer()),
      connectedFrom: boolean(),
      connectedTo: boolean(),
      roundTripMicros: MICROS,
    }),
    MAX_MEMBERS,
  ),
  counters: COUNTERS,
  latency: LATENCY,
  memory: nullable(record("memory", {
    residentBytes: integer(),
    heapBytes: integer(),
    externalBytes: integer(),
    heapLimitBytes: nullable(integer()),
  })),
  descriptors: record("descriptors", { free: nullable(integer()) }),
  log: record("log", { bytes: integer(), firstIndex: integer(), lastIndex: integer() }),
  snapshot: record("snapshot", {
    index: integer(),
    bytes: integer(),
    ageMs: nullable(integer()),
    lastFailure: nullable(sentence()),
  }),
  quota: record("quota", { usedBytes: integer(), limitBytes: nullable(integer()) }),
  history: record("history", { bytes: integer(), limitBytes: integer(), compactedRevision: integer() }),
  leases: integer(),
  watches: record("watches", { open: integer(), behind: integer() }),
  connections: record("connections", {
    clients: integer(),
    maxClients: integer(),
    configuredClients: integer(),
  }),
  auth: record("auth", { enabled: boolean(), users: integer() }),
  tls: record("tls", { enabled: boolean(), certificateExpiresAtMs: nullable(integer()) }),
  config: list(record("setting", { name: text(), value: text() }), MAX_SETTINGS),
  events: list(
    record("event", {
      atMs: integer(),
      name: text(),
      text: sentence(),
      times: integer(1),
      node: nullable(integer(1)),
    }),
    MAX_REPORTED_EVENTS,
  ),
  backup: nullable(record("backup", {
    everyMs: integer(1),
    lastSuccessAtMs: nullable(integer()),
    lastFailure: nullable(sentence()),
  })),
});

/** The reports of the members that were asked, sorted by id. */
export const MEMBER_REPORTS: Field<readonly MemberReport[]> = list(
  variants("member", {
    reachable: frame(1, {
      id: integer(1),
      address: text(),
      roundTripMicros: integer(),
      clockOffsetMs: signedInteger(MAX_CLOCK_OFFSET_MS),
      report: REPORT,
    }),
    unreachable: frame(2, { id: integer(1), address: text(), reason: sentence() }),
  }),
  MAX_MEMBERS,
);

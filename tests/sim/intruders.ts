/**
 * Programs that send valid frames with hostile intent: a client that never reads, clients that fill the table of
 * sessions, and a peer whose terms leap. They must neither end a node nor block another client permanently.
 */
import { FEATURE_LEVEL } from "../../lib/kv/feature_level.ts";
import { parseAddress } from "../../lib/platform/address.ts";
import { encodeClientRequest } from "../../lib/protocol/client_frames.ts";
import { encodeCommand } from "../../lib/protocol/command.ts";
import { type Caller, encodeHello } from "../../lib/protocol/hello.ts";
import { MessagePackWriter } from "../../lib/protocol/msgpack_writer.ts";
import type { Connection } from "../../lib/platform/network.ts";
import { encodePeerFrame } from "../../lib/protocol/peer_frames.ts";
import { MAX_SESSION_WINDOW } from "../../lib/kv/mod.ts";
import { clusterIdOf } from "../../lib/server/startup/identity.ts";
import { addressOf, hostOf, type Simulation } from "./simulation.ts";

/** Reads whose answers the client does not read: more than a connection may queue before the node stops reading from it. */
const UNREAD_REQUESTS = 3_000;
/** Sessions that are opened at a time. */
const SESSIONS = 40;
/** Size of a leap of the term: more than the elections of a hundred years. */
const LEAP = 2 ** 40;
const ANY_BYTES = 65_536;

type Write = (out: MessagePackWriter) => void;

/** Starts a client that requests very much and reads nothing, until the returned function is called. */
export function unreadClient(simulation: Simulation, node: number): () => void {
  const frames = Array.from(
    { length: UNREAD_REQUESTS },
    (_, position) => (out: MessagePackWriter): void =>
      encodeClientRequest(out, {
        kind: "list",
        requestId: position + 1,
        query: { prefix: new Uint8Array(0), start: null, end: null, after: null, reverse: false, limit: 100 },
        consistency: position % 2 === 0 ? "stale" : "linearizable",
        visibleOnly: false,
      }),
  );
  return converse(simulation, { node, host: "10.0.4.1", caller: { role: "client", clusterId: null } }, {
    frames,
    isRead: false,
    onSent: () => simulation.coverage.count("unreadClients"),
  });
}

/** Opens a great number of sessions, one of which has one more write in flight than permitted. */
export function floodSessions(simulation: Simulation, node: number, chance: number): () => void {
  const first = 1 + Math.floor(chance * 2 ** 40);
  // The window first: further sessions would evict its session from a small table.
  const stamp = (position: number): { readonly sessionId: number; readonly sequence: number } =>
    position < SESSIONS
      ? { sessionId: first, sequence: MAX_SESSION_WINDOW + 2 - SESSIONS + position }
      : { sessionId: first + position, sequence: 1 };
  const frames = Array.from({ length: 2 * SESSIONS }, (_, position) => (out: MessagePackWriter): void => {
    const command = encodeCommand({
      kind: "transaction",
      session: { ...stamp(position), acknowledgedBelow: 1, openedAt: simulation.invariants.commitIndex },
      checks: [],
      mutations: [{ kind: "put", key: Uint8Array.of(0x73, position % 8), value: Uint8Array.of(position) }],
    });
    encodeClientRequest(out, { kind: "write", requestId: position + 1, command });
  });
  return converse(simulation, { node, host: "10.0.4.2", caller: { role: "client", clusterId: null } }, {
    frames,
    isRead: true,
    onSent: () => {},
  });
}

/** Sends frames with leaping terms on a member's connection. */
export function leapTerm(
  simulation: Simulation,
  { from, to }: { readonly from: number; readonly to: number },
): () => void {
  const { plan, invariants } = simulation;
  const founders = Array.from({ length: plan.nodes }, (_, position) => (
    { id: position + 1, address: parseAddress(addressOf(position + 1)) }
  ));
  const dataId = invariants.committedConfiguration.members.find(({ id }) => id === from)?.dataId ?? null;
  // A made-up data directory id would be recorded as that member's, which would be another fault.
  if (dataId === null) return () => {};
  const caller: Caller = {
    role: "peer",
    clusterId: clusterIdOf("sim", founders),
    nodeId: from,
    lane: "probe",
    dataId,
    address: addressOf(from),
    featureLevel: FEATURE_LEVEL,
    etcdUrl: null,
    credentials: null,
  };
  const ownTerm = invariants.statusOf(to)?.term ?? 0;
  // A joining node, which is in no term yet, accepts any term.
  if (ownTerm === 0) return () => {};
  const term = Math.min(ownTerm + LEAP, Number.MAX_SAFE_INTEGER);
  const head = { from, to, term };
  const frames: Write[] = [
    (out) => encodePeerFrame(out, { kind: "requestVoteResponse", ...head, granted: true }),
    (out) => {
      const log = { lastLogIndex: 1, lastLogTerm: term, leadershipTransfer: true };
      encodePeerFrame(out, { kind: "requestVote", ...head, ...log });
    },
    (out) => encodePeerFrame(out, { kind: "heartbeat", ...head, leaderCommit: 0, round: 1 }),
  ];
  // Each on a separate connection: a refused frame ends its connection.
  const ends = frames.map((one) =>
    converse(simulation, { node: to, host: hostOf(from), caller }, {
      frames: [one],
      isRead: true,
      onSent: () => simulation.coverage.count("leapsTried"),
    })
  );
  return () => ends.forEach((end) => end());
}

/** Connects, sends a hello and the frames; the returned function ends it. */
function converse(
  simulation: Simulation,
  { node, host, caller }: { readonly node: number; readonly host: string; readonly caller: Caller },
  { frames, isRead, onSent }: {
    readonly frames: readonly Write[];
    readonly isRead: boolean;
    readonly onSent: () => void;
  },
): () => void {
  const { process, platform } = simulation.clientProcess("intruder", host);
  const giveUp = new AbortController();
  let connection: Connection | null = null;
  const speak = async (): Promise<void> => {
    try {
      connection = await platform.network.connect(parseAddress(addressOf(node)), giveUp.signal);
      if (isRead) void drain(connection);
      await send(connection, (out) => encodeHello(out, caller));
      for (const frame of frames) await send(connection, frame);
      onSent();
    } catch {
      // The node has ended the connection, or is down.
    }
  };
  process.wake(() => void speak());
  return () =>
    process.wake(() => {
      giveUp.abort();
      connection?.close();
    });
}

async function send(connection: Connection, write: Write): Promise<void> {
  const out = new MessagePackWriter();
  write(out);
  const payload = out.copy();
  const frame = new Uint8Array(4 + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length);
  frame.set(payload, 4);
  for (let sent = 0; sent < frame.length;) sent += await connection.write(frame.subarray(sent));
}

async function drain(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(ANY_BYTES);
  try {
    while (await connection.read(buffer) !== null);
  } catch {
    // Either side has ended it.
  }
}

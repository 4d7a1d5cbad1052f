/** Node 1 with a peer secret, node 2 which dials it, and attackers in the place of either. */
import { FEATURE_LEVEL } from "../../../../lib/kv/feature_level.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { HandshakeError } from "../../../../lib/protocol/errors.ts";
import {
  type Challenge,
  decodeHelloAnswer,
  encodeHello,
  type PeerCaller,
  type SentRefusal,
  type Welcome,
} from "../../../../lib/protocol/hello.ts";
import { MAX_FRAME_BYTES } from "../../../../lib/protocol/limits.ts";
import type { Connection } from "../../../../lib/platform/network.ts";
import { probePeer } from "../../../../lib/transport/dial.ts";
import type { EncodePayload } from "../../../../lib/transport/frame_writer.ts";
import { FrameReader } from "../../../../lib/transport/frame_reader.ts";
import {
  PeerAuthentication,
  type PeerAuthMode,
} from "../../../../lib/transport/handshake/peer_authentication.ts";
import { ManualClock } from "../../../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../../../support/fakes/memory_network.ts";
import {
  CALLER,
  CLUSTER_ID,
  NetNode,
  type NetNodeOverrides,
  VOTERS,
} from "../../../support/fakes/accepting_node.ts";
import { written } from "../../protocol/formats.ts";

/** The secret of the cluster. */
export const SECRET = "the-secret-of-this-cluster-0123456789";
/** A secret that its nodes do not have. */
export const OTHER_SECRET = "another-secret-9876543210-abcdefghijkl";
const N1 = { host: "n1", port: 7001 };
/** The error of node 2 when node 1 does not authenticate it. */
export const NOT_AUTHENTICATED =
  "Cannot use the node at n1:7001: node 2 did not prove that it knows the peer secret of this cluster. Start every " +
  "node with a --peer-secret-file of the same content; while some have none, with --peer-auth accept.";

/** Random bytes that are never the same twice. */
let drawn = 0;
function randomBytes(count: number): Uint8Array {
  drawn += 1;
  return new Uint8Array(count).fill(drawn);
}

/** Returns the peer secret of a node. */
export function authentication(
  mode: PeerAuthMode,
  secrets: readonly string[] = [SECRET],
  clusterId: string = CLUSTER_ID,
): PeerAuthentication {
  return new PeerAuthentication({ clusterId, mode, secrets, randomBytes });
}

/** Node 1, which listens, and probes of it by node 2. */
export class Scene {
  readonly network = new MemoryNetwork();
  readonly clock = new ManualClock();
  readonly node: NetNode;
  readonly accepter: PeerAuthentication | null;

  constructor(accepter: PeerAuthentication | null, overrides: NetNodeOverrides = {}) {
    const { network, clock } = this;
    this.accepter = accepter;
    this.node = new NetNode({ network, clock, overrides: { peerAuthentication: accepter, ...overrides } });
  }

  probe(dialler: PeerAuthentication | null, caller: Partial<PeerCaller> = {}): Promise<Welcome> {
    return probePeer(N1, {
      network: this.network,
      clock: this.clock,
      signal: new AbortController().signal,
      caller: { ...CALLER, ...caller },
      expectedNodeId: 1,
      peerAuthentication: dialler,
    });
  }

  /** Probes and returns the error. */
  refused(dialler: PeerAuthentication | null, caller: Partial<PeerCaller> = {}): Promise<HandshakeError> {
    return assertRejects(() => this.probe(dialler, caller), HandshakeError);
  }

  async connect(): Promise<Speaker> {
    return new Speaker(await this.network.connect(N1, new AbortController().signal));
  }

  async close(): Promise<void> {
    await this.node.listener.close();
    assertEquals([this.clock.timerCount, this.node.faults], [0, []]);
  }
}

/** One end of a connection that sends and receives frames as a test says. */
export class Speaker {
  readonly #connection: Connection;
  readonly #reader: FrameReader;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#reader = new FrameReader(connection, {
      bufferBytes: 1_024,
      retainedBytes: 1_024,
      maxFrameBytes: MAX_FRAME_BYTES,
    });
  }

  /** Sends a frame, and returns its payload. */
  async send<T>(encode: EncodePayload<T>, message: T): Promise<Uint8Array> {
    return await this.sendPayload(written((out) => encode(out, message)));
  }

  async sendPayload(payload: Uint8Array): Promise<Uint8Array> {
    const frame = new Uint8Array(4 + payload.length);
    new DataView(frame.buffer).setUint32(0, payload.length);
    frame.set(payload, 4);
    for (let sent = 0; sent < frame.length;) sent += await this.#connection.write(frame.subarray(sent));
    return payload;
  }

  /** Returns the payload of the next frame, or null at the end. */
  async hear(): Promise<Uint8Array | null> {
    const next = await this.#reader.readFrame();
    return next.kind === "frame" ? next.payload.slice() : null;
  }

  /** Returns the next frame of a node that was dialled. */
  async answer(): Promise<ReturnType<typeof decodeHelloAnswer> | null> {
    const payload = await this.hear();
    return payload === null ? null : decodeHelloAnswer(payload);
  }

  /** Sends a hello; returns the challenge that answers it, and its payload. */
  async challenged(hello: PeerCaller): Promise<{ challenge: Challenge; payload: Uint8Array }> {
    await this.send(encodeHello, hello);
    const payload = await this.hear();
    assert(payload !== null);
    const challenge = decodeHelloAnswer(payload);
    assert(challenge.kind === "challenge");
    return { challenge, payload };
  }

  close(): void {
    this.#connection.close();
  }
}

/** Runs `attack` as the node at the address of node 1, against a probe of node 2. Returns the error of the probe. */
export async function againstDialler(
  dialler: PeerAuthentication,
  attack: (speaker: Speaker) => Promise<void>,
): Promise<Error> {
  const network = new MemoryNetwork();
  const listener = network.listen(N1);
  const probe = probePeer(N1, {
    network,
    clock: new ManualClock(),
    signal: new AbortController().signal,
    caller: CALLER,
    expectedNodeId: 1,
    peerAuthentication: dialler,
  });
  const error = assertRejects(() => probe, Error);
  const connection = await listener.accept();
  assert(connection !== null);
  await attack(new Speaker(connection));
  const reason = await error;
  listener.close();
  return reason;
}

/** Returns a welcome of node 1. */
export function welcomeOf(overrides: Partial<Welcome> = {}): Welcome {
  return {
    kind: "welcome",
    version: 1,
    clusterId: CLUSTER_ID,
    nodeId: 1,
    leader: 2,
    term: 7,
    appliedIndex: 303,
    members: VOTERS,
    limits: { maxKeyBytes: 4_096, maxValueBytes: 1_000, maxFrameBytes: MAX_FRAME_BYTES },
    dataId: 101,
    featureLevel: FEATURE_LEVEL,
    proof: null,
    ...overrides,
  };
}

/** A refusal that stops a node. */
export const REMOVED: SentRefusal = {
  kind: "refusal",
  code: "removedNode",
  message: "node 2 was removed from the cluster.",
  proof: null,
};

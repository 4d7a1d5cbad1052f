/**
 * Targets on the port: a complete server over a network in memory, a connection that sends the input, and another
 * client, which must still be served. Each input gets a new server, so that runs are reproducible.
 */
import { serverConfigOf } from "../../lib/server/config/reading.ts";
import { assert, assertEquals } from "@std/assert";
import type { ValueType } from "@std/msgpack";
import { FRAME_KIND } from "../support/frames/kinds.ts";
import { MAX_FRAME_BYTES } from "../../lib/protocol/limits.ts";
import {
  type Address,
  type Connection,
  type Listener,
  type Network,
  PLAIN,
} from "../../lib/platform/network.ts";
import { clusterIdOf } from "../../lib/server/startup/identity.ts";
import { NodeRefusedError, type RunningServer, startServer } from "../../lib/server/mod.ts";
import { peerKeyOf } from "../../lib/transport/handshake/peer_secret.ts";
import { ManualClock, settle } from "../support/fakes/manual_clock.ts";
import { MemoryDisk } from "../support/fakes/memory_disk.ts";
import { MemoryNetwork } from "../support/fakes/memory_network.ts";
import { MEMBERS, RawConnection, until } from "../support/fakes/accepting_node.ts";
import { RecordingLogger } from "../support/fakes/recording_logger.ts";
import { SeededRandom } from "../support/seeded_random.ts";
import { LYING_LENGTHS } from "./mutator.ts";
import { type FuzzTarget, texts, unrepaired } from "./target.ts";

const ELECTION_TIMEOUT_MS = 1_000;
const CLUSTER_NAME = "fuzz";
const CLUSTER_ID = clusterIdOf(CLUSTER_NAME, MEMBERS);
/** Rounds of half an election timeout in which the effects of the input settle. */
const ROUNDS = 4;
const HEADER_BYTES = 4;
const LIE_CHANCE = 0.1;
const CLIENT_HELLO = [0, "kvraft", 1, 1, 2, null, null, null, null];
/** The hello of node 2, for its entry lane. */
const PEER_HELLO = [0, "kvraft", 1, 1, 1, CLUSTER_ID, 2, 2, null, 2, "n2:7002"];
const PEER_SECRET = "the-secret-of-the-nodes-that-are-fuzzed";
/** Elements of a welcome without a proof, as clients get it. */
const UNPROVEN_WELCOME_ELEMENTS = 11;
/** A buffer may be twice as large as the received bytes, or as large as the listener's bound per connection. */
const KEPT_BYTES = 1_048_576;

/** A network that records the size of the buffers that the accepting side reads into. */
class MeasuredNetwork implements Network {
  readonly #network = new MemoryNetwork();
  largestBufferBytes = 0;

  listen(address: Address): Listener {
    const listener = this.#network.listen(address);
    return {
      address: listener.address,
      accept: async () => {
        const connection = await listener.accept();
        return connection === null ? null : this.#measured(connection);
      },
      close: () => listener.close(),
    };
  }

  connect(address: Address, signal: AbortSignal): Promise<Connection> {
    return this.#network.connect(address, signal);
  }

  #measured(connection: Connection): Connection {
    return {
      ...PLAIN,
      remote: connection.remote,
      read: (buffer) => {
        this.largestBufferBytes = Math.max(this.largestBufferBytes, buffer.buffer.byteLength);
        return connection.read(buffer);
      },
      write: (bytes) => connection.write(bytes),
      close: () => connection.close(),
    };
  }
}

/** A server with a client that it serves. */
class Arena {
  readonly network: MeasuredNetwork;
  readonly clock: ManualClock;
  readonly #server: RunningServer;
  readonly #logger: RecordingLogger;
  #fault: unknown = null;
  #asked = 0;
  #witness: RawConnection | null = null;

  private constructor(
    server: RunningServer,
    { network, clock, logger }: {
      readonly network: MeasuredNetwork;
      readonly clock: ManualClock;
      readonly logger: RecordingLogger;
    },
  ) {
    this.#server = server;
    this.#logger = logger;
    this.network = network;
    this.clock = clock;
    void server.finished.then((fault) => this.#fault = fault);
  }

  /** Starts node 1 of a cluster; alone it leads, of three it waits for the others. */
  static async open({ nodes, hasSecret = false }: Omit<Attack, "hello">): Promise<Arena> {
    const network = new MeasuredNetwork();
    const clock = new ManualClock();
    const random = new SeededRandom(1);
    const logger = new RecordingLogger();
    const config = serverConfigOf({
      nodeId: 1,
      bind: { host: "n1", port: 7001 },
      members: MEMBERS.slice(0, nodes),
      clusterName: CLUSTER_NAME,
      dataDir: "/data",
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      maxValueBytes: 1_000,
      segmentBytes: 4_096,
      maxConnections: 16,
      peerSecretFile: hasSecret ? "peer.secret" : null,
    });
    const server = await startServer(config, {
      disk: new MemoryDisk(),
      network,
      clock,
      wallClock: () => clock.now(),
      random: () => random.next(),
      randomBytes: (count) => Uint8Array.from({ length: count }, () => random.below(256)),
      readPrivateFile: () => PEER_SECRET,
      logger,
    });
    const arena = new Arena(server, { network, clock, logger });
    if (nodes === 1) await arena.pass(4);
    arena.#witness = await RawConnection.connect(network);
    await arena.#witness.send(CLIENT_HELLO);
    return arena;
  }

  /** Lets time pass. */
  async pass(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      this.clock.advance(ELECTION_TIMEOUT_MS / 2);
      await settle();
    }
  }

  /** Checks that the node runs and answers the other client, unless the input was a leader's message that it is removed. */
  async mustServe(): Promise<void> {
    if (this.#fault instanceof NodeRefusedError) return;
    const requestId = ++this.#asked;
    await this.#witness?.send([FRAME_KIND.status, requestId]);
    const isAnswer = (frame: ValueType): boolean =>
      Array.isArray(frame) && frame[0] === FRAME_KIND.statusResult && frame[1] === requestId;
    await until("the other client is served", () => this.#witness?.received.some(isAnswer) ?? false);
    assertEquals(this.#fault, null, "the node goes on");
    assertEquals(this.#logger.connectionFaults, [], "no connection ended by a fault in kvraft");
  }

  async close(): Promise<void> {
    let isStopped = false;
    const stopping = this.#server.stop().then(() => isStopped = true);
    while (!isStopped) await this.pass(1);
    await stopping;
    assertEquals(this.clock.timerCount, 0, "a server that has stopped leaves no timer behind");
  }
}

interface Attack {
  /** Nodes of the cluster. */
  readonly nodes: number;
  /** Whether the node has a peer secret. Default false. */
  readonly hasSecret?: boolean;
  /** Sent before the input; null for nothing. */
  readonly hello: ValueType | null;
}

async function attack(input: Uint8Array<ArrayBuffer>, { hello, ...options }: Attack): Promise<void> {
  const arena = await Arena.open(options);
  await arena.mustServe();
  const connection = await RawConnection.connect(arena.network);
  if (hello !== null) await connection.send(hello);
  await settle();
  // In two pieces, so that a frame may be split anywhere.
  const half = Math.floor(input.length / 2);
  await connection.sendBytes(input.subarray(0, half));
  await settle();
  await connection.sendBytes(input.subarray(half)).catch(() => {
    // The node has closed the connection because of the first half.
  });
  await settle();
  await arena.mustServe();
  await arena.pass(ROUNDS);
  await arena.mustServe();
  const isProven = connection.received.some((frame) =>
    Array.isArray(frame) && frame[0] === FRAME_KIND.welcome && frame.length > UNPROVEN_WELCOME_ELEMENTS
  );
  assert(!isProven, "no input proves a secret that it does not have");
  const limit = Math.max(KEPT_BYTES, 2 * input.length);
  const { largestBufferBytes } = arena.network;
  assert(largestBufferBytes <= limit, `${input.length} bytes made a buffer of ${largestBufferBytes}`);
  if (input.length % 2 === 0) connection.close();
  await arena.close();
}

/** Heads of MessagePack values, and lengths at the limits. */
const TOKENS: readonly Uint8Array[] = [
  [0xc0],
  [0xc4, 0x01, 0x61],
  [0xc6, 0xff, 0xff, 0xff, 0xff],
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdc, 0xff, 0xff],
  [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
  [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0],
  [0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xdb, 0x7f, 0xff, 0xff, 0xff],
  [0x80],
  new Array<number>(200).fill(0x91),
].map((bytes) => Uint8Array.from(bytes));

/** Corrects the length of each frame (the last frame takes the rest), and sometimes makes one wrong. */
function reframed(input: Uint8Array<ArrayBuffer>, random: SeededRandom): Uint8Array<ArrayBuffer> {
  const view = new DataView(input.buffer);
  const headers: number[] = [];
  for (let at = 0; at + HEADER_BYTES <= input.length;) {
    const rest = input.length - at - HEADER_BYTES;
    const length = Math.min(view.getUint32(at), rest, MAX_FRAME_BYTES);
    view.setUint32(at, length);
    headers.push(at);
    at += HEADER_BYTES + length;
  }
  if (headers.length > 0 && random.chance(LIE_CHANCE)) {
    view.setUint32(random.pick(headers), random.pick(LYING_LENGTHS));
  }
  return input;
}

/** Input from the first byte on: the hello and later frames. */
export const HANDSHAKE: FuzzTarget = {
  name: "handshake",
  promise: "the first bytes of a connection affect no other connection",
  tokens: [...TOKENS, ...texts("kvraft", "\0\0\0\x01\xc0")],
  repair: unrepaired,
  run: (input) => attack(input, { nodes: 1, hello: null }),
};

/** The same at a node that wants the proof of a peer secret. */
export const SECRET_HANDSHAKE: FuzzTarget = {
  name: "secret_handshake",
  promise: "an exchange of proofs affects no other connection",
  tokens: [...TOKENS, peerKeyOf(PEER_SECRET, CLUSTER_ID).id, ...texts(CLUSTER_ID)],
  repair: reframed,
  run: (input) => attack(input, { nodes: 3, hasSecret: true, hello: null }),
};

/** Frames of a client that was welcomed, at a leader. */
export const CLIENT_FRAMES: FuzzTarget = {
  name: "client_frames",
  promise: "a client's frames affect no other connection",
  tokens: TOKENS,
  repair: reframed,
  run: (input) => attack(input, { nodes: 1, hello: CLIENT_HELLO }),
};

/** Frames of node 2 at node 1 of three. */
export const PEER_FRAMES: FuzzTarget = {
  name: "peer_frames",
  promise: "a peer's frames never end a node",
  tokens: TOKENS,
  repair: reframed,
  run: (input) => attack(input, { nodes: 3, hello: PEER_HELLO }),
};

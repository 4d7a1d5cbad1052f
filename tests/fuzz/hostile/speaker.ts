/**
 * A hostile program at the other end of a connection: it sends the hello of a client or a member, then well-formed
 * frames with hostile fields, many at once or one by one; it reads the answers or not, and closes the connection in the
 * middle of a frame or keeps it open forever. It runs over any network and clock, simulated or real.
 */
import { encode } from "@std/msgpack";
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Address, Connection, Dialer } from "../../../lib/platform/network.ts";
import { SIGN_IN } from "../../../lib/protocol/auth_command.ts";
import { LANES } from "../../../lib/protocol/hello.ts";
import { MAX_FRAME_BYTES } from "../../../lib/protocol/limits.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { joined, MAX_INPUT_BYTES, mutated } from "../mutator.ts";
import {
  ALL_KINDS,
  CLIENT_KINDS,
  type FrameKindName,
  hostilePayload,
  type Knowledge,
  PEER_KINDS,
} from "./frames.ts";
import { type Guise, helloOf } from "./hellos.ts";

/** Most bytes that one conversation sends, so that a few of them do not take all of the time. */
const MAX_SENT_BYTES = 24_000_000;
/** Frames sent again and again at once, of this size at most. */
const MAX_REPEATED_BYTES = 2_048;
const MAX_REPETITIONS = 1_000;
const MAX_FRAMES = 24;
/** Longest duration of a conversation, for nodes that stop reading. */
const MAX_CONVERSATION_MS = 2_000;
/** Duration of a pause within or after a conversation. */
const MAX_SILENCE_MS = 300;
const READ_BYTES = 65_536;
/** Beyond the ids of hostile requests. */
const SIGN_IN_ID = 2 ** 40;

/** Reads what a connection receives, until it ends; may reject then. */
export type Receiver = (connection: Connection) => Promise<void>;

/** A user whose credential a hostile program has. */
export interface SpeakerUser {
  /** Null for none: it does not sign in. */
  readonly token: string | null;
  /** Whether it also sends frames in which bytes were changed. */
  readonly isMutating: boolean;
  /** Null if it may receive everything. */
  readonly receive: Receiver | null;
}

/** Options of a speaker. */
export interface SpeakerOptions {
  readonly network: Dialer;
  readonly clock: Clock;
  readonly random: SeededRandom;
  /** Returns the current knowledge of the cluster, for a conversation with one of its nodes. */
  readonly knowledge: (to: number) => Knowledge;
  readonly addressOf: (node: number) => Address;
  /** Nodes that it dials. */
  readonly targets: readonly number[];
  readonly guises: readonly Guise[];
  /** The user that it signs in as. Default none. */
  readonly user?: SpeakerUser;
  /** Called for each frame, sent completely or not. */
  readonly onFrame: (kind: FrameKindName, to: number) => void;
}

/** One hostile program. */
export class Speaker {
  readonly #options: SpeakerOptions;

  constructor(options: SpeakerOptions) {
    this.#options = options;
  }

  /** Holds one conversation after the other while `goesOn` returns true. */
  async run(goesOn: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (goesOn()) {
      await this.#converse(random.pick(this.#options.targets));
      await this.#pause(random.below(20));
    }
  }

  async #converse(to: number): Promise<void> {
    const { network, addressOf, random, clock, guises } = this.#options;
    const giveUp = new AbortController();
    let connection: Connection | null = null;
    const timer = clock.after(MAX_CONVERSATION_MS, () => {
      giveUp.abort();
      connection?.close();
    });
    connection = await network.connect(addressOf(to), giveUp.signal).catch(() => null);
    if (connection !== null) {
      const receive = this.#options.user?.receive ?? drain;
      // It was closed from either side.
      if (!random.chance(0.25)) void receive(connection).catch(() => {});
      await this.#speak(connection, { to, guise: random.pick(guises) });
      if (random.chance(0.2)) await this.#pause(random.below(MAX_SILENCE_MS));
    }
    timer.cancel();
    connection?.close();
  }

  async #speak(
    connection: Connection,
    { to, guise }: { readonly to: number; readonly guise: Guise },
  ): Promise<void> {
    const { random, knowledge } = this.#options;
    const opening = random.chance(0.1)
      ? this.#payload("hello", to)
      : helloOf(knowledge(to), { guise, lane: random.pick(Object.values(LANES)) });
    if (!await send(connection, framed(opening))) return;
    // Where nodes ask for a proof, few other frames are read before it.
    if (guise === "peer" && knowledge(to).peerKeyIds.length > 0 && random.chance(0.7)) {
      if (!await send(connection, framed(this.#payload("peerProof", to)))) return;
    }
    const token = this.#options.user?.token ?? null;
    if (guise === "client" && token !== null && !await send(connection, framed(signInOf(token)))) return;
    const own = guise === "client" ? CLIENT_KINDS : PEER_KINDS;
    let left = MAX_SENT_BYTES;
    for (let count = random.below(MAX_FRAMES); count > 0 && left > 0; count--) {
      const kind = random.pick(random.chance(0.95) ? own : ALL_KINDS);
      const frame = framed(this.#payload(kind, to));
      const bytes = random.chance(0.2) ? repeated(frame, random) : frame;
      left -= bytes.length;
      // Half a frame, without the rest.
      const isHalf = random.chance(0.05);
      if (!await send(connection, isHalf ? bytes.subarray(0, random.below(bytes.length)) : bytes)) return;
      if (isHalf) return await this.#pause(random.below(MAX_SILENCE_MS));
      if (random.chance(0.3)) await this.#pause(random.below(10));
    }
  }

  /** Returns a payload of this kind that a frame can hold. */
  #payload(kind: FrameKindName, to: number): Uint8Array {
    const { knowledge, onFrame, user, random } = this.#options;
    onFrame(kind, to);
    const payload = hostilePayload(kind, knowledge(to)).slice(0, MAX_FRAME_BYTES);
    const isSmall = payload.length <= MAX_INPUT_BYTES;
    return user?.isMutating === true && isSmall && random.chance(0.2)
      ? mutated({ corpus: [payload], tokens: [] }, random)
      : payload;
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(durationMs, resolve));
  }
}

/** Returns a valid sign-in. */
function signInOf(token: string): Uint8Array {
  return encode([FRAME_KIND.signIn, SIGN_IN_ID, [SIGN_IN.numbers.token, token]]);
}

/** Returns a payload with its length prefix. */
export function framed(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(4);
  new DataView(head.buffer).setUint32(0, payload.length);
  return joined(head, payload);
}

/** Repeats a small frame very often; returns a large one once. */
function repeated(frame: Uint8Array<ArrayBuffer>, random: SeededRandom): Uint8Array<ArrayBuffer> {
  if (frame.length > MAX_REPEATED_BYTES) return frame;
  const times = 1 + random.below(MAX_REPETITIONS);
  const bytes = new Uint8Array(times * frame.length);
  for (let time = 0; time < times; time++) bytes.set(frame, time * frame.length);
  return bytes;
}

/** Sends all of the bytes; returns false when the connection ends before. */
export async function send(connection: Connection, bytes: Uint8Array): Promise<boolean> {
  try {
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    return true;
  } catch {
    return false;
  }
}

/** Reads and drops all bytes until the connection ends. */
export async function drain(connection: Connection): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  try {
    while (await connection.read(buffer) !== null);
  } catch {
    // It was closed from either side.
  }
}

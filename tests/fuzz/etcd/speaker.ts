/**
 * A hostile program on the port for etcd's clients, over HTTP/2: correct requests with hostile messages, messages that never
 * complete, streams that are not read, floods on one stream, and calls that wait and are reset.
 */
import type { Clock } from "../../../lib/platform/clock.ts";
import { ConnectionFrom } from "../../support/processes/source_address.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { sendFor } from "../denokv/http1_speaker.ts";
import { FRAME, frame, headerFrames, PREFACE, requestFrames } from "../denokv/http2_speaker.ts";
import { joined, mutated } from "../mutator.ts";
import { framed, grpcRequest, hostileRequest, validMessage } from "./requests.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const SOURCE = "127.0.0.3";
const PAUSE_MS = 20;
/** Connections that stay open; one more closes the oldest. */
const MAX_OPEN = 30;
const NO_BYTES = new Uint8Array(0);
const CANCEL = new Uint8Array([0, 0, 0, 8]);
const MAX_PAYLOAD_BYTES = 16_384;

/** One hostile program. */
export class EtcdSpeaker {
  readonly #random: SeededRandom;
  readonly #port: number;
  readonly #clock: Clock;
  readonly #open: ConnectionFrom[] = [];
  /** Connections by the kind of attack. */
  readonly attacks = new Map<string, number>();

  /** Connects to nothing yet. */
  constructor(
    { random, port, clock }: { readonly random: SeededRandom; readonly port: number; readonly clock: Clock },
  ) {
    this.#random = random;
    this.#port = port;
    this.#clock = clock;
  }

  /** Opens one connection after the other while `goesOn` returns true. */
  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await this.#attack();
      await new Promise<void>((resolve) => void this.#clock.after(PAUSE_MS, resolve));
      while (this.#open.length > MAX_OPEN) this.#open.shift()?.[Symbol.dispose]();
    }
    for (const connection of this.#open) connection[Symbol.dispose]();
  }

  async #attack(): Promise<void> {
    const random = this.#random;
    const connection = await ConnectionFrom.open(SOURCE, this.#port).catch(() => null);
    if (connection === null) return;
    this.#open.push(connection);
    const attack = random.pick(ATTACKS);
    this.attacks.set(attack.name, (this.attacks.get(attack.name) ?? 0) + 1);
    if (random.chance(0.3)) connection.stopReading();
    await sendFor(connection, joined(PREFACE, frame(FRAME.settings, 0, 0, NO_BYTES)), this.#clock);
    for (const bytes of attack(random)) {
      if (connection.isClosed) return;
      const sent = random.chance(0.02) ? mutated({ corpus: [bytes], tokens: [] }, random) : bytes;
      if (!await sendFor(connection, sent, this.#clock)) return;
    }
  }
}

const ATTACKS: readonly ((random: SeededRandom) => Iterable<Bytes>)[] = [
  function* requests(random): Iterable<Bytes> {
    for (let number = 0; number < 1 + random.below(60); number++) {
      yield requestFrames(hostileRequest(random), 1 + 2 * number, random);
    }
  },
  /** Messages of 2 MiB that are begun and never completed, some of them byte by byte. */
  function* openMessages(random): Iterable<Bytes> {
    const begin = new Uint8Array([0, 0, 0x1f, 0xff, 0xff]);
    for (let number = 0; number < 500; number++) {
      const stream = 1 + 2 * number;
      const method = random.pick(["etcdserverpb.KV/Put", "etcdserverpb.Watch/Watch"]);
      const head = headerFrames(grpcRequest(method, NO_BYTES, random), stream, { random, isEnd: false });
      const data = random.chance(0.9)
        ? [joined(begin, new Uint8Array(MAX_PAYLOAD_BYTES - begin.length))]
        : Array.from(begin, (byte) => new Uint8Array([byte]));
      yield joined(head, ...data.map((part) => frame(FRAME.data, 0, stream, part)));
    }
  },
  /** Many messages on each of some streams, whose answers may not be read. */
  function* streams(random): Iterable<Bytes> {
    const method = random.pick([
      "etcdserverpb.Watch/Watch",
      "etcdserverpb.Watch/Watch",
      "etcdserverpb.Lease/LeaseKeepAlive",
    ]);
    const count = 1 + random.below(5);
    for (let number = 0; number < count; number++) {
      yield headerFrames(grpcRequest(method, NO_BYTES, random), 1 + 2 * number, { random, isEnd: false });
    }
    for (let burst = 0; burst < 50; burst++) {
      const messages = Array.from({ length: 100 }, () => framed(validMessage(method, random)));
      const bytes = joined(...messages).subarray(0, MAX_PAYLOAD_BYTES);
      yield frame(FRAME.data, 0, 1 + 2 * random.below(count), bytes);
    }
  },
  /** Calls that wait for a lock or an election, or read everything, and are reset. */
  function* waits(random): Iterable<Bytes> {
    for (let number = 0; number < 200; number++) {
      const method = random.pick([
        "v3lockpb.Lock/Lock",
        "v3electionpb.Election/Campaign",
        "v3electionpb.Election/Observe",
        "etcdserverpb.KV/RangeStream",
      ]);
      const request = grpcRequest(method, framed(validMessage(method, random)), random);
      yield requestFrames(request, 1 + 2 * number, random);
      if (random.chance(0.5)) yield frame(FRAME.reset, 0, 1 + 2 * number, CANCEL);
    }
  },
];

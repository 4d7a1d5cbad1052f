/**
 * Watchers of kvraft in a process of their own, over connections that decode nothing: what is measured is the servers' work.
 * The argument is an assignment as JSON.
 *
 * With `puts` above 0 all watchers watch one key. It prints "ready", rests, then puts so often and waits each time until
 * every watcher was sent the event; then it prints how long that took, as JSON. Otherwise each watcher has a key of its own,
 * and it prints "ready" and waits until it is ended.
 */
// deno-lint-ignore-file no-console -- this is a command
import { KvClient } from "../../../../lib/mod.ts";
import { pause } from "../../../../lib/platform/promise.ts";
import { SystemClock } from "../../../../lib/platform/system.ts";
import { encodeClientRequest, SERVER_MESSAGES } from "../../../../lib/protocol/client_frames.ts";
import { encodeHello } from "../../../../lib/protocol/hello.ts";
import { MessagePackWriter } from "../../../../lib/protocol/msgpack_writer.ts";
import { TurnSocket } from "../../peers/turn_socket.ts";

/** The task of the process. */
export interface WatchersAssignment {
  readonly addresses: readonly string[];
  readonly connections: number;
  readonly watchers: number;
  readonly puts: number;
  readonly valueBytes: number;
  /** Time between "ready" and the first put. */
  readonly restMs: number;
}

/** For each put, milliseconds from the first to the last watcher, and from the put to the last watcher. */
export interface WatchersAnswer {
  readonly spreadMs: readonly number[];
  readonly lastMs: readonly number[];
}

const KEY = new TextEncoder().encode("watched/key");
const HEAD_BYTES = 4;

/** Counts the frames of a kind on all connections. */
class Frames {
  readonly #waiting = new Map<number, { wanted: number; resolve: () => void }>();
  readonly #counts = new Map<number, number>();
  readonly #firstAt = new Map<number, number>();

  /** Takes the frames in `bytes`; returns how many bytes they have. */
  readonly take = (bytes: Uint8Array): number => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let start = 0;
    while (start + HEAD_BYTES <= bytes.length) {
      const length = view.getUint32(start);
      if (start + HEAD_BYTES + length > bytes.length) break;
      // The payload is an array of fewer than 16 elements, whose first one is the kind, below 128.
      this.#count(view.getUint8(start + HEAD_BYTES + 1));
      start += HEAD_BYTES + length;
    }
    return start;
  };

  /** Resolves once `wanted` frames of a kind have come since the last call for this kind. */
  wait(kind: number, wanted: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(kind, { wanted, resolve });
    this.#settle(kind);
    return promise;
  }

  /** The time of the first frame of a kind since its count began. */
  firstAt(kind: number): number {
    return this.#firstAt.get(kind) ?? NaN;
  }

  /** Begins the count of a kind again. */
  restart(kind: number): void {
    this.#counts.delete(kind);
  }

  #count(kind: number): void {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    if (count === 1) this.#firstAt.set(kind, performance.now());
    this.#counts.set(kind, count);
    this.#settle(kind);
  }

  #settle(kind: number): void {
    const waiting = this.#waiting.get(kind);
    if (waiting === undefined || (this.#counts.get(kind) ?? 0) < waiting.wanted) return;
    this.#waiting.delete(kind);
    waiting.resolve();
  }
}

function framed(write: (out: MessagePackWriter) => void): Uint8Array {
  const out = new MessagePackWriter();
  const start = out.reserveUint32();
  write(out);
  out.setUint32(start, out.length - HEAD_BYTES);
  return out.copy();
}

/** Opens the watches of one connection. */
async function open(
  { addresses, connections, watchers, puts }: WatchersAssignment,
  position: number,
  frames: Frames,
): Promise<void> {
  const address = addresses[position % addresses.length] ?? "";
  const socket = await TurnSocket.connect(address, frames.take);
  socket.send(framed((out) => encodeHello(out, { role: "client", clusterId: null })));
  for (let number = position; number < watchers; number += connections) {
    const key = puts > 0 ? KEY : new TextEncoder().encode(`watched/${`${number}`.padStart(10, "0")}`);
    const request = {
      kind: "watch",
      requestId: number + 1,
      keys: { kind: "key", key },
      from: null,
      puts: true,
      deletes: true,
      previous: false,
      visibleOnly: false,
    } as const;
    socket.send(framed((out) => encodeClientRequest(out, request)));
  }
}

async function run(assignment: WatchersAssignment): Promise<WatchersAnswer> {
  const { addresses, connections, watchers, puts, valueBytes, restMs } = assignment;
  const { watchStarted, watchEvents } = SERVER_MESSAGES.numbers;
  const frames = new Frames();
  await Promise.all(Array.from({ length: connections }, (_, position) => open(assignment, position, frames)));
  await frames.wait(watchStarted, watchers);
  await using client = await KvClient.connect({ cluster: addresses });
  await client.get(KEY);
  console.error("ready");
  const clock = new SystemClock();
  const rest = (ms: number): Promise<void> => pause(ms, { clock, signal: new AbortController().signal });
  await rest(puts > 0 ? restMs : 2 ** 30);
  const spreadMs: number[] = [];
  const lastMs: number[] = [];
  for (let put = 0; put < puts; put++) {
    frames.restart(watchEvents);
    const startedAt = performance.now();
    const all = frames.wait(watchEvents, watchers);
    await client.put(KEY, new Uint8Array(valueBytes).fill(put));
    await all;
    const endedAt = performance.now();
    spreadMs.push(endedAt - frames.firstAt(watchEvents));
    lastMs.push(endedAt - startedAt);
  }
  return { spreadMs, lastMs };
}

if (import.meta.main) {
  const assignment: WatchersAssignment = JSON.parse(Deno.args[0] ?? "{}");
  console.log(JSON.stringify(await run(assignment)));
  Deno.exit(0);
}

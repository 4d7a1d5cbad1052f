/** A front end with watches over a store in memory, and the clients' sides of the watches. */
import { assert, assertEquals } from "@std/assert";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type WatchAccess, Watches } from "../../../../lib/denokv/watch/watches.ts";
import { ManualClock, settle } from "../../../support/fakes/manual_clock.ts";
import { MemoryDatabases } from "../../../support/fakes/watched_databases.ts";
import { MemoryWebRequest } from "../../../support/fakes/web_exchange.ts";

/** The content of a frame about one key: its value, null for an absent one, "unchanged". */
type Output = string | null;
/** A key that a frame does not report. */
export const UNCHANGED = "unchanged";
/** A frame without a state. */
export const PING = "ping";

/** A front end with watches over a store in memory. */
export class Bench {
  readonly clock = new ManualClock();
  readonly databases = new MemoryDatabases();
  readonly removed = new Set<number>();
  readonly watches = new Watches({
    databases: this.databases,
    clock: this.clock,
    isAllowed: ({ credentialId }) => !this.removed.has(credentialId),
  });

  /** Begins a watch; its first frame has left when this resolves, if it can. */
  async watch(
    keys: readonly string[],
    { credentialId = 1, databaseId = 0, isStalled = false }:
      & Partial<WatchAccess>
      & { readonly isStalled?: boolean } = {},
  ): Promise<Watcher> {
    const watcher = new Watcher(new MemoryWebRequest({ isStalled }));
    const bytes = keys.map((key) => new TextEncoder().encode(key));
    watcher.serving = this.watches.serve(watcher.request, { databaseId, credentialId }, bytes)
      .catch((error: unknown) => void (watcher.refusal = error));
    await settle();
    return watcher;
  }

  /** Writes keys and lets the frames leave that may leave at once. */
  async write(values: Readonly<Record<string, string | null>>): Promise<void> {
    this.databases.write(values);
    await settle();
  }

  async pass(durationMs: number): Promise<void> {
    this.clock.advance(durationMs);
    await settle();
  }

  /** Ends everything; fails if something is left. */
  async finish(): Promise<void> {
    this.watches.stop();
    await settle();
    assertEquals(this.clock.timerCount, 0);
    assertEquals(this.databases.watchCount, 0);
  }
}

/** A client's side of a watch. */
export class Watcher {
  readonly request: MemoryWebRequest;
  serving: Promise<void> = Promise.resolve();
  refusal: unknown = null;

  constructor(request: MemoryWebRequest) {
    this.request = request;
  }

  /** The stream of the answer. */
  get stream(): NonNullable<MemoryWebRequest["answer"]> {
    const { answer } = this.request;
    assert(answer !== null, "the request was answered");
    return answer;
  }

  /** The frames so far. */
  get frames(): (readonly Output[] | typeof PING)[] {
    return this.stream.written.map(decodeFrame);
  }

  /** The frames that have a state. */
  get states(): (readonly Output[])[] {
    return this.frames.filter((frame) => frame !== PING);
  }
}

function decodeFrame(frame: Uint8Array): readonly Output[] | typeof PING {
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
  assertEquals(length, frame.length - 4);
  if (length === 0) return PING;
  const outputs: Output[] = [];
  for (const [field, value] of decodeFields(frame.subarray(4))) {
    if (field === 1) assertEquals(value, 1);
    else outputs.push(decodeOutput(value));
  }
  return outputs;
}

function decodeOutput(message: Uint8Array | number): Output {
  const fields = new Map(decodeFields(message));
  if (fields.get(1) !== 1) return UNCHANGED;
  const entry = fields.get(2);
  if (entry === undefined) return null;
  const { 2: value, 3: encoding, 4: versionstamp } = Object.fromEntries(decodeFields(entry));
  assertEquals(encoding, 3);
  assert(value instanceof Uint8Array && versionstamp instanceof Uint8Array);
  assertEquals(versionstamp.length, 10);
  return new TextDecoder().decode(value);
}

function decodeFields(message: Uint8Array | number): [number, Uint8Array | number][] {
  assert(message instanceof Uint8Array);
  const reader = new BinaryReader(message);
  const fields: [number, Uint8Array | number][] = [];
  while (reader.pos < message.length) {
    const [field, wireType] = reader.tag();
    fields.push([field, wireType === 2 ? reader.bytes() : reader.uint32()]);
  }
  return fields;
}

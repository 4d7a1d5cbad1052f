/**
 * Connections in virtual time, with the behaviour of a kernel: bounded buffers, bytes that arrive in pieces, resets that
 * overtake bytes in flight, and ends that never learn that the other was closed.
 */
import { assert } from "@std/assert";
import type { Connection, PeerCertificate } from "../../../lib/platform/network.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import type { Link } from "./link.ts";
import type { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

/** Bytes after the received ones that are overwritten: code that keeps a view of a buffer finds these. */
const OVERWRITTEN_BYTES = 1_024;

/** Options of the connections of a simulation. */
export interface ConnectionOptions {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  /** Most bytes in flight per direction. */
  readonly capacityBytes: number;
  /** Longest piece that a write accepts, and that arrives at once. */
  readonly pieceBytes: number;
  /** Time of the process for a byte that it reads or writes: decoding, copying. 0 where work takes no time. */
  readonly msPerByte: number;
}

type Item = Uint8Array | "fin" | "reset";
interface Flying {
  readonly item: Item;
  atMs: number;
}

/** One direction of a connection, between the sockets of two machines. */
class Pipe {
  readonly #options: ConnectionOptions;
  readonly #link: Link;
  readonly #flying: Flying[] = [];
  readonly #arrived: (item: Item) => boolean;
  #lastMs = 0;
  #waitsForLink = false;
  /** Bytes written and not yet read at the other end. */
  underWayBytes = 0;

  /** `arrived` takes an item, or says that the machine is down. */
  constructor(options: ConnectionOptions, link: Link, arrived: (item: Item) => boolean) {
    this.#options = options;
    this.#link = link;
    this.#arrived = arrived;
  }

  get link(): Link {
    return this.#link;
  }

  send(item: Item): void {
    if (item === "reset") this.#flying.length = 0;
    const bytes = item instanceof Uint8Array ? item.length : 0;
    this.underWayBytes += bytes;
    this.#flying.push({ item, atMs: 0 });
    this.#schedule(this.#flying.length - 1, bytes);
  }

  /** Retries items that the link did not deliver. */
  retry(): void {
    this.#waitsForLink = false;
    for (const [position, { item }] of this.#flying.entries()) {
      this.#schedule(position, item instanceof Uint8Array ? item.length : 0);
    }
  }

  #schedule(position: number, bytes: number): void {
    const flying = this.#flying[position];
    assert(flying !== undefined, "scheduled bytes are in flight");
    const { scheduler } = this.#options;
    flying.atMs = Math.max(this.#lastMs, scheduler.nowMs + this.#link.delayMs(bytes));
    this.#lastMs = flying.atMs;
    scheduler.after(flying.atMs - scheduler.nowMs, null, () => this.#deliver());
  }

  #deliver(): void {
    const { nowMs } = this.#options.scheduler;
    while (true) {
      const next = this.#flying[0];
      if (next === undefined || next.atMs > nowMs + 1e-6) return;
      if (this.#link.isCut || !this.#arrived(next.item)) {
        if (!this.#waitsForLink) this.#link.whenHealed(() => this.retry());
        this.#waitsForLink = true;
        return;
      }
      this.#flying.shift();
    }
  }
}

interface Reader {
  readonly buffer: Uint8Array;
  readonly settle: PromiseWithResolvers<number | null>;
}
interface Writer {
  readonly bytes: Uint8Array;
  readonly settle: PromiseWithResolvers<number>;
}

/** One end of a connection. */
export class SimConnection implements Connection {
  readonly security = "plain";
  readonly certificate: PeerCertificate | null;
  readonly binding = null;
  readonly remote: string;
  readonly #process: Process;
  readonly #options: ConnectionOptions;
  /** The direction of this end's bytes; set by {@link connectionPair}. */
  #outgoing: Pipe | null = null;
  /** The other end's pipe, whose free capacity grows when something is read here. */
  #incoming: Pipe | null = null;
  #peer: SimConnection | null = null;
  readonly #received: Uint8Array[] = [];
  #hasEnded = false;
  /** open; closed from this side; reset; or lost with its machine, which answers nothing. */
  #state: "open" | "closed" | "reset" | "vanished" = "open";
  #reader: Reader | null = null;
  #writer: Writer | null = null;
  readonly #isMachineUp: () => boolean;
  readonly #onGone: (connection: SimConnection) => void;

  constructor(
    options: ConnectionOptions,
    end: {
      readonly process: Process;
      readonly remote: string;
      /** That of the other end. */
      readonly certificate: PeerCertificate | null;
      readonly isMachineUp: () => boolean;
      readonly onGone: (connection: SimConnection) => void;
    },
  ) {
    this.#options = options;
    this.#process = end.process;
    this.remote = end.remote;
    this.certificate = end.certificate;
    this.#isMachineUp = end.isMachineUp;
    this.#onGone = end.onGone;
  }

  /** Ties two ends together over the links of both directions. */
  static tie(a: SimConnection, b: SimConnection, links: { readonly there: Link; readonly back: Link }): void {
    a.#outgoing = new Pipe(a.#options, links.there, (item) => b.#arrive(item));
    b.#outgoing = new Pipe(b.#options, links.back, (item) => a.#arrive(item));
    a.#incoming = b.#outgoing;
    b.#incoming = a.#outgoing;
    a.#peer = b;
    b.#peer = a;
  }

  /** The process that holds this end. */
  get process(): Process {
    return this.#process;
  }

  /** The machine at the other end. */
  get peerHost(): string {
    return this.#peer?.process.host ?? "";
  }

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#process.isDead) return new Promise(() => {});
    if (this.#state !== "open") return Promise.reject(new Error("the connection is broken"));
    assert(this.#reader === null, "one read at a time");
    if (this.#received.length > 0) return Promise.resolve(this.#take(buffer));
    if (this.#hasEnded) return Promise.resolve(null);
    const settle = Promise.withResolvers<number | null>();
    this.#reader = { buffer, settle };
    return settle.promise;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#process.isDead) return new Promise(() => {});
    if (this.#state !== "open") return Promise.reject(new Error("the connection is broken"));
    assert(this.#writer === null, "one write at a time");
    const count = this.#put(bytes);
    if (count > 0 || bytes.length === 0) return Promise.resolve(count);
    const settle = Promise.withResolvers<number>();
    this.#writer = { bytes, settle };
    return settle.promise;
  }

  close(): void {
    if (this.#process.isDead || this.#state === "closed") return;
    const wasOpen = this.#state === "open";
    this.#end("closed", new Error("the connection was closed"));
    if (wasOpen) this.#outgoing?.send("fin");
  }

  /** Closes the socket as the kernel does when a process has died. */
  abandon(): void {
    if (this.#state !== "open") return;
    this.#state = "closed";
    this.#outgoing?.send("reset");
    this.#onGone(this);
  }

  /** Drops the socket and sends the other end nothing: the machine lost its power. */
  vanish(): void {
    this.#state = "vanished";
    this.#onGone(this);
  }

  /** Breaks it from within the network: both ends learn it, bytes in flight are lost. */
  breakOff(): void {
    this.#outgoing?.send("reset");
    this.#peer?.breakOffFrom();
  }

  /** The other half of {@link breakOff}. */
  breakOffFrom(): void {
    this.#outgoing?.send("reset");
  }

  /** Handles an arriving item; returns false when the machine is down and the sender has to retry. */
  #arrive(item: Item): boolean {
    if (!this.#isMachineUp()) return false;
    if (item === "reset") {
      if (this.#state === "open") this.#end("reset", new Error("connection reset by peer"));
    } else if (this.#state !== "open") {
      this.#outgoing?.send("reset");
    } else if (item === "fin") {
      this.#hasEnded = true;
      this.#serveReader();
    } else {
      this.#received.push(item);
      this.#serveReader();
    }
    return true;
  }

  #serveReader(): void {
    const reader = this.#reader;
    if (reader === null) return;
    this.#process.wake(() => {
      if (this.#reader !== reader || this.#state !== "open") return;
      this.#reader = null;
      reader.settle.resolve(this.#received.length > 0 ? this.#take(reader.buffer) : null);
    });
  }

  #take(buffer: Uint8Array): number {
    const [first] = this.#received;
    assert(first !== undefined, "there is something to read");
    const count = Math.min(first.length, buffer.length);
    if (this.#options.msPerByte > 0) this.#process.spend(count * this.#options.msPerByte);
    buffer.set(count === first.length ? first : first.subarray(0, count));
    buffer.fill(0xdd, count, count + OVERWRITTEN_BYTES);
    if (count === first.length) this.#received.shift();
    else this.#received[0] = first.subarray(count);
    this.#free(count);
    return count;
  }

  /** Allows the other end to send as many more bytes, once it learns of it. */
  #free(bytes: number): void {
    const outgoing = this.#outgoing;
    if (outgoing === null) return;
    const tell = (): void => {
      if (this.#incoming !== null) this.#incoming.underWayBytes -= bytes;
      this.#peer?.serveWriter();
    };
    if (outgoing.link.isCut) outgoing.link.whenHealed(tell);
    else tell();
  }

  /** There may be room for a write that waits. */
  serveWriter(): void {
    const writer = this.#writer;
    if (writer === null) return;
    this.#options.scheduler.after(0, this.#process, () => {
      if (this.#writer !== writer || this.#state !== "open") return;
      const count = this.#put(writer.bytes);
      if (count === 0) return;
      this.#writer = null;
      writer.settle.resolve(count);
    });
  }

  /** Accepts as many bytes as there is room for; sometimes fewer, as kernels may. */
  #put(bytes: Uint8Array): number {
    const outgoing = this.#outgoing;
    assert(outgoing !== null, "the ends are tied together");
    const { random, capacityBytes, pieceBytes, msPerByte } = this.#options;
    const free = Math.max(0, capacityBytes - outgoing.underWayBytes);
    let count = Math.min(bytes.length, free);
    if (count > 1 && random.chance(0.02)) count = 1 + random.below(count);
    if (msPerByte > 0) this.#process.spend(count * msPerByte);
    this.#options.scheduler.noteBytes(bytes.subarray(0, count));
    for (let at = 0; at < count;) {
      const end = Math.min(count, at + pieceBytes);
      outgoing.send(bytes.slice(at, end));
      at = end;
    }
    return count;
  }

  #end(state: "closed" | "reset", error: Error): void {
    this.#state = state;
    this.#received.length = 0;
    const reader = this.#reader;
    const writer = this.#writer;
    this.#reader = null;
    this.#writer = null;
    this.#onGone(this);
    this.#process.wake(() => {
      reader?.settle.reject(error);
      writer?.settle.reject(error);
    });
  }
}

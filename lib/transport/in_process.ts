/**
 * Connections within a process: a front end of a node is a client of it without a socket.
 *
 * Each direction passes bytes from a waiting write to a waiting read, with one copy and no buffer of its own: the writer
 * waits until the reader has taken everything, as with a full socket.
 */
import { formatAddress } from "../platform/address.ts";
import { NetworkError } from "../platform/errors.ts";
import { type Connection, type Dialer, PLAIN } from "../platform/network.ts";
import { withResolvers } from "../platform/promise.ts";

/** The address of a node for clients within its process; no socket has it. */
export const IN_PROCESS = { host: "in-process", port: 1 } as const;

/** The other end of a connection within a process, for logs. */
export const IN_PROCESS_REMOTE = "in-process";

/**
 * The use of a connection within a process: that of the front end for Deno KV, which checks the rights of its own clients and
 * has those of lib/server/auth/front_end_rights.ts, or that of a client like any other, which signs in as a user.
 */
export type InProcessUse = "databases" | "user";

/** A read or a write that waits for the other end. */
interface Waiting {
  readonly bytes: Uint8Array;
  readonly resolve: (count: number) => void;
  readonly reject: (error: Error) => void;
}

/** One direction of a connection. */
class Passage {
  #reader: (Omit<Waiting, "resolve"> & { readonly resolve: (count: number | null) => void }) | null = null;
  #writer: Waiting | null = null;
  #isClosed = false;

  read(buffer: Uint8Array): Promise<number | null> {
    const writer = this.#writer;
    if (writer !== null) {
      this.#writer = null;
      const count = copy(writer.bytes, buffer);
      writer.resolve(count);
      return Promise.resolve(count);
    }
    if (this.#isClosed) return Promise.resolve(null);
    const { promise, resolve, reject } = withResolvers<number | null>();
    this.#reader = { bytes: buffer, resolve, reject };
    return promise;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#isClosed) return Promise.reject(closed());
    const reader = this.#reader;
    if (reader !== null) {
      this.#reader = null;
      const count = copy(bytes, reader.bytes);
      reader.resolve(count);
      return Promise.resolve(count);
    }
    const { promise, resolve, reject } = withResolvers<number>();
    this.#writer = { bytes, resolve, reject };
    return promise;
  }

  /** Ends it from the side of the writer or of the reader, whose own wait rejects. */
  close(side: "writer" | "reader"): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#writer?.reject(closed());
    if (side === "writer") this.#reader?.resolve(null);
    else this.#reader?.reject(closed());
    this.#writer = null;
    this.#reader = null;
  }
}

/** One end of a connection within a process. */
class InProcessConnection implements Connection {
  readonly remote: string;
  readonly security = PLAIN.security;
  readonly certificate = PLAIN.certificate;
  readonly binding = PLAIN.binding;
  readonly #incoming: Passage;
  readonly #outgoing: Passage;

  constructor(incoming: Passage, outgoing: Passage, { remote }: { readonly remote: string }) {
    this.remote = remote;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#incoming.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#outgoing.write(bytes);
  }

  close(): void {
    this.#incoming.close("reader");
    this.#outgoing.close("writer");
  }
}

/** Returns the two ends of a connection within the process; `remote`: the other end as the second one, the node, knows it. */
export function inProcessPair(remote = IN_PROCESS_REMOTE): readonly [Connection, Connection] {
  const there = new Passage();
  const back = new Passage();
  return [
    new InProcessConnection(back, there, { remote: IN_PROCESS_REMOTE }),
    new InProcessConnection(there, back, { remote }),
  ];
}

/** Returns a dialer for a client of the node of this process, and of no other. */
export function inProcessDialer(connect: () => Connection): Dialer {
  return {
    connect: (address) =>
      address.host === IN_PROCESS.host ? Promise.resolve(connect()) : Promise.reject(
        new NetworkError("refused", {
          message: `Cannot connect to ${formatAddress(address)}: a front end uses its own node.`,
        }),
      ),
  };
}

function copy(from: Uint8Array, to: Uint8Array): number {
  const count = Math.min(from.length, to.length);
  to.set(count === from.length ? from : from.subarray(0, count));
  return count;
}

function closed(): Error {
  return new Error("the connection within the process is closed");
}

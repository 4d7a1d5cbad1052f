/**
 * Raw access to the port: bytes and frames encoded by the general MessagePack library, independent of kvraft's codec.
 */
import { decode, encode, type ValueType } from "@std/msgpack";
import { eventually, type WaitOptions, within } from "./eventually.ts";

const HOST = "127.0.0.1";
const HEADER_BYTES = 4;
const READ_BYTES = 65_536;
const ROLE_CLIENT = 2;

/** The hello of a client; single fields may be replaced. */
export function clientHello(
  { minVersion = 1, maxVersion = 1, clusterId = null }: {
    readonly minVersion?: number;
    readonly maxVersion?: number;
    readonly clusterId?: string | null;
  } = {},
): ValueType {
  return [0, "kvraft", minVersion, maxVersion, ROLE_CLIENT, clusterId, null, null, null];
}

/** A frame: length and content. */
export function frame(content: ValueType): Uint8Array<ArrayBuffer> {
  const body = encode(content);
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** A frame received. */
export interface Frame {
  /** The bytes after the length. */
  readonly payload: Uint8Array;
  /** The decoded elements. */
  readonly elements: readonly ValueType[];
}

/** Thrown when the node closes the connection before the awaited frame. */
export class ConnectionEndedError extends Error {
  override readonly name = "ConnectionEndedError";
}

/** One connection to a node. */
export class Wire implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #frames: Frame[] = [];
  readonly #reading: Promise<void>;
  #received = new Uint8Array(0);
  #ended = false;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    this.#reading = this.#readAll();
  }

  static async connect(port: number): Promise<Wire> {
    return new Wire(await Deno.connect({ hostname: HOST, port }));
  }

  /** Sends bytes as they are. A node that has closed already is no error here. */
  async send(bytes: Uint8Array): Promise<void> {
    try {
      for (let sent = 0; sent < bytes.length;) sent += await this.#connection.write(bytes.subarray(sent));
    } catch {
      // The node may close before everything is sent; waitForEnd reports that.
    }
  }

  /** Waits for the first frame received and not yet taken that is of one of `kinds`. */
  async take(kinds: readonly number[], options: WaitOptions = {}): Promise<Frame> {
    const frame = await eventually(`a frame of kind ${kinds.join(" or ")} arrives`, () => {
      const position = this.#frames.findIndex(({ elements: [kind] }) =>
        typeof kind === "number" && kinds.includes(kind)
      );
      const [found] = position < 0 ? [] : this.#frames.splice(position, 1);
      return found ?? (this.#ended ? "ended" : null);
    }, options);
    if (frame === "ended") {
      throw new ConnectionEndedError(
        `The node closed the connection; not taken: ${JSON.stringify(this.#frames)}`,
      );
    }
    return frame;
  }

  /** Waits until the node has closed the connection. */
  async waitForEnd(): Promise<void> {
    await within("the node closes the connection", this.#reading);
  }

  /** Whether the node has closed the connection. */
  get ended(): boolean {
    return this.#ended;
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // The reading loop closed it.
    }
  }

  async #readAll(): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    while (true) {
      // A reset is an end as well.
      const length = await this.#connection.read(buffer).catch(() => null);
      if (length === null) break;
      const joined = new Uint8Array(this.#received.length + length);
      joined.set(this.#received);
      joined.set(buffer.subarray(0, length), this.#received.length);
      this.#received = joined;
      this.#cutFrames();
    }
    this.#ended = true;
    this[Symbol.dispose]();
  }

  #cutFrames(): void {
    while (this.#received.length >= HEADER_BYTES) {
      const length = new DataView(this.#received.buffer).getUint32(0);
      if (this.#received.length < HEADER_BYTES + length) return;
      const payload = this.#received.slice(HEADER_BYTES, HEADER_BYTES + length);
      const elements = decode(payload.slice());
      if (!Array.isArray(elements)) throw new Error("A node sent a frame that is no array");
      this.#frames.push({ payload, elements });
      this.#received = this.#received.slice(HEADER_BYTES + length);
    }
  }
}

/** The inspector of a Deno process: CPU profiles, and the memory that JavaScript uses. */

/** The memory of JavaScript, in bytes. */
export interface ScriptMemory {
  /** Objects on the heap. */
  readonly usedBytes: number;
  /** Buffers outside of the heap. */
  readonly bufferBytes: number;
}

/** A connection to an inspector. */
export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }): void => {
      const message: unknown = JSON.parse(String(data));
      if (typeof message !== "object" || message === null || !("id" in message)) return;
      this.#waiting.get(Number(message.id))?.("result" in message ? message.result : null);
    };
  }

  /** Connects to the inspector at `address`. Use with `using`. */
  static async open(address: string): Promise<Inspector> {
    const targets: unknown = await (await fetch(`http://${address}/json`)).json();
    const [target] = Array.isArray(targets) ? targets : [];
    const socket = new WebSocket(String(target?.webSocketDebuggerUrl));
    const opened = Promise.withResolvers<void>();
    socket.onopen = (): void => opened.resolve();
    socket.onerror = (): void => opened.reject(new Error(`Cannot reach the inspector at ${address}`));
    await opened.promise;
    return new Inspector(socket);
  }

  /** Calls a method of the protocol; the result is null if it failed. */
  call(method: string): Promise<unknown> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method }));
    return promise;
  }

  /** Collects garbage and returns the memory in use. */
  async memory(): Promise<ScriptMemory> {
    await this.call("HeapProfiler.collectGarbage");
    const usage: unknown = await this.call("Runtime.getHeapUsage");
    if (typeof usage !== "object" || usage === null || !("usedSize" in usage)) {
      throw new Error("The inspector did not return the heap's usage.");
    }
    return {
      usedBytes: Number(usage.usedSize),
      bufferBytes: "backingStorageSize" in usage ? Number(usage.backingStorageSize) : NaN,
    };
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

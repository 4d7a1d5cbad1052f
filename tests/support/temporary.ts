/** Temporary folders and free ports of a test. */

/** A folder that is removed when its `await using` block ends. */
export class TemporaryFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<TemporaryFolder> {
    return new TemporaryFolder(await Deno.makeTempDir({ prefix: "kvraft-test-" }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Below the ephemeral ports, so that no outgoing connection takes one of these. */
const FIRST_PORT = 10_000;
const PORTS_OF_FILE = 500;
const FILES = 40;

/**
 * The first of the ports of this test file, on which nothing is started: test files run beside each other, in one process or
 * in several, and a port that one of them has found free must not be found free by another one before it is used. The listener
 * is held as long as the file runs.
 */
const reservation = reservePorts();
/** The port after those that were returned last: a port that was returned may not be in use yet. */
let next = reservation.addr.port + 1;

/** Returns the first of `count` consecutive free loopback ports. */
export function freePorts(count: number): number {
  const first = reservation.addr.port + 1;
  const last = reservation.addr.port + PORTS_OF_FILE - 1;
  for (let tried = 0; tried < PORTS_OF_FILE; tried++) {
    if (next + count - 1 > last) next = first;
    const base = next;
    next += count;
    if (Array.from({ length: count }, (_, offset) => base + offset).every(isFree)) return base;
  }
  throw new Error("no ports of this test file are free");
}

function reservePorts(): Deno.TcpListener {
  const start = Math.floor(Math.random() * FILES);
  for (let attempt = 0; attempt < FILES; attempt++) {
    const port = FIRST_PORT + ((start + attempt) % FILES) * PORTS_OF_FILE;
    try {
      const listener = Deno.listen({ hostname: "127.0.0.1", port });
      listener.unref();
      return listener;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error(`${FILES} test files run at a time, or other programs use their ports`);
}

function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}

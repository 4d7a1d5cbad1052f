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
const LAST_PORT = 29_999;

/** Returns the first of `count` consecutive free loopback ports. */
export function freePorts(count: number): number {
  while (true) {
    const first = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT - count));
    const ports = Array.from({ length: count }, (_, offset) => first + offset);
    if (ports.every(isFree)) return first;
  }
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

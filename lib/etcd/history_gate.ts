/**
 * Holds requests until the cluster keeps a history of its keys.
 *
 * A new cluster does so once all of its nodes have reported their version, a moment after it has begun to serve. The events of what
 * is written before are lost, so a client of etcd that watches from the revision after its first read would learn that they
 * are compacted.
 */
import type { ClientCore } from "../client/core.ts";
import { AuthenticationError, PermissionDeniedError } from "../client/errors.ts";
import type { EtcdContext } from "./context.ts";
import type { Method, StreamMethod, UnaryMethod } from "./rpc/method.ts";

/** A read that nodes without a history refuse, in such a way that clients try again. */
const READ = { kind: "lease", leaseId: 1, keys: false, after: null, consistency: "stale" } as const;

/** The parts of a client that the gate needs. */
export type GateClient = Pick<ClientCore, "call" | "context">;

/** Opens once, and stays open. */
export class HistoryGate {
  readonly #core: GateClient;
  #isOpen = false;

  constructor(core: GateClient) {
    this.#core = core;
  }

  /** Resolves to the result of an action, which it begins once there is a history. Rejects with KvraftError without one. */
  pass<T>(timeoutMs: number, action: () => Promise<T>): Promise<T> {
    return this.#isOpen ? action() : this.#wait(timeoutMs).then(action);
  }

  async #wait(timeoutMs: number): Promise<void> {
    const context = this.#core.context({ timeoutMs });
    try {
      await this.#core.call(READ, { kind: "read", action: "serve clients of etcd", context });
    } catch (error) {
      // A cluster that asks for a user has a history: both began with the same version.
      if (!(error instanceof AuthenticationError || error instanceof PermissionDeniedError)) throw error;
    }
    this.#isOpen = true;
  }
}

/** Returns the methods with requests held at the gate. */
export function heldAtGate(
  { core }: Pick<EtcdContext, "core">,
  methods: readonly Method[],
): readonly Method[] {
  const gate = new HistoryGate(core);
  return methods.map((method) =>
    method.kind === "stream" ? heldStream(gate, method) : heldUnary(gate, method)
  );
}

function heldStream(gate: HistoryGate, method: StreamMethod): StreamMethod {
  const { run } = method;
  return {
    ...method,
    run: (bodies, format, call) => gate.pass(call.timeoutMs, () => run(bodies, format, call)),
  };
}

function heldUnary(gate: HistoryGate, method: UnaryMethod): UnaryMethod {
  const { run, runInParts } = method;
  const held: UnaryMethod = {
    ...method,
    run: (body, format, call) => gate.pass(call.timeoutMs, () => run(body, format, call)),
  };
  if (runInParts === undefined) return held;
  return { ...held, runInParts: (body, call) => gate.pass(call.timeoutMs, () => runInParts(body, call)) };
}

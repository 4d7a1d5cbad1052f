/** Elections: the leader is the first contender of a queue, and its key has the leader's value. */
import type { ClientCore } from "../core.ts";
import { LeaseLostError, TransactionFailedError } from "../errors.ts";
import type { Keyspace } from "../keyspace.ts";
import { executeTransaction } from "../transaction/execute.ts";
import type { Bytes, CallOptions } from "../types.ts";
import { HeldPlace } from "./lock.ts";
import { ContenderQueue, type Place } from "./queue.ts";
import type { Leadership, LockOptions } from "./types.ts";

/** Joins an election, and waits until elected. Rejects with a KvraftError. */
export async function elect(
  core: ClientCore,
  keyspace: Keyspace,
  { name, value, options }: { readonly name: string; readonly value: Bytes; readonly options: LockOptions },
): Promise<Leadership> {
  const queue = new ContenderQueue(core, keyspace, name);
  const place = await queue.enter({ value, options, action: `win the election ${name}` });
  return new HeldLeadership(core, keyspace, name, place);
}

class HeldLeadership extends HeldPlace implements Leadership {
  readonly #core: ClientCore;
  readonly #keyspace: Keyspace;

  constructor(core: ClientCore, keyspace: Keyspace, name: string, place: Place) {
    super(name, place);
    this.#core = core;
    this.#keyspace = keyspace;
  }

  async proclaim(value: Bytes, options: CallOptions = {}): Promise<void> {
    const { key, leaseId, name } = this;
    const put = { kind: "put", key, value, leaseId } as const;
    const request = { ...options, checks: [this.check], then: [put] };
    let isLeader: boolean;
    try {
      isLeader = (await executeTransaction(this.#core, this.#keyspace, request)).succeeded;
    } catch (error) {
      if (!(error instanceof TransactionFailedError) || error.reason !== "leaseNotFound") throw error;
      isLeader = false;
    }
    if (!isLeader) {
      throw new LeaseLostError(
        `Cannot proclaim a value in the election ${name}: this client does not lead any more.`,
      );
    }
  }

  async resign(options: CallOptions = {}): Promise<void> {
    await this.leave(options);
  }
}

/** Sets a key if it has the expected value: a transaction with one check and one mutation. */
import type { ClientCore } from "../core.ts";
import { checkObject, toBytes } from "../argument_checks.ts";
import { isExpected, type ShortRequest } from "../input.ts";
import type { Keyspace } from "../keyspace.ts";
import type { Bytes, CallOptions, CompareAndSetRequest, CompareAndSetResult } from "../types.ts";
import { wrongAnswer } from "../writer.ts";

/**
 * Sets a key if it has the expected value.
 *
 * A retry may be answered without the current entry; the key is read then. If it has the expected value by that time, the
 * call starts again, because nothing was changed.
 */
export async function compareAndSet(
  core: ClientCore,
  keyspace: Keyspace,
  key: Bytes,
  change: CompareAndSetRequest & CallOptions,
): Promise<CompareAndSetResult> {
  const action = "compare and set a key";
  const { expect, value, ...options } = checkObject(change, "a compare-and-set");
  const put = { key: toBytes(keyspace.toStore(key), "key"), value: toBytes(value, "value") };
  const expected = expect === null ? null : toBytes(expect, "expected value");
  const request: ShortRequest = {
    checks: [expected === null ? { key: put.key, exists: false } : { key: put.key, value: expected }],
    mutations: [{ kind: "put", ...put }],
    returnCurrent: true,
  };
  const context = core.context(options);
  for (;;) {
    const result = await core.write(request, { action, options, context }, (result) => result);
    if (result.kind !== "applied" && result.kind !== "checksFailed") throw wrongAnswer(action);
    const { revision } = result;
    if (result.kind === "applied") {
      const [outcome] = result.outcomes;
      if (outcome?.kind !== "put") throw wrongAnswer(action);
      const { createRevision, version } = outcome;
      const current = { ...put, createRevision, modRevision: revision, version };
      return { succeeded: true, current: keyspace.toCaller(current), revision };
    }
    if (result.current !== "omitted") {
      return { succeeded: false, current: keyspace.toCaller(result.current), revision };
    }
    const get = { kind: "get", key: put.key, consistency: "linearizable" } as const;
    const { message } = await core.call(get, { kind: "read", action, context });
    const isMet = isExpected(expected, message.entry);
    if (!isMet) {
      return { succeeded: false, current: keyspace.toCaller(message.entry), revision: message.revision };
    }
  }
}

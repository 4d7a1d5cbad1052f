/** The JSON that `etcdctl get -w json` and `consul kv export` write. */
import { FormatError, type Item, itemOf } from "./items.ts";
import { readJsonParts } from "./json_parts.ts";

/**
 * Reads what `etcdctl get "" --prefix -w json` writes: one document, or several of pages. A key of a lease has `leaseId`.
 */
export async function* readEtcd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Item> {
  let [number, before] = [0, 0];
  for await (const part of readJsonParts(chunks, 1)) {
    if (part.kind === "object") {
      number += 1;
      const { key, value, lease } = part.document;
      const leaseId = lease === undefined || lease === 0 ? {} : { leaseId: leaseOf(lease, number) };
      const pair = {
        key: base64Of(key, { number, name: "key" }),
        value: base64Of(value ?? "", { number, name: "value" }),
        ...leaseId,
      };
      yield itemOf(pair, number);
      continue;
    }
    const { count, more, kvs } = fieldsOf(part.document);
    if (count === undefined && kvs === undefined && !isAnswer(part.document)) {
      throw new FormatError("it is no answer of etcdctl get -w json");
    }
    if (more === true) {
      yield {
        kind: "remark",
        text: `etcd had more keys than this answer has (${number - before} of ${
          String(count)
        }): it was asked with a limit`,
      };
    } else if (typeof count === "number" && count !== number - before) {
      throw new FormatError(`it has ${number - before} keys, and says that they are ${count}`);
    }
    before = number;
  }
}

/** Reads what `consul kv export` writes. */
export async function* readConsul(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Item> {
  let number = 0;
  for await (const part of readJsonParts(chunks, 0)) {
    if (part.kind === "frame") {
      if (Array.isArray(part.document)) continue;
      throw new FormatError("it is no answer of consul kv export, which is an array");
    }
    number += 1;
    const { key, value, flags } = part.document;
    if (typeof key !== "string" || !key.isWellFormed()) throw new FormatError(`entry ${number} has no key`);
    const pair = {
      key: new TextEncoder().encode(key),
      value: base64Of(value ?? "", { number, name: "value" }),
    };
    yield itemOf(pair, number, flags === 0 || flags === undefined ? null : "their flags");
  }
}

function fieldsOf(document: unknown): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(document ?? {}));
}

/** Whether a document without keys and their number is an answer: etcd leaves out both where there is no key. */
function isAnswer(document: unknown): boolean {
  return fieldsOf(document)["header"] !== undefined;
}

/** The lease of a key counts, its id does not: that is a number of 63 bits, which JSON here rounds. */
function leaseOf(lease: unknown, number: number): number {
  if (typeof lease === "number" && Number.isInteger(lease)) return lease;
  throw new FormatError(`entry ${number} has a lease that is no number`);
}

function base64Of(
  text: unknown,
  { number, name }: { readonly number: number; readonly name: string },
): Uint8Array {
  if (typeof text !== "string") throw new FormatError(`entry ${number} has a ${name} that is no text`);
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    throw new FormatError(`entry ${number} has a ${name} that is not base64`);
  }
}

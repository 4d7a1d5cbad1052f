/**
 * Transactions and their results as JSON. The input has the fields of the client library's `transaction`; bytes that are
 * not UTF-8 are in `keyBase64`, `valueBase64`, `prefixBase64`, `startBase64` and `endBase64`, and operands of counters
 * that are not safe integers are decimal text.
 */
import { COUNTER_BYTES, counterValue } from "../../client/transaction/counter.ts";
import {
  type Branches,
  COMPARISON_SIGNS,
  type ConditionTarget,
  type KeySelection,
  type OperationResult,
  type PutOperation,
  type TransactionCondition,
  type TransactionOperation,
} from "../../client/transaction/types.ts";
import type { KeyValue } from "../../kv/command.ts";
import { assertNever } from "../../platform/assert.ts";
import { errorMessage, shortened } from "../../platform/errors.ts";
import { UsageError } from "../errors.ts";
import { bytesOfField, entryFields } from "../json.ts";
import { isPrintable, textOfBytes } from "../text.ts";

/** Levels of transactions within each other, so that hostile input cannot exhaust the stack; a cluster takes fewer. */
const MAX_LEVELS = 16;
/** The fields that bytes can have, each also with `Base64` behind its name. */
const BYTES_FIELDS: ReadonlySet<string> = new Set(["key", "prefix", "start", "end", "value"]);

/** Whether a text is JSON: no transaction of the grammar begins with a brace. */
export function isJson(text: string): boolean {
  return /^\s*\{/.test(text);
}

/** Parses a transaction. Throws {@link UsageError} with the place of what is wrong, such as `then[1].key`. */
export function transactionOfJson(text: string): Required<Branches> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw wrong("", `it is not JSON (${errorMessage(error)})`);
  }
  return branchesOf(new Fields(document, ""), 1);
}

/** An object of the input: gives each field once, checked, and refuses those that were not asked for. */
class Fields {
  readonly path: string;
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #read = new Set<string>();

  constructor(document: unknown, path: string) {
    if (typeof document !== "object" || document === null || Array.isArray(document)) {
      throw wrong(path, "it is no object");
    }
    this.path = path;
    this.#fields = new Map<string, unknown>(Object.entries(document));
  }

  has(name: string): boolean {
    return this.#fields.has(name) || (BYTES_FIELDS.has(name) && this.#fields.has(`${name}Base64`));
  }

  bytes(name: string): Uint8Array {
    this.#read.add(name).add(`${name}Base64`);
    const bytes = bytesOfField(name, this.#fields);
    if (typeof bytes === "string") throw wrong(this.path, bytes);
    return bytes;
  }

  integer(name: string): number {
    const value = this.#take(name);
    if (typeof value === "number" && Number.isSafeInteger(value)) return value;
    throw wrong(this.#at(name), "it is no integer");
  }

  integerOrKeep(name: string): number | "keep" {
    const value = this.#take(name);
    if (value === "keep" || (typeof value === "number" && Number.isSafeInteger(value))) return value;
    throw wrong(this.#at(name), `it is neither an integer nor "keep"`);
  }

  operand(name: string): bigint | number {
    const value = this.#take(name);
    if (typeof value === "number" && Number.isSafeInteger(value)) return value;
    if (typeof value === "string" && /^-?[0-9]{1,20}$/.test(value)) return BigInt(value);
    throw wrong(this.#at(name), `it is neither an integer nor one in text, such as "18446744073709551615"`);
  }

  boolean(name: string): boolean {
    const value = this.#take(name);
    if (typeof value === "boolean") return value;
    throw wrong(this.#at(name), "it is neither true nor false");
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice {
    const value = this.#take(name);
    const choice = choices.find((candidate) => candidate === value);
    if (choice !== undefined) return choice;
    throw wrong(this.#at(name), `it is not one of ${choices.join(", ")}`);
  }

  list(name: string): readonly Fields[] {
    const value = this.#take(name);
    if (!Array.isArray(value)) throw wrong(this.#at(name), "it is no list");
    return value.map((item: unknown, position) => new Fields(item, `${this.#at(name)}[${position}]`));
  }

  /** Throws for a field that was not read. */
  end(): void {
    const unknown = [...this.#fields.keys()].find((name) => !this.#read.has(name));
    if (unknown === undefined) return;
    throw wrong(this.path, `it has a field ${JSON.stringify(shortened(unknown))}, which means nothing there`);
  }

  #take(name: string): unknown {
    this.#read.add(name);
    return this.#fields.get(name);
  }

  #at(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }
}

function branchesOf(fields: Fields, level: number): Required<Branches> {
  if (level > MAX_LEVELS) {
    throw wrong(fields.path, `there are more than ${MAX_LEVELS} levels of transactions`);
  }
  const listOf = <T>(name: string, read: (item: Fields) => T): T[] =>
    fields.has(name) ? fields.list(name).map(read) : [];
  const branches = {
    checks: listOf("checks", conditionOf),
    then: listOf("then", (item) => operationOf(item, level)),
    else: listOf("else", (item) => operationOf(item, level)),
  };
  fields.end();
  return branches;
}

function conditionOf(fields: Fields): TransactionCondition {
  const condition = { ...keysOf(fields), ...targetOf(fields) };
  fields.end();
  return condition;
}

function targetOf(fields: Fields): ConditionTarget {
  if (fields.has("exists")) return { exists: fields.boolean("exists") };
  const comparison = fields.has("comparison") ? fields.choice("comparison", COMPARISON_SIGNS) : "=";
  if (fields.has("value")) return { value: fields.bytes("value"), comparison };
  if (fields.has("version")) return { version: fields.integer("version"), comparison };
  if (fields.has("createRevision")) return { createRevision: fields.integer("createRevision"), comparison };
  if (fields.has("modRevision")) return { modRevision: fields.integer("modRevision"), comparison };
  if (fields.has("leaseId")) return { leaseId: fields.integer("leaseId"), comparison };
  throw wrong(fields.path, "it has none of value, version, createRevision, modRevision, leaseId and exists");
}

function operationOf(fields: Fields, level: number): TransactionOperation {
  const operation = operationOfKind(fields, level);
  fields.end();
  return operation;
}

function operationOfKind(fields: Fields, level: number): TransactionOperation {
  const kind = fields.choice("kind", ["put", "delete", "get", "sum", "min", "max", "transaction"]);
  switch (kind) {
    case "put": {
      const keepValue = fields.has("keepValue") && fields.boolean("keepValue");
      const written = keepValue ? { keepValue } : { value: fields.bytes("value") };
      return { kind, key: fields.bytes("key"), ...written, ...lifetimeOf(fields), ...previousOf(fields) };
    }
    case "delete":
      return { kind, ...keysOf(fields), ...previousOf(fields) };
    case "get":
      return {
        kind,
        ...keysOf(fields),
        ...(fields.has("limit") && { limit: fields.integer("limit") }),
        ...(fields.has("reverse") && { reverse: fields.boolean("reverse") }),
        ...(fields.has("revision") && { revision: fields.integer("revision") }),
      };
    case "sum":
    case "min":
    case "max":
      return { kind, key: fields.bytes("key"), operand: fields.operand("operand") };
    case "transaction":
      return { kind, ...branchesOf(fields, level + 1) };
    default:
      return assertNever(kind);
  }
}

function lifetimeOf(fields: Fields): Pick<PutOperation, "leaseId" | "expiresAtMs"> {
  return {
    ...(fields.has("leaseId") && { leaseId: fields.integerOrKeep("leaseId") }),
    ...(fields.has("expiresAtMs") && { expiresAtMs: fields.integerOrKeep("expiresAtMs") }),
  };
}

function previousOf(fields: Fields): { readonly returnPrevious?: boolean } {
  return fields.has("returnPrevious") ? { returnPrevious: fields.boolean("returnPrevious") } : {};
}

function keysOf(fields: Fields): KeySelection {
  if (fields.has("prefix")) return { prefix: fields.bytes("prefix") };
  if (!fields.has("start")) return { key: fields.bytes("key") };
  return { start: fields.bytes("start"), ...(fields.has("end") && { end: fields.bytes("end") }) };
}

function wrong(path: string, reason: string): UsageError {
  return new UsageError(
    `Cannot read the transaction: ${path === "" ? "" : `${path}: `}${reason}. See help txn.`,
  );
}

/** Returns the number that a value may be as a counter: of 8 bytes that are not printable text; null for other values. */
export function likelyCounter(value: Uint8Array): bigint | null {
  if (value.length !== COUNTER_BYTES) return null;
  const text = textOfBytes(value);
  return text !== null && isPrintable(text) ? null : counterValue(value);
}

/** Returns the document of an entry; of one that may be a counter with its number. */
function resultEntry(entry: KeyValue): unknown {
  const counter = likelyCounter(entry.value);
  return { ...entryFields(entry), ...(counter !== null && { counter: `${counter}` }) };
}

/** Returns the document of the results of a branch. */
export function resultDocuments(
  results: readonly OperationResult<TransactionOperation>[],
): readonly unknown[] {
  return results.map((result) => {
    switch (result.kind) {
      case "put": {
        const { previous, ...numbers } = result;
        return previous === undefined
          ? numbers
          : { ...numbers, previous: previous === null ? null : resultEntry(previous) };
      }
      case "sum":
      case "min":
      case "max":
        return result;
      case "delete": {
        const { kind, deleted, previous } = result;
        return { kind, deleted, ...(previous !== undefined && { previous: previous.map(resultEntry) }) };
      }
      case "get": {
        const { kind, entries, more, count } = result;
        return { kind, entries: entries.map(resultEntry), more, count };
      }
      case "transaction":
        return { kind: result.kind, succeeded: result.succeeded, results: resultDocuments(result.results) };
      default:
        return assertNever(result);
    }
  });
}

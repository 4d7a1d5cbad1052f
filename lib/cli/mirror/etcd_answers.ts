/** The answers of etcd's JSON gateway that a mirror reads: JSON of another program, which becomes typed values here only. */

/** An error of etcd, or of the connection to it. The message is a part of a sentence. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";
  /**
   * "unreachable": another attempt may succeed. "compacted": the revision is not kept any more. "unauthenticated": the
   * token is not valid any more. "denied": the user, the password or the right to the keys is wrong. "tooLarge": an answer
   * exceeds its limit. "refused": the request fails again if it is repeated.
   */
  readonly kind: "unreachable" | "compacted" | "unauthenticated" | "denied" | "tooLarge" | "refused";

  constructor(kind: EtcdError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** A key of etcd. */
export interface EtcdEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly hasLease: boolean;
}

/** The header of an answer. */
export interface EtcdPosition {
  /** Which cluster answered; "" where the answer does not say it. */
  readonly clusterId: string;
  readonly revision: number;
}

/** The answer to a range request. */
export interface EtcdPage {
  readonly position: EtcdPosition;
  readonly entries: readonly EtcdEntry[];
  readonly hasMore: boolean;
}

/** A change; a deleted key has `entry` null. */
export interface EtcdEvent {
  readonly revision: number;
  readonly key: Uint8Array;
  readonly entry: EtcdEntry | null;
}

/** A message of a watch. */
export type WatchMessage =
  | { readonly kind: "created"; readonly position: EtcdPosition }
  /** `isComplete`: the last revision has no further events in the next message. */
  | { readonly kind: "events"; readonly events: readonly EtcdEvent[]; readonly isComplete: boolean }
  /** All changes up to this revision were sent. */
  | { readonly kind: "progress"; readonly revision: number }
  | { readonly kind: "ended"; readonly error: EtcdError };

type Fields = Readonly<Record<string, unknown>>;

/** Codes of gRPC. */
const [INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE] = [3, 5, 7, 9, 11];
const [UNIMPLEMENTED, UNAUTHENTICATED] = [12, 16];
/** Codes of requests that fail again when they are repeated. */
const REFUSALS: readonly number[] = [
  INVALID_ARGUMENT,
  NOT_FOUND,
  FAILED_PRECONDITION,
  OUT_OF_RANGE,
  UNIMPLEMENTED,
];

/** Returns the page of a range. Throws {@link EtcdError} for an answer that is none. */
export function pageOf(text: string): EtcdPage {
  const answer = fieldsOf(parsed(text), "an answer");
  return {
    position: positionOf(answer),
    entries: listOf(answer, "kvs").map(entryOf),
    hasMore: answer["more"] === true,
  };
}

/** Returns the token in an answer. Throws {@link EtcdError} for an answer without one. */
export function tokenOf(text: string): string {
  const { token } = fieldsOf(parsed(text), "an answer");
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) throw notEtcd("an answer has no token");
  return token;
}

/** Returns the messages of one line of a watch. Throws {@link EtcdError} for a line that is none. */
export function watchMessagesOf(line: string): readonly WatchMessage[] {
  const { result, error } = fieldsOf(parsed(line), "a line of a watch");
  if (error !== undefined) return [{ kind: "ended", error: errorOf(fieldsOf(error, "an error")) }];
  const message = fieldsOf(result, "a line of a watch");
  if (message["canceled"] === true) {
    const reason = textOf(message, "cancel_reason");
    const compacted = numberOf(message, "compact_revision");
    return [{ kind: "ended", error: cancellation(reason, compacted) }];
  }
  if (message["created"] === true) return [{ kind: "created", position: positionOf(message) }];
  const events = listOf(message, "events").map(eventOf);
  if (events.length > 0) return [{ kind: "events", events, isComplete: message["fragment"] !== true }];
  return [{ kind: "progress", revision: positionOf(message).revision }];
}

/** Returns the error of an HTTP answer that is not 200. A proxy answers 502 or 503 by itself while it does not reach etcd. */
export function errorOfAnswer(status: number, text: string): EtcdError {
  try {
    return errorOf(fieldsOf(parsed(text), "an error"));
  } catch {
    const message = `it answers with HTTP status ${status}, and not as etcd does`;
    return new EtcdError(status >= 500 ? "unreachable" : "refused", message);
  }
}

/** Returns the error of `{"code":…,"message":…}`; older versions of etcd name the code of a stream `grpc_code`. */
function errorOf(fields: Fields): EtcdError {
  const code = numberOf(fields, "code") || numberOf(fields, "grpc_code");
  return errorOfText(code, textOf(fields, "message") || textOf(fields, "error"));
}

function errorOfText(code: number, text: string): EtcdError {
  const message = `it answers "${text.slice(0, MAX_TEXT)}"`;
  if (/required revision (has been compacted|is a future revision)/.test(text)) {
    return new EtcdError("compacted", message);
  }
  if (code === UNAUTHENTICATED || /revision of auth store is old|invalid auth token/.test(text)) {
    return new EtcdError("unauthenticated", message);
  }
  if (code === PERMISSION_DENIED || /permission denied|user name is empty|authentication failed/.test(text)) {
    return new EtcdError("denied", message);
  }
  return new EtcdError(REFUSALS.includes(code) ? "refused" : "unreachable", message);
}

/** Longest quoted text of etcd. */
const MAX_TEXT = 200;

function cancellation(reason: string, compactRevision: number): EtcdError {
  if (compactRevision > 0) {
    return new EtcdError("compacted", `it keeps its history from revision ${compactRevision} on`);
  }
  return errorOfText(0, reason === "" ? "the watch was canceled" : reason);
}

function positionOf(answer: Fields): EtcdPosition {
  const header = fieldsOf(answer["header"], "a header");
  return { clusterId: textOf(header, "cluster_id"), revision: numberOf(header, "revision") };
}

function entryOf(kv: unknown): EtcdEntry {
  const fields = fieldsOf(kv, "a key");
  const hasLease = numberOf(fields, "lease", { isId: true }) !== 0;
  return { key: bytesOf(fields, "key"), value: bytesOf(fields, "value"), hasLease };
}

function eventOf(event: unknown): EtcdEvent {
  const { type, kv } = fieldsOf(event, "an event");
  const fields = fieldsOf(kv, "the key of an event");
  const entry = entryOf(kv);
  const revision = numberOf(fields, "mod_revision");
  if (revision === 0) throw notEtcd("an event has no revision");
  return { revision, key: entry.key, entry: type === "DELETE" ? null : entry };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notEtcd("an answer is not JSON");
  }
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw notEtcd(`${what} is no JSON object`);
  }
  return Object.fromEntries(Object.entries(value));
}

function listOf(fields: Fields, name: string): readonly unknown[] {
  const list = fields[name] ?? [];
  if (!Array.isArray(list)) throw notEtcd(`${name} is no list`);
  return list;
}

function textOf(fields: Fields, name: string): string {
  const text = fields[name] ?? "";
  if (typeof text !== "string") throw notEtcd(`${name} is no text`);
  return text;
}

/** Returns an integer of 64 bits, which is a text; 0 if it is absent. One of an id may be rounded. */
function numberOf(fields: Fields, name: string, { isId = false }: { readonly isId?: boolean } = {}): number {
  const given = fields[name] ?? 0;
  const number = typeof given === "string" && /^-?\d{1,20}$/.test(given) ? Number(given) : given;
  if (typeof number !== "number" || (!isId && !Number.isSafeInteger(number))) {
    throw notEtcd(`${name} is no integer`);
  }
  return number;
}

function bytesOf(fields: Fields, name: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(textOf(fields, name));
  } catch (cause) {
    if (cause instanceof EtcdError) throw cause;
    throw notEtcd(`${name} is not base64`);
  }
}

function notEtcd(reason: string): EtcdError {
  return new EtcdError("refused", `it does not answer as etcd does: ${reason}`);
}

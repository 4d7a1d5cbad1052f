/** The steps of random programs on a server that speaks etcd v3. */
import type { Body } from "../../support/etcd/driver.ts";

/**
 * One request, or one message of a stream. In bodies, `@-2` stands for the current revision of the store less 2, and `&1`
 * for the second of the program's leases.
 */
export type Step =
  | {
    readonly kind: "call";
    readonly call: string;
    readonly body: Body;
    readonly metadata?: Readonly<Record<string, string>>;
  }
  /** A request of these bytes, in base64, which need not be a message. */
  | { readonly kind: "raw"; readonly call: string; readonly raw: string }
  | { readonly kind: "open"; readonly stream: string; readonly call: string }
  /** A create_request; waits until it is answered. */
  | { readonly kind: "watch"; readonly stream: string; readonly create: Body }
  /** Another WatchRequest; waits until it is handled. */
  | { readonly kind: "request"; readonly stream: string; readonly body: Body }
  /** Waits until nothing more comes on any stream. */
  | { readonly kind: "settle" }
  /** LeaseKeepAlive of these leases, in their order. */
  | { readonly kind: "keepAlive"; readonly ids: readonly string[] };

/** A program. */
export type Program = readonly Step[];

/** Returns bytes in base64, as protobuf's JSON form has them. Every character is one byte. */
export function base64(text: string): string {
  return btoa(text);
}

/** Returns a step for a person, with the bytes as text. */
export function stepText(step: Step): string {
  return JSON.stringify(step, (name, value) => BYTES.has(name) ? readable(value) : value).slice(0, 1_500);
}

/** Fields of bytes. */
export const BYTES: ReadonlySet<string> = new Set(["key", "range_end", "value", "keys"]);

/** Returns bytes as text; long ones are cut. */
export function readable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== "string") return value;
  const text = atob(value);
  return text.length <= 80 ? text : `${text.slice(0, 20)}…(${text.length} B)`;
}

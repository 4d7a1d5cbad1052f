/**
 * The parts that the sockets of Deno and of Node share: looking up hosts a few at a time, trying their addresses in turn,
 * and the errors with their reasons.
 *
 * A lookup occupies one of the few threads that the runtime also uses for the disk, for as long as a name server does
 * not answer, and nothing ends it earlier. Without a bound, a name server that is down, or names that peers give, would
 * keep this node's log from being synced.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { errorCode, errorMessage, NetworkError, type NetworkErrorCode } from "./errors.ts";
import { formatAddress } from "./address.ts";
import type { Address } from "./network.ts";
import { withResolvers } from "./promise.ts";

/**
 * Names that are looked up at a time: those that had no address yet, and those that had one. Further ones wait. The
 * runtime has 32 threads for these and for the disk.
 */
export const MAX_NEW_LOOKUPS = 4;
export const MAX_KNOWN_LOOKUPS = 12;
/** Names that are remembered for having had an address; one more, and that asked for least lately is forgotten. */
export const MAX_KNOWN_NAMES = 64;

/** A name, and those who want to know its addresses. */
interface Lookup {
  callers: number;
  readonly result: PromiseWithResolvers<readonly string[]>;
}

/** The lookups of a process. */
export class NameLookups {
  readonly #lookUp: (name: string) => Promise<readonly string[]>;
  /** By name, as the two below; oldest first. */
  readonly #waiting = new Map<string, Lookup>();
  readonly #underWay = new Map<string, Lookup>();
  /** Names that had addresses, the one that was asked for last behind the others. */
  readonly #known = new Set<string>();
  #newUnderWay = 0;

  /** `lookUp` gives all addresses of a name, or rejects. */
  constructor(lookUp: (name: string) => Promise<readonly string[]>) {
    this.#lookUp = lookUp;
  }

  /** The addresses of a name. Rejects with what the lookup says, or with the signal's reason. */
  async resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const lookup = this.#underWay.get(name) ?? this.#waiting.get(name) ?? this.#enqueue(name);
    const aborted = withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort);
    lookup.callers += 1;
    try {
      this.#beginAll();
      return await Promise.race([lookup.result.promise, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
      lookup.callers -= 1;
      if (lookup.callers === 0 && this.#waiting.get(name) === lookup) this.#waiting.delete(name);
    }
  }

  #enqueue(name: string): Lookup {
    const lookup = { callers: 0, result: withResolvers<readonly string[]>() };
    lookup.result.promise.catch(() => {}); // Those who asked may be gone by then.
    this.#waiting.set(name, lookup);
    return lookup;
  }

  #beginAll(): void {
    for (const [name, lookup] of this.#waiting) {
      const isKnown = this.#known.has(name);
      const knownUnderWay = this.#underWay.size - this.#newUnderWay;
      if (isKnown ? knownUnderWay >= MAX_KNOWN_LOOKUPS : this.#newUnderWay >= MAX_NEW_LOOKUPS) continue;
      this.#waiting.delete(name);
      void this.#begin(name, { lookup, isKnown }); // never rejects
    }
  }

  async #begin(name: string, { lookup, isKnown }: { lookup: Lookup; isKnown: boolean }): Promise<void> {
    this.#underWay.set(name, lookup);
    if (!isKnown) this.#newUnderWay += 1;
    try {
      const addresses = await this.#lookUp(name);
      this.#remember(name);
      lookup.result.resolve(addresses);
    } catch (error) {
      lookup.result.reject(error);
    }
    this.#underWay.delete(name);
    if (!isKnown) this.#newUnderWay -= 1;
    this.#beginAll();
  }

  #remember(name: string): void {
    this.#known.delete(name);
    this.#known.add(name);
    for (const oldest of this.#known) {
      if (this.#known.size <= MAX_KNOWN_NAMES) break;
      this.#known.delete(oldest);
    }
  }
}

/** One for the process, because its threads are. */
const lookups = new NameLookups(async (name) => {
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
});

/**
 * Opens a connection to the first address of a host that answers; names are looked up each time. Rejects with a
 * {@link NetworkError} that tells what the last address said.
 */
export async function connectToFirst<Socket>(
  { host, port }: Address,
  signal: AbortSignal,
  open: (ip: string) => Promise<Socket>,
): Promise<Socket> {
  const what = `Cannot connect to ${formatAddress({ host, port })}`;
  let failure: unknown = new Error("the name has no address");
  try {
    signal.throwIfAborted();
    for (const ip of isIP(host) === 0 ? await lookups.resolve(host, signal) : [host]) {
      try {
        return await open(ip);
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error;
      }
    }
  } catch (error) {
    failure = error;
  }
  if (!signal.aborted) throw networkError(failure, what);
  throw new NetworkError("aborted", { message: `${what}: given up.`, cause: failure });
}

/** Returns the error of a socket operation with its reason and what to check; `what` is what could not be done. */
export function networkError(cause: unknown, what: string): NetworkError {
  const [code, reason] = explain(cause);
  return new NetworkError(code, { message: `${what}: ${reason}.`, cause });
}

function explain(cause: unknown): [NetworkErrorCode, string] {
  const message = errorMessage(cause);
  const name = cause instanceof Error ? cause.name : "";
  switch (errorCode(cause)) {
    case "EADDRINUSE":
      return ["addressInUse", "the port is in use. Stop the process that has it, or choose another port"];
    case "EADDRNOTAVAIL":
      return [
        "addressNotLocal",
        "the address is not one of this machine's. Choose one that is, or 0.0.0.0 for all",
      ];
    case "ECONNREFUSED":
      return ["refused", "nothing listens there"];
    case "ETIMEDOUT":
      return ["timedOut", "no answer"];
    case "EACCES":
    case "EPERM":
      return ["notPermitted", `not permitted (${message})`];
    case "notTrusted":
    case "tlsFailed":
      return [errorCode(cause) === "notTrusted" ? "notTrusted" : "tlsFailed", message];
  }
  if (name === "NotCapable" || name === "PermissionDenied") {
    return ["notPermitted", `not permitted (${message})`];
  }
  if (/ENOTFOUND|failed to lookup address|name or service not known|nodename nor servname/i.test(message)) {
    return ["nameNotFound", "the name is not known"];
  }
  return ["failed", message];
}

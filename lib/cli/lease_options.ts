/** Ids and times to live of leases, as they are typed. */
import { integerOfText, type OptionSpec } from "./arguments.ts";
import type { ArgumentSpec, Invocation } from "./command.ts";
import { UsageError } from "./errors.ts";
import { durationOfText } from "./options.ts";
import { shortened } from "../platform/errors.ts";

/** The limits of every cluster (lib/kv/leases). */
const MIN_LEASE_TTL_MS = 1_000;
const MAX_LEASE_TTL_MS = 9_000_000_000_000;

/** The id of a lease, completed by Tab. */
export const LEASE: ArgumentSpec = { name: "lease", required: true, completion: "lease" };

/** The time to live of the lease of a lock or of a leader. */
export const HOLD_TTL: OptionSpec = {
  name: "ttl",
  placeholder: "<time>",
  help: "how soon others can have it when this client is lost (10s)",
};

/** Returns the id of a lease. Throws {@link UsageError}. */
export function leaseIdOfText(text: string, name: string): number {
  return integerOfText(text, { name, min: 1, max: Number.MAX_SAFE_INTEGER });
}

/** Returns the id in the argument {@link LEASE}. Throws {@link UsageError}. */
export function leaseIdOf({ args }: Invocation): number {
  return leaseIdOfText(args.get(LEASE.name)?.text ?? "", `<${LEASE.name}>`);
}

/** Returns the milliseconds of a time to live such as `30s`. Throws {@link UsageError}. */
export function ttlOfText(text: string, name: string): number {
  return durationOfText(text, { name, minMs: MIN_LEASE_TTL_MS, maxMs: MAX_LEASE_TTL_MS });
}

/** Returns a time of the clock: ISO 8601 with its zone, or milliseconds since 1970. Throws {@link UsageError}. */
export function timeOfText(text: string, name: string): number {
  const isIso =
    /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,3})?)?(Z|[+-][0-9]{2}:[0-9]{2})$/;
  const timeMs = isIso.test(text) ? Date.parse(text) : /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (timeMs >= 1 && timeMs <= Number.MAX_SAFE_INTEGER) return timeMs;
  throw new UsageError(
    `${name} must be a time such as 2030-01-31T09:30:00Z, or milliseconds since 1970, not "${
      shortened(text)
    }".`,
  );
}

/** The service etcdserverpb.Lease. */
import type { ClientCore } from "../../client/core.ts";
import { KvraftError } from "../../client/errors.ts";
import { grantLease, listLeases, readLease, revokeLease } from "../../client/leases/lease_client.ts";
import { MAX_LIST_ENTRIES } from "../../kv/command.ts";
import { MAX_LEASE_TTL_MS } from "../../kv/leases/lease_command.ts";
import { type EtcdContext, headerOf } from "../context.ts";
import {
  LEASE_GRANT_REQUEST,
  LEASE_GRANT_RESPONSE,
  LEASE_KEEP_ALIVE_REQUEST,
  LEASE_KEEP_ALIVE_RESPONSE,
  LEASE_LEASES_REQUEST,
  LEASE_LEASES_RESPONSE,
  LEASE_REVOKE_REQUEST,
  LEASE_REVOKE_RESPONSE,
  LEASE_TIME_TO_LIVE_REQUEST,
  LEASE_TIME_TO_LIVE_RESPONSE,
} from "../messages/lease.ts";
import type { GivenOf, MessageOf } from "../protobuf/message.ts";
import { existingLeaseId, storeLeaseId } from "../revisions.ts";
import { yieldOf } from "../rpc/long_lists.ts";
import { type Call, type Method, streaming, unary } from "../rpc/method.ts";
import { EtcdError, etcdError } from "../rpc/status.ts";
import { KeepAlives } from "./keep_alives.ts";

const SERVICE = "etcdserverpb.Lease";
/** The shortest time to live, that of etcd with its default options; clients keep a lease alive after a third of it. */
const MIN_TTL_SECONDS = 2;
const MAX_TTL_SECONDS = MAX_LEASE_TTL_MS / 1_000;
/** The part of a request's time that the grant itself has; in the rest its outcome may be found out. */
const GRANT_SHARE = 0.75;
/** Ids that the server chooses begin here: they have 14 hexadecimal digits, as the keys of kvraft's own locks do. */
const FIRST_CHOSEN_ID = 2 ** 52;

/** Returns the methods of the service. */
export function leaseMethods(context: EtcdContext): readonly Method[] {
  const keepAlives = new KeepAlives(context);
  return [
    unary(
      {
        service: SERVICE,
        name: "LeaseGrant",
        http: ["/v3/lease/grant"],
        request: LEASE_GRANT_REQUEST,
        response: LEASE_GRANT_RESPONSE,
      },
      (request, call) => grant(context, request, call),
    ),
    unary(
      {
        service: SERVICE,
        name: "LeaseRevoke",
        http: ["/v3/lease/revoke", "/v3/kv/lease/revoke"],
        request: LEASE_REVOKE_REQUEST,
        response: LEASE_REVOKE_RESPONSE,
      },
      async ({ id }, { core, timeoutMs }) => {
        const { revision } = await revokeLease(core, existingLeaseId(id), { timeoutMs });
        return { header: headerOf(context, revision) };
      },
    ),
    streaming(
      {
        service: SERVICE,
        name: "LeaseKeepAlive",
        http: ["/v3/lease/keepalive"],
        request: LEASE_KEEP_ALIVE_REQUEST,
        response: LEASE_KEEP_ALIVE_RESPONSE,
      },
      (messages, call) => keepAlives.serve(messages, call),
    ),
    unary(
      {
        service: SERVICE,
        name: "LeaseTimeToLive",
        http: ["/v3/lease/timetolive", "/v3/kv/lease/timetolive"],
        request: LEASE_TIME_TO_LIVE_REQUEST,
        response: LEASE_TIME_TO_LIVE_RESPONSE,
        stepClock: context.clock,
      },
      (request, call) => timeToLive(context, request, call),
    ),
    unary(
      {
        service: SERVICE,
        name: "LeaseLeases",
        http: ["/v3/lease/leases", "/v3/kv/lease/leases"],
        request: LEASE_LEASES_REQUEST,
        response: LEASE_LEASES_RESPONSE,
        stepClock: context.clock,
      },
      (_, call) => leases(context, call),
    ),
  ];
}

/**
 * Grants a lease. A client repeats a grant whose outcome it does not know, and another lease stays behind then until its time
 * is over; so the outcome of one whose id was chosen here is found out, if there is an answer in time.
 */
async function grant(
  context: EtcdContext,
  { id, ttl }: MessageOf<typeof LEASE_GRANT_REQUEST>,
  { core, timeoutMs }: Call,
): Promise<GivenOf<typeof LEASE_GRANT_RESPONSE>> {
  if (ttl > MAX_TTL_SECONDS) throw etcdError("leaseTtlTooLarge");
  const granted = Math.max(ttl, MIN_TTL_SECONDS);
  const leaseId = id === 0n ? chosenLeaseId(core) : grantableLeaseId(id);
  const limits = core.context({ timeoutMs });
  const answer = (revision: number): GivenOf<typeof LEASE_GRANT_RESPONSE> => ({
    header: headerOf(context, revision),
    id: BigInt(leaseId),
    ttl: granted,
  });
  try {
    const request = { leaseId, ttlMs: granted * 1_000, timeoutMs: Math.max(1, timeoutMs * GRANT_SHARE) };
    return answer((await grantLease(core, request)).revision);
  } catch (error) {
    if (id !== 0n || !(error instanceof KvraftError) || error.outcome !== "unknown") throw error;
    const query = { leaseId, keys: false, consistency: "linearizable" } as const;
    const found = await readLease(core, query, limits).catch(() => null);
    if (found === null || found.lease === null) throw error;
    return answer(found.revision);
  }
}

/** Returns the id of a lease that the server chooses. */
export function chosenLeaseId({ random }: Pick<ClientCore, "random">): number {
  return FIRST_CHOSEN_ID + Math.floor(random() * FIRST_CHOSEN_ID);
}

function grantableLeaseId(id: bigint): number {
  const leaseId = storeLeaseId(id);
  if (leaseId !== null) return leaseId;
  throw new EtcdError(
    "invalidArgument",
    `kvraft: cannot grant a lease with the id ${id}: ids are from 1 to 9007199254740991, and 0 leaves the choice to ` +
      "the server",
  );
}

async function timeToLive(
  context: EtcdContext,
  { id, keys }: MessageOf<typeof LEASE_TIME_TO_LIVE_REQUEST>,
  { core, timeoutMs }: Call,
): Promise<GivenOf<typeof LEASE_TIME_TO_LIVE_RESPONSE>> {
  const leaseId = storeLeaseId(id);
  if (leaseId === null) return { header: headerOf(context, context.view().revision), id, ttl: -1 };
  const query = { leaseId, keys, consistency: "linearizable" } as const;
  const { lease, revision } = await readLease(core, query, core.context({ timeoutMs }));
  const header = headerOf(context, revision);
  if (lease === null) return { header, id, ttl: -1 };
  const grantedTtl = Math.floor(lease.ttlMs / 1_000);
  // Rounded up: a lease of which less than a second is left, or that awaits its end, still has its keys.
  const left = Math.min(grantedTtl, Math.max(1, Math.ceil(lease.remainingMs / 1_000)));
  return { header, id, ttl: left, grantedTtl, keys: lease.keys };
}

/** Returns all leases by id, which are at most 250,000, read page by page. */
async function leases(
  context: EtcdContext,
  { core, timeoutMs, signal }: Call,
): Promise<GivenOf<typeof LEASE_LEASES_RESPONSE>> {
  const limits = core.context({ timeoutMs, signal });
  // A node alone answers its own front end at once, page after page.
  const yieldToOthers = yieldOf({ clock: context.clock, signal });
  const found: { readonly id: number }[] = [];
  for (let after = 0;;) {
    const query = { after, limit: MAX_LIST_ENTRIES, consistency: "linearizable" } as const;
    const page = await listLeases(core, query, limits);
    for (const { leaseId } of page.leases) found.push({ id: leaseId });
    if (page.after === null) return { header: headerOf(context, page.revision), leases: found };
    after = page.after;
    await yieldToOthers();
  }
}

/** The services v3lockpb.Lock and v3electionpb.Election. */
import type { EtcdContext } from "../context.ts";
import {
  CAMPAIGN_REQUEST,
  CAMPAIGN_RESPONSE,
  LEADER_REQUEST,
  LEADER_RESPONSE,
  LOCK_REQUEST,
  LOCK_RESPONSE,
  PROCLAIM_REQUEST,
  PROCLAIM_RESPONSE,
  RESIGN_REQUEST,
  RESIGN_RESPONSE,
  UNLOCK_REQUEST,
  UNLOCK_RESPONSE,
} from "../messages/concurrency.ts";
import { type Method, streaming, unary } from "../rpc/method.ts";
import { Elections } from "./elections.ts";
import { withUnknownStatus } from "./failures.ts";
import { Locks } from "./locks.ts";
import { WaitingCalls } from "./waiting_calls.ts";

const LOCK = "v3lockpb.Lock";
const ELECTION = "v3electionpb.Election";

/** Returns the methods of both services. */
export function concurrencyMethods(context: EtcdContext): readonly Method[] {
  const waiting = new WaitingCalls(context.closing);
  return [...lockMethods(new Locks(context, waiting)), ...electionMethods(new Elections(context, waiting))];
}

function lockMethods(locks: Locks): readonly Method[] {
  return [
    unary({
      service: LOCK,
      name: "Lock",
      http: ["/v3/lock/lock"],
      request: LOCK_REQUEST,
      response: LOCK_RESPONSE,
    }, (request, call) => withUnknownStatus(call, () => locks.lock(request, call))),
    unary({
      service: LOCK,
      name: "Unlock",
      http: ["/v3/lock/unlock"],
      request: UNLOCK_REQUEST,
      response: UNLOCK_RESPONSE,
    }, (request, call) => withUnknownStatus(call, () => locks.unlock(request, call))),
  ];
}

function electionMethods(elections: Elections): readonly Method[] {
  return [
    unary({
      service: ELECTION,
      name: "Campaign",
      http: ["/v3/election/campaign"],
      request: CAMPAIGN_REQUEST,
      response: CAMPAIGN_RESPONSE,
    }, (request, call) => withUnknownStatus(call, () => elections.campaign(request, call))),
    unary({
      service: ELECTION,
      name: "Proclaim",
      http: ["/v3/election/proclaim"],
      request: PROCLAIM_REQUEST,
      response: PROCLAIM_RESPONSE,
    }, (request, call) => withUnknownStatus(call, () => elections.proclaim(request, call))),
    unary({
      service: ELECTION,
      name: "Leader",
      http: ["/v3/election/leader"],
      request: LEADER_REQUEST,
      response: LEADER_RESPONSE,
    }, (request, call) => withUnknownStatus(call, () => elections.leader(request, call))),
    streaming({
      service: ELECTION,
      name: "Observe",
      http: ["/v3/election/observe"],
      request: LEADER_REQUEST,
      response: LEADER_RESPONSE,
    }, (messages, call) => withUnknownStatus(call, () => elections.observe(messages, call))),
    unary({
      service: ELECTION,
      name: "Resign",
      http: ["/v3/election/resign"],
      request: RESIGN_REQUEST,
      response: RESIGN_RESPONSE,
    }, (request, call) => withUnknownStatus(call, () => elections.resign(request, call))),
  ];
}

/**
 * Changes of the members. A change carries no stamp by which a repetition could be told, so it is sent once; when its
 * answer is lost, the members that the cluster then has tell whether it was made.
 */
import { assertNever } from "../platform/assert.ts";
import type { Member, MembershipChange } from "../protocol/messages.ts";
import type { CallScope } from "./call_scope.ts";
import { stopError } from "./caller.ts";
import type { ClientCore } from "./core.ts";
import { KvraftError, TimeoutError } from "./errors.ts";
import { backoffMs } from "./retry.ts";

/** What is to be changed, and within which limits. */
export interface MembershipCall {
  readonly change: MembershipChange;
  readonly force: boolean;
  readonly scope: CallScope;
}

/** Has the leader make the change; resolves to the members then. */
export async function changeMembership(core: ClientCore, call: MembershipCall): Promise<readonly Member[]> {
  const { change, force, scope } = call;
  const action = describe(change);
  try {
    const request = { kind: "changeMembership", change, force } as const;
    return (await core.call(request, { kind: "once", action, scope })).message.members;
  } catch (error) {
    if (!(error instanceof KvraftError) || error.outcome === "not-applied" || scope.stopped !== null) {
      throw error;
    }
    return await untilMade(core, call, error);
  }
}

/** Whether the members are as the change would have them. */
export function isMade(change: MembershipChange, members: readonly Member[]): boolean {
  const member = members.find(({ id }) => id === change.id);
  switch (change.kind) {
    case "add":
    case "replace":
    case "update":
      return member !== undefined && member.address === change.address && member.role !== "leaving";
    case "remove":
      return member === undefined;
    case "promote":
      return member?.role === "voter";
    case "demote":
      return member?.role === "learner";
    default:
      return assertNever(change);
  }
}

/** Asks for the members until they show the change, or the call's time is up. */
async function untilMade(
  core: ClientCore,
  { change, scope }: MembershipCall,
  cause: KvraftError,
): Promise<readonly Member[]> {
  const action = describe(change);
  for (let round = 0; scope.stopped === null; round++) {
    try {
      const { message } = await core.call({ kind: "status" }, { kind: "read", action, scope });
      if (isMade(change, message.status.members)) return message.status.members;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error; // one that says why the call must end is told below
    }
    await scope.pause(backoffMs(round, core.random));
  }
  if (scope.stopped !== "deadline") {
    throw stopError(scope.stopped, { action, scope, outcome: "unknown", failure: null });
  }
  throw new TimeoutError(
    `Cannot ${action} within ${scope.timeoutMs} ms: the answer was lost, and the members do not show the change. ` +
      "It may be made yet: look at the members before trying again.",
    { outcome: "unknown", cause },
  );
}

/** What is to be done, for messages. */
function describe(change: MembershipChange): string {
  switch (change.kind) {
    case "add":
      return `add node ${change.id}`;
    case "remove":
      return `remove node ${change.id}`;
    case "promote":
      return `promote node ${change.id}`;
    case "demote":
      return `demote node ${change.id}`;
    case "replace":
      return `replace node ${change.dead} by node ${change.id}`;
    case "update":
      return `change the address of node ${change.id}`;
    default:
      return assertNever(change);
  }
}

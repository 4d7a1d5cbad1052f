/**
 * A change of membership from asking for it until it has come about: what is said meanwhile, and when it is done.
 *
 * The change goes on by itself once the cluster has taken it: who stops waiting stops nothing.
 */
import { KvraftError } from "../client/errors.ts";
import { reasonOf } from "../client/reason.ts";
import type { ClusterStatus } from "../client/types.ts";
import { assertNever } from "../platform/assert.ts";
import type { Member, MembershipChange } from "../protocol/messages.ts";
import type { CommandContext } from "./command.ts";
import { ExitCode, HalfwayError } from "./errors.ts";
import { lagOf, leaderOf, peerOf, snapshotPercentOf } from "./members.ts";
import { pause } from "./pause.ts";
import type { StoreClient } from "./store_client.ts";
import { duration, sizeText, withThousands } from "./units.ts";
import { describeWaiting } from "./waiting.ts";

/** Between two looks at how far it is. */
const LOOK_INTERVAL_MS = 250;
/** How long one look may take. */
const LOOK_TIMEOUT_MS = 2_000;
/** Without any answer for so long, the waiting ends. */
const SILENCE_MS = 30_000;
/** A member that the leader has not heard for so long is said to be silent. */
const SILENT_MEMBER_MS = 3_000;

/** How waiting for a change ended. */
export interface Waited {
  /** done: it came about. left: somebody stopped waiting. late: the deadline passed. */
  readonly end: "done" | "left" | "late";
  readonly members: readonly Member[];
}

/** Whether `change` has come about among `members`. */
export function hasComeAbout(change: MembershipChange, members: readonly Member[]): boolean {
  const member = (id: number): Member | undefined => members.find((candidate) => candidate.id === id);
  switch (change.kind) {
    case "add":
      return change.learner ? member(change.id) !== undefined : member(change.id)?.role === "voter";
    case "remove":
      return member(change.id) === undefined;
    case "promote":
      return member(change.id)?.role === "voter";
    case "demote":
      return member(change.id)?.role === "learner";
    case "replace":
      return member(change.id)?.role === "voter" && member(change.dead) === undefined;
    case "update":
      return member(change.id)?.address === change.address;
    default:
      return assertNever(change);
  }
}

/**
 * Waits until `change`, which the cluster has taken with `members` as the outcome so far, has come about, or until the
 * time `until`, which may be infinite. Throws {@link HalfwayError} when the cluster falls silent, or the node is gone.
 */
export async function awaitChange(
  change: MembershipChange,
  { client, members, until, context }: {
    readonly client: StoreClient;
    readonly members: readonly Member[];
    readonly until: number;
    readonly context: CommandContext;
  },
): Promise<Waited> {
  const { signal, system: { clock } } = context;
  const signalOption = signal === null ? {} : { signal };
  let newest = members;
  let heardAt = clock.now();
  while (!hasComeAbout(change, newest)) {
    if (signal?.aborted === true) return { end: "left", members: newest };
    if (clock.now() >= until) return { end: "late", members: newest };
    const timeoutMs = Math.max(1, Math.min(LOOK_TIMEOUT_MS, Math.ceil(until - clock.now())));
    const options = { timeoutMs, ...signalOption };
    try {
      const [found, status] = await Promise.all([
        client.cluster.members(options),
        client.cluster.status(options),
      ]);
      heardAt = clock.now();
      newest = found;
      if (isGone(change, { members: found, status })) throw goneError(change);
      context.showProgress(`${progressText(change, status)}; Ctrl-C stops waiting, not the change`);
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      if (clock.now() - heardAt >= SILENCE_MS) throw silenceError(change, error);
    }
    if (hasComeAbout(change, newest)) break;
    const pauseMs = Math.min(LOOK_INTERVAL_MS, until - clock.now());
    if (pauseMs > 0) await pause(pauseMs, { clock, signal });
  }
  return { end: "done", members: newest };
}

/** Whether somebody removed the node that is waited for. A list may be old; what the leader says is not. */
function isGone(
  change: MembershipChange,
  { members, status }: { readonly members: readonly Member[]; readonly status: ClusterStatus },
): boolean {
  const leader = leaderOf(status);
  if (change.kind === "remove" || leader === null || leader.id === change.id) return false;
  return peerOf(leader, change.id) === null && !members.some(({ id }) => id === change.id);
}

/** What is waited for: `n4 receives a snapshot: 45% of 27.0 MB`. */
export function progressText(change: MembershipChange, status: ClusterStatus): string {
  const node = `n${change.id}`;
  const leader = leaderOf(status);
  if (leader === null) return describeWaiting(status);
  const catchesUp = change.kind === "add" || change.kind === "replace" || change.kind === "promote";
  const peer = peerOf(leader, change.id);
  if (!catchesUp || peer === null) return "the change is under way";
  if (peer.lastContactMs === null) return `${node} was not heard from yet; is it running?`;
  if (peer.lastContactMs >= SILENT_MEMBER_MS) {
    return `${node} was last heard from ${duration(peer.lastContactMs)} ago; is it running?`;
  }
  const percent = snapshotPercentOf(peer);
  if (percent !== null) {
    return `${node} receives a snapshot: ${percent}% of ${sizeText(peer.snapshotTotalBytes)}`;
  }
  const lag = lagOf(peer, leader);
  if (lag > 0) return `${node} is ${lag === 1 ? "1 entry" : `${withThousands(lag)} entries`} behind`;
  return `${node} has caught up and is about to vote`;
}

function goneError(change: MembershipChange): HalfwayError {
  return new HalfwayError(`n${change.id} is no member any more: somebody removed it meanwhile.`, {
    code: "membershipRefused",
    exitCode: ExitCode.no,
  });
}

function silenceError({ id }: MembershipChange, cause: KvraftError): HalfwayError {
  return new HalfwayError(
    `The cluster took the change and then fell silent for ${
      duration(SILENCE_MS)
    }; the change goes on once it is back. ` +
      `members shows what became of n${id}. (${reasonOf(cause.message)})`,
    { code: cause.code, exitCode: ExitCode.unknown, cause },
  );
}

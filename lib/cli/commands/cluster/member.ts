/** The commands that change the membership: member add, remove, promote, demote, replace, update. */
import { KvraftError } from "../../../client/errors.ts";
import { reasonOf } from "../../../client/retry.ts";
import type { ClusterStatus } from "../../../client/types.ts";
import { assertNever } from "../../../platform/assert.ts";
import type { Member, MembershipChange } from "../../../protocol/messages.ts";
import { AddressError, formatAddress, parseMemberAddress } from "../../../server/config/config.ts";
import type { OptionSpec } from "../../arguments.ts";
import { describeWaiting, lagOf, leaderOf, peerOf, snapshotPercentOf } from "../../cluster_view.ts";
import {
  type Answer,
  type ArgumentSpec,
  changeAnswer,
  type Command,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
} from "../../command.ts";
import { callOptions, nodeOf, timeoutOf } from "../../options.ts";
import { ExitCode, HalfwayError, UsageError } from "../../errors.ts";
import { duration, escapeText, sizeText, withThousands } from "../../text.ts";
import { pause } from "../../waiting.ts";

const LEARNER: OptionSpec = { name: "learner", placeholder: null, help: "it stays a learner" };
const FORCE: OptionSpec = {
  name: "force",
  placeholder: null,
  help: "even if the voters that answer are no majority then: writes stop until others come back",
};

const FORCE_ADDRESS: OptionSpec = {
  name: "force",
  placeholder: null,
  help: "even if the node does not answer there: with a wrong address the cluster loses touch with it",
};

const NEW_NODE = argument("n");
const NODE = { ...argument("n"), completion: "node" } as const;
const DEAD_NODE = { ...argument("dead"), completion: "node" } as const;
const ADDRESS = argument("host:port");

function argument(name: string): ArgumentSpec {
  return { name, required: true };
}

/** Returns a command that changes the membership and waits until the change is complete. */
function memberCommand(
  about: Pick<Command, "name" | "summary" | "example"> & Partial<Command>,
  changeOf: (invocation: Invocation) => MembershipChange,
): Command {
  return defineCommand({
    ...about,
    isLong: true,
    async run(invocation, context): Promise<Answer> {
      const change = changeOf(invocation);
      const { clock } = context.environment;
      const timeoutMs = timeoutOf(invocation.options) ?? context.timeoutMs;
      // One deadline for connecting, asking and waiting.
      const until = timeoutMs === null ? Infinity : clock.now() + timeoutMs;
      const client = await context.client();
      context.showProgress("asking the leader …");
      const left = timeoutMs === null ? {} : { timeoutMs: Math.max(1, Math.ceil(until - clock.now())) };
      const options = {
        ...callOptions(invocation, context),
        ...left,
        force: invocation.options.has("force"),
      };
      const appended = await client.cluster.changeMembership(change, options);
      const waited = await awaitChange(change, { client, members: appended, until, context });
      const isDone = waited.end === "done";
      const members = waited.members.map(({ id, address, role }) => ({ id, address, role }));
      return changeAnswer({
        line: escapeText(sentenceFor(change, waited)),
        document: { members },
        exitCode: isDone ? ExitCode.done : ExitCode.unknown,
      });
    },
  });
}

const ADD = memberCommand(
  {
    name: "member add",
    otherNames: ["join"],
    arguments: [NEW_NODE, ADDRESS],
    options: [LEARNER],
    summary: "add node n, which others dial at host:port",
    details: [
      "Start its process first: kvraft server --node-id 4 --bind 10.0.0.4:7001 --join 10.0.0.1:7001",
      "It joins as a learner, receives everything, and becomes a voter by itself once it is close. An id is used once,",
      "ever. Waits until it votes, or for --timeout-ms where that is given; Ctrl-C ends the wait, not the change.",
    ],
    example: [
      "member add 4 10.0.0.4:7001",
      "ok  n4 votes now. 4 voters: the cluster serves while 3 of them do.",
    ],
  },
  (invocation) => ({
    kind: "add",
    id: nodeOf(invocation, "n"),
    address: addressOf(invocation),
    learner: invocation.options.has("learner"),
  }),
);

const REMOVE = memberCommand({
  name: "member remove",
  arguments: [NODE],
  options: [FORCE],
  summary: "remove node n for good",
  details: [
    "Its process reports it and stops. Its id is not used again; its data directory can be removed. Refused where the voters",
    "that answer would be no majority of those left; --force removes it nevertheless, and then nothing can be written until",
    "others come back.",
  ],
  example: ["member remove 4", "ok  n4 is removed. 3 voters: the cluster serves while 2 of them do."],
}, (invocation) => ({ kind: "remove", id: nodeOf(invocation, "n") }));

const PROMOTE = memberCommand({
  name: "member promote",
  otherNames: ["promote"],
  arguments: [NODE],
  summary: "make the learner n a voter",
  example: ["member promote 4", "ok  n4 votes now. 4 voters: the cluster serves while 3 of them do."],
}, (invocation) => ({ kind: "promote", id: nodeOf(invocation, "n") }));

const DEMOTE = memberCommand({
  name: "member demote",
  otherNames: ["demote"],
  arguments: [NODE],
  options: [FORCE],
  summary: "make the voter n a learner, which receives everything and has no vote",
  example: ["member demote 4", "ok  n4 is a learner now. 3 voters: the cluster serves while 2 of them do."],
}, (invocation) => ({ kind: "demote", id: nodeOf(invocation, "n") }));

const REPLACE = memberCommand({
  name: "member replace",
  arguments: [DEAD_NODE, argument("new"), ADDRESS],
  summary: "put the new node in the place of a dead one, in one step",
  details: [
    "For a node whose machine or disk is lost. Start the new process first, with --join; it catches up, then takes the",
    "vote of the dead one. Waits like member add.",
  ],
  example: [
    "member replace 2 4 10.0.0.4:7001",
    "n4 votes in the place of n2. 3 voters: the cluster serves while 2 of them do.",
  ],
}, replacementOf);

const UPDATE = memberCommand({
  name: "member update",
  arguments: [NODE, ADDRESS],
  options: [FORCE_ADDRESS],
  summary: "have the others dial node n at host:port",
  details: [
    "The node keeps its data and its vote; start it where the address leads. Refused where another node, or none,",
    "answers at the address, unless --force is given.",
  ],
  example: ["member update 2 10.0.0.7:7001", "ok  n2 is dialled at 10.0.0.7:7001 now."],
}, (invocation) => ({ kind: "update", id: nodeOf(invocation, "n"), address: addressOf(invocation) }));

export const MEMBER_COMMANDS: readonly Command[] = [ADD, REMOVE, PROMOTE, DEMOTE, REPLACE, UPDATE];

function replacementOf(invocation: Invocation): MembershipChange {
  const dead = nodeOf(invocation, "dead");
  const id = nodeOf(invocation, "new");
  if (dead === id) {
    throw new UsageError(`member replace: the new node needs an id of its own: ${id} is the dead one's.`);
  }
  return { kind: "replace", dead, id, address: addressOf(invocation) };
}

function addressOf(invocation: Invocation): string {
  try {
    return formatAddress(parseMemberAddress(invocation.args.get(ADDRESS.name)?.text ?? ""));
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(error.message);
    throw error;
  }
}

/** Returns the answer: the result, or that the change is still in progress. */
function sentenceFor(change: MembershipChange, { end, members }: Waited): string {
  if (end === "done") return `ok  ${doneSentence(change, members)}`;
  const why = end === "left" ? "Not waiting any longer" : "The deadline passed";
  return `${why}; the change continues. members shows its progress.`;
}

function doneSentence(change: MembershipChange, members: readonly Member[]): string {
  const node = `n${change.id}`;
  switch (change.kind) {
    case "add":
      return change.learner
        ? `${node} is a learner: it receives everything and has no vote. member promote ${change.id} gives it one.`
        : `${node} votes now. ${majoritySentence(members)}`;
    case "remove":
      return `${node} is removed. ${majoritySentence(members)}`;
    case "promote":
      return `${node} votes now. ${majoritySentence(members)}`;
    case "demote":
      return `${node} is a learner now. ${majoritySentence(members)}`;
    case "replace":
      return `${node} votes in the place of n${change.dead}. ${majoritySentence(members)}`;
    case "update":
      return `${node} is dialled at ${change.address} now.`;
    default:
      return assertNever(change);
  }
}

function majoritySentence(members: readonly Member[]): string {
  const voters = members.filter(({ role }) => role === "voter").length;
  const needed = Math.floor(voters / 2) + 1;
  if (voters === 1) return "1 voter: the cluster serves while that one does.";
  return `${voters} voters: the cluster serves while ${needed} of them do.`;
}

/** Interval between requests for the state of the change. */
const LOOK_INTERVAL_MS = 250;
/** Deadline of one such request. */
const LOOK_TIMEOUT_MS = 2_000;
/** The wait ends after this time without any answer. */
const SILENCE_MS = 30_000;
/** A member without contact to the leader for this time is reported as silent. */
const SILENT_MEMBER_MS = 3_000;

/** The end of the wait for a change. */
export interface Waited {
  /** done: the change is complete. left: the user stopped waiting. late: the deadline passed. */
  readonly end: "done" | "left" | "late";
  readonly members: readonly Member[];
}

/** Returns whether `change` is complete among `members`. */
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
 * Waits until `change` is complete, or until the time `until`, which may be infinite. `members`: the members when the
 * cluster accepted the change. Throws {@link HalfwayError} if the cluster stops answering, or the node was removed.
 */
async function awaitChange(
  change: MembershipChange,
  { client, members, until, context }: {
    readonly client: StoreClient;
    readonly members: readonly Member[];
    readonly until: number;
    readonly context: CommandContext;
  },
): Promise<Waited> {
  const { signal, environment: { clock } } = context;
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
      if (wasRemoved(change, { members: found, status })) throw removedError(change);
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

/** Returns whether the node was removed by another change. A list of members may be old; the leader's state is not. */
function wasRemoved(
  change: MembershipChange,
  { members, status }: { readonly members: readonly Member[]; readonly status: ClusterStatus },
): boolean {
  const leader = leaderOf(status);
  if (change.kind === "remove" || leader === null || leader.id === change.id) return false;
  return peerOf(leader, change.id) === null && !members.some(({ id }) => id === change.id);
}

/** Returns the progress of a change: `n4 receives a snapshot: 45% of 27.0 MB`. */
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

function removedError(change: MembershipChange): HalfwayError {
  return new HalfwayError(`n${change.id} is not a member any more: it was removed meanwhile.`, {
    code: "membershipRefused",
    exitCode: ExitCode.no,
  });
}

function silenceError({ id }: MembershipChange, cause: KvraftError): HalfwayError {
  return new HalfwayError(
    `The cluster accepted the change and then did not answer for ${
      duration(SILENCE_MS)
    }; the change continues once it does. ` +
      `members shows what became of n${id}. (${reasonOf(cause.message)})`,
    { code: cause.code, exitCode: ExitCode.unknown, cause },
  );
}

/** The commands on who belongs to the cluster: member add, remove, promote, demote, replace, update. */
import { AddressError, formatAddress, parseMemberAddress } from "../server/config/config.ts";
import { assertNever } from "../platform/assert.ts";
import type { Member, MembershipChange } from "../protocol/messages.ts";
import type { Answer } from "./answer.ts";
import type { OptionSpec } from "./arguments.ts";
import type { ArgumentSpec, Call, Command } from "./command.ts";
import { callOptions, nodeOf, timeoutOf } from "./command_options.ts";
import { UsageError } from "./errors.ts";
import { awaitChange, type Waited } from "./membership.ts";

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
const NODE = { ...argument("n"), isNode: true } as const;
const DEAD_NODE = { ...argument("dead"), isNode: true } as const;
const ADDRESS = argument("host:port");

function argument(name: string): ArgumentSpec {
  return { name, required: true, isKey: false, replacedBy: null };
}

/** A command that changes the membership and waits until that has come about. */
function memberCommand(
  about: Pick<Command, "name" | "arguments" | "options" | "summary" | "details" | "example">,
  changeOf: (call: Call) => MembershipChange,
): Command {
  return {
    ...about,
    aliases: [],
    isLong: true,
    async run(call, context): Promise<Answer> {
      const change = changeOf(call);
      const { clock } = context.system;
      const timeoutMs = timeoutOf(call.options) ?? context.timeoutMs;
      // One deadline for connecting, asking and waiting.
      const until = timeoutMs === null ? Infinity : clock.now() + timeoutMs;
      const client = await context.client();
      context.showProgress("asking the leader …");
      const left = timeoutMs === null ? {} : { timeoutMs: Math.max(1, Math.ceil(until - clock.now())) };
      const options = { ...callOptions(call, context), ...left, force: call.options.has("force") };
      const members = await client.cluster.changeMembership(change, options);
      const waited = await awaitChange(change, { client, members, until, context });
      return {
        kind: "membership",
        sentence: sentenceFor(change, waited),
        members: waited.members,
        isDone: waited.end === "done",
      };
    },
  };
}

/** Adds a node. */
const ADD = memberCommand(
  {
    name: "member add",
    arguments: [NEW_NODE, ADDRESS],
    options: [LEARNER],
    summary: "add node n, which others dial at host:port",
    details: [
      "Start its process first: kvraft server --node-id 4 --bind 10.0.0.4:7001 --join 10.0.0.1:7001",
      "It joins as a learner, receives everything, and becomes a voter by itself once it is close. An id is used once,",
      "ever. Waits until it votes, or for --timeout-ms where that is given; who stops waiting (Ctrl-C) stops nothing.",
    ],
    example: ["member add 4 10.0.0.4:7001", "n4 votes now. 4 voters: the cluster serves while 3 of them do."],
  },
  (call) => ({
    kind: "add",
    id: nodeOf(call, "n"),
    address: addressOf(call),
    learner: call.options.has("learner"),
  }),
);

/** Removes a node. */
const REMOVE = memberCommand({
  name: "member remove",
  arguments: [NODE],
  options: [FORCE],
  summary: "remove node n for good",
  details: [
    "Its process says so and stops. Its id is not used again; its data folder can be removed. Refused where the voters",
    "that answer would be no majority of those left; --force does it all the same, and then nothing can be written until",
    "others come back.",
  ],
  example: ["member remove 4", "n4 is removed. 3 voters: the cluster serves while 2 of them do."],
}, (call) => ({ kind: "remove", id: nodeOf(call, "n") }));

/** Gives a learner a vote. */
const PROMOTE = memberCommand({
  name: "member promote",
  arguments: [NODE],
  options: [],
  summary: "make the learner n a voter",
  details: [],
  example: ["member promote 4", "n4 votes now. 4 voters: the cluster serves while 3 of them do."],
}, (call) => ({ kind: "promote", id: nodeOf(call, "n") }));

/** Takes a voter's vote. */
const DEMOTE = memberCommand({
  name: "member demote",
  arguments: [NODE],
  options: [FORCE],
  summary: "make the voter n a learner, which receives everything and has no vote",
  details: [],
  example: ["member demote 4", "n4 is a learner now. 3 voters: the cluster serves while 2 of them do."],
}, (call) => ({ kind: "demote", id: nodeOf(call, "n") }));

/** Puts a new node in the place of one that is lost. */
const REPLACE = memberCommand({
  name: "member replace",
  arguments: [DEAD_NODE, argument("new"), ADDRESS],
  options: [],
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

/** Changes where a node is dialled. */
const UPDATE = memberCommand({
  name: "member update",
  arguments: [NODE, ADDRESS],
  options: [FORCE_ADDRESS],
  summary: "have the others dial node n at host:port",
  details: [
    "The node keeps its data and its vote; start it where the address leads. Refused where another node, or none,",
    "answers at the address, unless --force is given.",
  ],
  example: ["member update 2 10.0.0.7:7001", "n2 is dialled at 10.0.0.7:7001 now."],
}, (call) => ({ kind: "update", id: nodeOf(call, "n"), address: addressOf(call) }));

/** In the order of the help. */
export const MEMBER_COMMANDS: readonly Command[] = [ADD, REMOVE, PROMOTE, DEMOTE, REPLACE, UPDATE];

function replacementOf(call: Call): MembershipChange {
  const dead = nodeOf(call, "dead");
  const id = nodeOf(call, "new");
  if (dead === id) {
    throw new UsageError(`member replace: the new node needs an id of its own: ${id} is the dead one's.`);
  }
  return { kind: "replace", dead, id, address: addressOf(call) };
}

function addressOf(call: Call): string {
  try {
    return formatAddress(parseMemberAddress(call.args.get(ADDRESS.name)?.text ?? ""));
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(error.message);
    throw error;
  }
}

/** What has come about, or what has not yet. */
function sentenceFor(change: MembershipChange, { end, members }: Waited): string {
  if (end === "done") return doneSentence(change, members);
  const why = end === "left" ? "Not waiting any longer" : "The deadline passed";
  return `${why}; the change goes on by itself. members shows how far it is.`;
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

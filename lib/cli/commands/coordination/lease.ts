/** The commands on leases: `lease grant`, `revoke`, `keep-alive`, `ttl` and `list`. */
import { MAX_LIST_ENTRIES } from "../../../kv/mod.ts";
import { KvraftError } from "../../../client/errors.ts";
import { reasonWithin } from "../../../client/retry.ts";
import type { LeaseDetails, LeaseListResult } from "../../../client/leases/types.ts";
import { integerOfText } from "../../arguments.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  changeAnswer,
  type Command,
  type CommandContext,
  defineCommand,
  type Invocation,
  type StoreClient,
  type View,
  withElapsed,
} from "../../command.ts";
import { ExitCode, HalfwayError } from "../../errors.ts";
import { bytesField } from "../../json.ts";
import { LEASE, leaseIdOf, leaseIdOfText, ttlOfText } from "../../lease_options.ts";
import { callOptions, CONSISTENCY_OPTIONS, consistencyOptions, durationAsTyped } from "../../options.ts";
import { countOf, dim, duration, escapeBytes, moreLine, table } from "../../text.ts";
import { pause } from "../../waiting.ts";
import { nextPageLine } from "../keys/list.ts";

/** Keep-alives within a time to live, so that two may fail. */
const KEEP_ALIVES_OF_TTL = 3;
/** Pause after a keep-alive that failed. */
const RETRY_MS = 1_000;

const GRANT = defineCommand({
  name: "lease grant",
  otherNames: ["expire", "pexpire", "setex"],
  arguments: [{ name: "ttl", required: true }],
  options: [{ name: "id", placeholder: "<lease>", help: "choose the id (a random one)" }],
  summary: "make a lease, which ends unless it is kept alive",
  details: [
    "<ttl> is a time such as 1500ms, 30s, 5m or 1h; a second at least. Keys are attached by put --lease, and deleted in",
    "one revision when the lease ends: when it was not kept alive for <ttl>, or by lease revoke.",
  ],
  example: ["lease grant 30s", "ok  lease 7587862094341, ttl 30s"],
  async run(invocation, context): Promise<Answer> {
    const ttlMs = ttlOfText(invocation.args.get("ttl")?.text ?? "", "<ttl>");
    const id = invocation.options.get("id");
    const chosen = id === undefined ? {} : { leaseId: leaseIdOfText(id, "--id") };
    const client = await context.client();
    const granted = await client.leases.grant({ ttlMs, ...chosen, ...callOptions(invocation, context) });
    const line = `ok  lease ${granted.leaseId}, ttl ${durationAsTyped(granted.ttlMs)}`;
    return changeAnswer({ line, document: granted });
  },
});

const REVOKE = defineCommand({
  name: "lease revoke",
  arguments: [LEASE],
  summary: "end a lease, and delete its keys",
  details: ["Ends with 1 when there is no such lease."],
  example: ["lease revoke 7587862094341", "ok  revision 19, 2 keys deleted"],
  async run(invocation, context): Promise<Answer> {
    const leaseId = leaseIdOf(invocation);
    const client = await context.client();
    const { revision, deleted } = await client.leases.revoke(leaseId, callOptions(invocation, context));
    const line = `ok  revision ${revision}, ${countOf(deleted, "key")} deleted`;
    return changeAnswer({ line, document: { revision, deleted } });
  },
});

const KEEP_ALIVE = defineCommand({
  name: "lease keep-alive",
  otherNames: ["keepalive", "keep-alive", "renew"],
  isLong: true,
  arguments: [LEASE],
  options: [{ name: "once", placeholder: null, help: "start its time to live over once, and end" }],
  summary: "keep a lease alive, until Ctrl-C",
  details: [
    "Starts its time to live over three times within it. Ends with 1 when the lease has ended, and with 0 at Ctrl-C,",
    "which leaves the lease to end by itself.",
  ],
  example: ["lease keep-alive 7587862094341 --once", "ok  lease 7587862094341, ttl 30s"],
  async run(invocation, context): Promise<Answer> {
    const leaseId = leaseIdOf(invocation);
    const client = await context.client();
    const ttlMs = await keepAliveOnce(client, leaseId, { invocation, context });
    if (ttlMs === null) return noLease(leaseId);
    const line = `ok  lease ${leaseId}, ttl ${durationAsTyped(ttlMs)}`;
    if (invocation.options.has("once")) return changeAnswer({ line, document: { leaseId, ttlMs } });
    await context.show([{ text: () => `${line}\n`, json: () => ({ leaseId, ttlMs }) }]);
    context.showProgress("it is kept alive; Ctrl-C ends that");
    return await keepAlive(client, { leaseId, ttlMs }, { invocation, context });
  },
});

const TTL = defineCommand({
  name: "lease ttl",
  otherNames: ["ttl", "pttl", "timetolive", "time-to-live"],
  arguments: [LEASE],
  options: [
    { name: "keys", placeholder: null, help: "with the keys that are attached to it" },
    ...CONSISTENCY_OPTIONS,
  ],
  summary: "how long a lease has still to live",
  details: ["Ends with 1 when there is no such lease."],
  example: ["lease ttl 7587862094341 --keys", "24.3 s of 30s, 1 key", "service/web/1"],
  async run(invocation, context): Promise<Answer> {
    const leaseId = leaseIdOf(invocation);
    const client = await context.client();
    const keys = invocation.options.has("keys");
    const found = await client.leases.timeToLive(leaseId, {
      keys,
      ...consistencyOptions(invocation, context),
    });
    return found === null ? noLease(leaseId) : ttlAnswer(found, { showsKeys: keys });
  },
});

const LIST = defineCommand({
  name: "lease list",
  otherNames: ["leases"],
  options: [
    { name: "limit", placeholder: "<n>", help: "leases of a page (1000)" },
    { name: "after", placeholder: "<lease>", help: "go on behind this lease" },
    ...CONSISTENCY_OPTIONS,
  ],
  summary: "the leases, by id",
  details: [
    "One page; what follows it is said below (as JSON: after). Into a file or pipe go the lease, its time to live and what",
    "is left of it, both in milliseconds, and the number of its keys, parted by tabs.",
  ],
  example: ["lease list", "7587862094341\t30000\t24312\t1"],
  async run(invocation, context): Promise<Answer> {
    const { options } = invocation;
    const [limit, after] = [options.get("limit"), options.get("after")];
    const page = {
      ...(limit !== undefined &&
        { limit: integerOfText(limit, { name: "--limit", min: 1, max: MAX_LIST_ENTRIES }) }),
      ...(after !== undefined && { after: leaseIdOfText(after, "--after") }),
    };
    const client = await context.client();
    const result = await client.leases.list({ ...page, ...consistencyOptions(invocation, context) });
    return answer({ text: (view) => listText(result, invocation, view), json: () => result });
  },
});

export const LEASE_COMMANDS: readonly Command[] = [GRANT, REVOKE, KEEP_ALIVE, TTL, LIST];

/** The invocation of a command, and its context. */
interface Call {
  readonly invocation: Invocation;
  readonly context: CommandContext;
}

/** Starts the time to live of a lease over; returns it, or null if there is no such lease. */
async function keepAliveOnce(
  client: StoreClient,
  leaseId: number,
  { invocation, context }: Call,
): Promise<number | null> {
  const [lease] = await client.leases.keepAlive([leaseId], callOptions(invocation, context));
  return lease?.ttlMs ?? null;
}

/** Keeps a lease alive until the command is to end. Throws {@link HalfwayError} when the lease has ended. */
async function keepAlive(
  client: StoreClient,
  { leaseId, ttlMs }: { readonly leaseId: number; readonly ttlMs: number },
  call: Call,
): Promise<Answer> {
  const { signal, environment: { clock }, note } = call.context;
  let isFailing = false;
  let pauseMs = ttlMs / KEEP_ALIVES_OF_TTL;
  while (true) {
    await pause(pauseMs, { clock, signal });
    if (isAborted(signal)) return endAnswer(leaseId);
    try {
      if (await keepAliveOnce(client, leaseId, call) === null) throw leaseEnded(leaseId);
      if (isFailing) note("it is kept alive again");
      isFailing = false;
      pauseMs = ttlMs / KEEP_ALIVES_OF_TTL;
    } catch (error) {
      if (isAborted(signal)) return endAnswer(leaseId);
      if (!(error instanceof KvraftError)) throw error;
      if (!isFailing) note(`it may not be kept alive: ${reasonWithin(error.message)}; trying on`);
      isFailing = true;
      pauseMs = RETRY_MS;
    }
  }
}

function isAborted(signal: AbortSignal | null): boolean {
  return signal?.aborted === true;
}

function endAnswer(leaseId: number): Answer {
  return answer({
    text: () => ({ output: "", note: `lease ${leaseId} is not kept alive any more\n` }),
    json: () => ({ leaseId, ended: false }),
    hasWrittenData: true,
  });
}

function leaseEnded(leaseId: number): HalfwayError {
  return new HalfwayError(`Lease ${leaseId} has ended, and its keys are deleted.`, {
    code: "leaseNotFound",
    exitCode: ExitCode.no,
  });
}

function noLease(leaseId: number): Answer {
  return answer({
    text: (view) => ({ output: "", note: withElapsed("(no such lease)\n", view) }),
    json: () => null,
    exitCode: ExitCode.no,
    outcome: `There is no lease ${leaseId}.`,
  });
}

function ttlAnswer(found: LeaseDetails, { showsKeys }: { readonly showsKeys: boolean }): Answer {
  const { ttlMs, remainingMs, keyCount, keys = [] } = found;
  const line = `${duration(remainingMs)} of ${durationAsTyped(ttlMs)}, ${countOf(keyCount, "key")}`;
  const lines = [line, ...(showsKeys ? keys.map(escapeBytes) : [])];
  return answer({
    text: (view) => ({ output: withElapsed(`${lines.join("\n")}\n`, view), note: "" }),
    json: () => ({
      leaseId: found.leaseId,
      ttlMs,
      remainingMs,
      keyCount,
      ...(showsKeys && { keys: keys.map((key) => bytesField("key", key)) }),
    }),
  });
}

function listText({ leases, after }: LeaseListResult, invocation: Invocation, view: View): AnswerText {
  const numbers = leases.map(({ leaseId, ttlMs, remainingMs, keyCount }) =>
    view.isTerminal
      ? [`${leaseId}`, durationAsTyped(ttlMs), duration(remainingMs), `${keyCount}`]
      : [leaseId, ttlMs, remainingMs, keyCount].map(String)
  );
  const [header = "", ...rows] = table([["lease", "ttl", "remains", "keys"], ...numbers]);
  const lines = view.isTerminal
    ? leases.length === 0 ? [] : [dim(header, view), ...rows]
    : numbers.map((row) => row.join("\t"));
  const output = lines.map((line) => `${line}\n`).join("");
  const hint = after === null ? "" : moreLine(leases.length, nextLine(invocation, after));
  if (view.elapsedMs === null) return { output, note: hint };
  const meta = `${countOf(leases.length, "lease")}, ${duration(view.elapsedMs)}`;
  return { output, note: `${hint}${dim(meta, view)}\n` };
}

function nextLine(invocation: Invocation, after: number): string {
  const option = { name: "after", bytes: new TextEncoder().encode(String(after)) };
  return nextPageLine(invocation, { option, begins: ["after"], argument: null });
}

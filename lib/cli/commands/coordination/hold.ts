/** Holding a lock or leadership: from the wait for it until Ctrl-C, the end of standard input, or its loss. */
import { AbortError } from "../../../client/errors.ts";
import type { Held } from "../../../client/locks/types.ts";
import { reasonWithin } from "../../../client/retry.ts";
import { errorMessage } from "../../../platform/errors.ts";
import type { OptionSpec } from "../../arguments.ts";
import { type Answer, answer, type CommandContext, type Invocation, SHELL_LEFT } from "../../command.ts";
import { ExitCode, HalfwayError, UsageError } from "../../errors.ts";
import { HOLD_TTL, ttlOfText } from "../../lease_options.ts";
import { durationAsTyped, durationOfText } from "../../options.ts";
import { bytesOfWord, escapeText, textOfBytes } from "../../text.ts";

const DEFAULT_TTL_MS = 10_000;
/** Longest wait for a lock or leadership: a day. */
const MAX_WAIT_MS = 86_400_000;

/** Options of the commands that hold something. */
export const HOLD_OPTIONS: readonly OptionSpec[] = [
  HOLD_TTL,
  { name: "wait", placeholder: "<time>", help: "give up after this time (no limit)" },
];

/** A lock or leadership that a client holds until it ends that, or loses it. */
interface Holding extends Pick<Held, "key" | "leaseId" | "fencingToken" | "lost"> {
  /** Ends it, so that others can have it. */
  end(): Promise<void>;
}

/** The lock or leadership that a command is to hold. */
interface Goal {
  /** How messages name it: `the lock nightly`. */
  readonly title: string;
  /** Its state while it is held: `locked`. */
  readonly held: string;
  /** How messages say that it is not held. */
  readonly notHeld: string;
  /** Its state afterwards: `released`. */
  readonly ended: string;
  /** Waits until this client holds it. Rejects with AbortError when `signal` fires. */
  acquire(options: { readonly ttlMs: number; readonly signal: AbortSignal }): Promise<Holding>;
}

/** Why a command does not go on: the reason of the signals here. */
type End = "interrupted" | typeof SHELL_LEFT | "standard input has ended" | "others had it all the time";

/** The times that were typed. */
interface Times {
  readonly ttlMs: number;
  /** Null for no limit. */
  readonly waitMs: number | null;
}

/** Returns the name of a lock or an election. Throws {@link UsageError}. */
export function nameOf({ args }: Invocation): string {
  const name = textOfBytes(bytesOfWord(args.get("name")?.text ?? ""));
  if (name !== null) return name;
  throw new UsageError("<name> must be UTF-8. Example: nightly");
}

/** Returns the times in {@link HOLD_OPTIONS}. Throws {@link UsageError}. */
export function holdTimesOf({ options }: Invocation): Times {
  const [ttl, wait] = [options.get(HOLD_TTL.name), options.get("wait")];
  return {
    ttlMs: ttl === undefined ? DEFAULT_TTL_MS : ttlOfText(ttl, "--ttl"),
    waitMs: wait === undefined
      ? null
      : durationOfText(wait, { name: "--wait", minMs: 1, maxMs: MAX_WAIT_MS }),
  };
}

/**
 * Waits until this client holds something, shows that, and holds it until the user ends it. Throws {@link HalfwayError} if
 * it was lost. `user` is the signal of {@link endedByUser}.
 */
export async function hold(
  { title, held: heldWord, notHeld: notHeldText, ended, acquire }: Goal,
  { times: { ttlMs, waitMs }, user, context }: {
    readonly times: Times;
    readonly user: AbortSignal;
    readonly context: CommandContext;
  },
): Promise<Answer> {
  context.showProgress(`waiting for ${title} …; Ctrl-C gives up`);
  const limit = new AbortController();
  const timer = waitMs === null
    ? null
    : context.environment.clock.after(waitMs, () => limit.abort("others had it all the time" satisfies End));
  const waiting = AbortSignal.any([user, limit.signal]);
  let held: Holding;
  try {
    held = await acquire({ ttlMs, signal: waiting });
  } catch (error) {
    if (error instanceof AbortError) {
      const reason = String(waiting.reason);
      return answer({
        text: () => ({ output: "", note: `${title}: ${notHeldText} (${reason})\n` }),
        json: () => ({ [heldWord]: false, reason }),
        exitCode: ExitCode.no,
      });
    }
    throw error;
  } finally {
    timer?.cancel();
  }
  const { key, leaseId, fencingToken, lost } = held;
  try {
    await context.show([{
      text: () => `ok  ${heldWord}, fencing token ${fencingToken}, key ${escapeText(key)}\n`,
      json: () => ({ [heldWord]: true, fencingToken, key, leaseId }),
    }]);
    context.showProgress(`it is kept alive (ttl ${durationAsTyped(ttlMs)}); Ctrl-C ends it`);
    await firstOf(user, lost);
  } finally {
    if (!lost.aborted) await held.end();
  }
  if (lost.aborted) throw lossOf(title, lost.reason);
  const reason = String(user.reason);
  return answer({
    text: () => ({ output: "", note: `${title}: ${ended} (${reason})\n` }),
    json: () => ({ [ended]: true, reason }),
    hasWrittenData: true,
  });
}

/** Returns a signal that fires at Ctrl-C and at the end of standard input. Throws {@link UsageError} without that input. */
export function endedByUser({ signal, endOfInput }: CommandContext): AbortSignal {
  const ended = new AbortController();
  const end = (): void => ended.abort("standard input has ended" satisfies End);
  endOfInput().then(end, end);
  const interrupt = (): void => {
    const isLeft = signal?.reason instanceof Error && signal.reason.message === SHELL_LEFT;
    ended.abort((isLeft ? SHELL_LEFT : "interrupted") satisfies End);
  };
  if (signal?.aborted === true) interrupt();
  signal?.addEventListener("abort", interrupt);
  return ended.signal;
}

/** Resolves as soon as one of the signals has fired. */
async function firstOf(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals]);
  if (any.aborted) return;
  await new Promise((resolve) => any.addEventListener("abort", resolve));
}

function lossOf(title: string, cause: unknown): HalfwayError {
  const reason = reasonWithin(errorMessage(cause));
  return new HalfwayError(`${title} was lost with its lease: ${reason}. Another client may hold it now.`, {
    code: "leaseLost",
    exitCode: ExitCode.no,
    cause,
  });
}

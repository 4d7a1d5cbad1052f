/** The command `health`. */
import {
  AbortError,
  AuthenticationError,
  KvraftError,
  PermissionDeniedError,
} from "../../../client/errors.ts";
import { reasonWithin } from "../../../client/retry.ts";
import { type Answer, answer, defineCommand } from "../../command.ts";
import { callOptions } from "../../options.ts";
import { ExitCode } from "../../errors.ts";
import { duration, escapeText } from "../../text.ts";

/** The key that is read; it need not exist. */
const HEALTH_KEY = "kvraft/health";

export const HEALTH = defineCommand({
  name: "health",
  summary: "whether the cluster serves: ends with 0 only if a linearizable read works",
  details: [
    "For containers and scripts. Reads one key, which need not exist, from the leader or through any node that passes it",
    "on, within --timeout-ms, connecting included. Ends with 3 when that does not work, and says why. Where clients have",
    "to sign in, the user needs the right to read the key kvraft/health; without it the command ends with 6.",
  ],
  example: ["health --timeout-ms 1000", "healthy: a linearizable read took 1.2 ms"],
  async run(invocation, context): Promise<Answer> {
    const { clock } = context.environment;
    let startedAt = clock.now();
    try {
      const client = await context.client();
      startedAt = clock.now();
      await client.get(HEALTH_KEY, callOptions(invocation, context));
      return healthAnswer({ elapsedMs: clock.now() - startedAt, failure: null });
    } catch (error) {
      const isNoAnswer = error instanceof AbortError || error instanceof AuthenticationError ||
        error instanceof PermissionDeniedError;
      if (!(error instanceof KvraftError) || isNoAnswer) throw error;
      const { code, message } = error;
      const failure = { code, reason: reasonWithin(message) };
      return healthAnswer({ elapsedMs: clock.now() - startedAt, failure });
    }
  },
});

/** `failure`: why the read was not answered in time; null if it was. */
function healthAnswer(
  { elapsedMs, failure }: {
    readonly elapsedMs: number;
    readonly failure: { readonly code: string; readonly reason: string } | null;
  },
): Answer {
  const line = failure === null
    ? `healthy: a linearizable read took ${duration(elapsedMs)}\n`
    : `not healthy: ${escapeText(failure.reason)}\n`;
  return answer({
    text: () => ({ output: line, note: "" }),
    json: () => ({ healthy: failure === null, elapsedMs, code: null, reason: null, ...failure }),
    exitCode: failure === null ? ExitCode.done : ExitCode.unavailable,
  });
}

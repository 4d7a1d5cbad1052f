/** The command `cas`: compare and set. */
import type { CompareAndSetResult } from "../../../client/types.ts";
import { type Answer, answer, changeAnswer, defineCommand, withElapsed } from "../../command.ts";
import { callOptions, FILE, isStdin, KEY, KEY_BYTES_OPTIONS, keyOf, readValue } from "../../options.ts";
import { ExitCode, UsageError } from "../../errors.ts";
import { entryDocument } from "../../json.ts";
import { valueHead } from "../../text.ts";

export const CAS = defineCommand({
  name: "cas",
  otherNames: ["setnx", "swap", "compare-and-set", "compare-and-swap"],
  arguments: [
    KEY,
    { name: "expected", required: true, replacedBy: ["absent"] },
    { name: "new", required: true, replacedBy: [FILE.name] },
  ],
  options: [
    { name: "absent", placeholder: null, help: "expect that the key does not exist" },
    FILE,
    ...KEY_BYTES_OPTIONS,
  ],
  summary: "set a key if it has the expected value",
  details: [
    "Ends with 1 when it had another value, which is shown.",
    "<expected> or <new> may be - for standard input.",
  ],
  example: ["cas greeting hello goodbye", "ok  revision 14"],
  async run(invocation, context): Promise<Answer> {
    if (isStdin(invocation, "expected") && isStdin(invocation, "new")) {
      throw new UsageError(
        "cas can take only one of <expected> and <new> from standard input. Use --file for <new>.",
      );
    }
    const isAbsent = invocation.options.has("absent");
    const expect = isAbsent ? null : await readValue(invocation, "expected", context);
    const value = await readValue(invocation, "new", context);
    const client = await context.client();
    const change = { expect, value, ...callOptions(invocation, context) };
    return casAnswer(await client.compareAndSet(keyOf(invocation), change));
  },
});

function casAnswer({ succeeded, current, revision }: CompareAndSetResult): Answer {
  const document = { succeeded, current: entryDocument(current), revision };
  if (succeeded) return changeAnswer({ line: `ok  revision ${revision}`, document });
  const reason = current === null
    ? "the key does not exist"
    : `the key has the value ${valueHead(current.value)}, revision ${current.modRevision}`;
  return answer({
    text: (view) => ({ output: withElapsed(`failed: ${reason}\n`, view), note: "" }),
    json: () => document,
    exitCode: ExitCode.no,
    outcome: `Nothing was changed: ${reason}.`,
  });
}

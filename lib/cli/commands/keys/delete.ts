/** The command `delete`. */
import { type Answer, changeAnswer, defineCommand } from "../../command.ts";
import { callOptions, KEY, KEY_BYTES_OPTIONS, keyOf } from "../../options.ts";
import { ExitCode } from "../../errors.ts";

export const DELETE = defineCommand({
  name: "delete",
  otherNames: ["del", "rm", "remove", "unset", "erase", "drop", "unlink"],
  arguments: [KEY],
  options: KEY_BYTES_OPTIONS,
  summary: "remove a key",
  details: ["Ends with 1 when the key did not exist."],
  example: ["delete greeting", "ok  revision 13"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const { deleted, revision } = await client.delete(keyOf(invocation), callOptions(invocation, context));
    return changeAnswer({
      line: `${deleted ? "ok" : "(not found)"}  revision ${revision}`,
      document: { deleted, revision },
      exitCode: deleted ? ExitCode.done : ExitCode.no,
    });
  },
});

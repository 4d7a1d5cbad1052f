/** The command `put`. */
import { type Answer, changeAnswer, defineCommand } from "../../command.ts";
import { callOptions, FILE, KEY, KEY_BYTES_OPTIONS, keyOf, readValue } from "../../options.ts";

export const PUT = defineCommand({
  name: "put",
  otherNames: ["set", "write", "insert", "update", "store"],
  arguments: [KEY, { name: "value", required: true, replacedBy: [FILE.name] }],
  options: [FILE, ...KEY_BYTES_OPTIONS],
  summary: "set a key",
  details: ["<value> is text, or - for standard input. A value that begins with a dash goes behind --."],
  example: ["put greeting hello", "ok  revision 12"],
  async run(invocation, context): Promise<Answer> {
    const value = await readValue(invocation, "value", context);
    const client = await context.client();
    const { revision } = await client.put(keyOf(invocation), value, callOptions(invocation, context));
    return changeAnswer({ line: `ok  revision ${revision}`, document: { revision } });
  },
});

/** The command `get`. */
import type { KeyValue } from "../../../kv/command.ts";
import {
  type Answer,
  answer,
  type AnswerText,
  defineCommand,
  type View,
  withElapsed,
} from "../../command.ts";
import { KEY, KEY_BYTES_OPTIONS, keyOf, READ_OPTIONS, readOptions } from "../../options.ts";
import { ExitCode } from "../../errors.ts";
import { entryDocument } from "../../json.ts";
import { textOfStored } from "../denokv/entries.ts";
import { dim, duration, escapeBytes, isPrintable, lifetimeText, textOfBytes, valueHead } from "../../text.ts";

const utf8 = new TextEncoder();

export const GET = defineCommand({
  name: "get",
  otherNames: ["read", "fetch", "show", "cat", "exists"],
  arguments: [KEY],
  options: [
    { name: "raw", placeholder: null, help: "the value's bytes and nothing else, also on a terminal" },
    ...READ_OPTIONS,
    ...KEY_BYTES_OPTIONS,
  ],
  summary: "read a key",
  details: [
    "Ends with 1 when the key does not exist. Into a file or pipe go the value's bytes and nothing else; on a terminal a",
    "newline follows, and what is not printable is escaped.",
  ],
  example: ["get greeting", "hello"],
  async run(invocation, context): Promise<Answer> {
    const client = await context.client();
    const entry = await client.get(keyOf(invocation), readOptions(invocation, context));
    return getAnswer(entry, { isRaw: invocation.options.has("raw") });
  },
});

/** Returns the answer to a read. `isRaw`: the value's bytes and nothing else. */
export function getAnswer(entry: KeyValue | null, { isRaw }: { readonly isRaw: boolean }): Answer {
  return answer({
    text(view): AnswerText {
      if (entry === null) return { output: "", note: withElapsed("(not found)\n", view) };
      const isInShell = view.elapsedMs !== null;
      const output = isInShell ? shellText(entry, { isRaw, view }) : valueOutput(entry, { isRaw, view });
      return { output, note: "" };
    },
    json: () => entryDocument(entry),
    exitCode: entry === null ? ExitCode.no : ExitCode.done,
  });
}

interface GetView {
  readonly isRaw: boolean;
  readonly view: View;
}

/** The value, and in a line below it its revision, its version, its lease and expiry, and the time. */
function shellText(entry: KeyValue, { isRaw, view }: GetView): string {
  const { value, modRevision, version } = entry;
  const shown = isRaw ? textOfBytes(value) ?? escapeBytes(value) : textOfStored(entry) ?? valueHead(value);
  const lifetime = lifetimeText(entry);
  const meta = [
    `revision ${modRevision}, version ${version}`,
    ...(lifetime === "" ? [] : [lifetime]),
    duration(view.elapsedMs ?? 0),
  ].join(", ");
  return `${shown}\n${dim(meta, view)}\n`;
}

/** The value's bytes, with a newline behind them and escapes only where a person or further answers need that. */
function valueOutput(entry: KeyValue, { isRaw, view }: GetView): string | Uint8Array {
  const { value } = entry;
  if (isRaw || !(view.isTerminal || view.isOneOfMany)) return value;
  const denoText = view.isTerminal ? textOfStored(entry) : null;
  if (denoText !== null) return `${denoText}\n`;
  const text = view.isTerminal ? textOfBytes(value) : null;
  const isSafe = !view.isTerminal || (text !== null && isPrintable(text));
  const shown = isSafe ? value : utf8.encode(escapeBytes(value));
  const line = new Uint8Array(shown.length + 1);
  line.set(shown);
  line[shown.length] = 0x0a;
  return line;
}

/** The commands of an append-only file, in the protocol of Redis (RESP): arrays of strings. */
import type { ByteReader } from "../byte_reader.ts";
import { FormatError } from "../items.ts";

/** Digits of a length, and characters of an annotation such as `#TS:1700000000`. */
const MAX_LINE_BYTES = 1_024;
/** Limits of one command, against a length that is not true. Redis allows more, but no key that a cluster takes needs it. */
const MAX_ARGUMENTS = 1_048_576;
const MAX_COMMAND_BYTES = 268_435_456;

/** Reads commands up to the end of the input. Throws {@link FormatError}. */
export async function* readCommands(reader: ByteReader): AsyncGenerator<readonly Uint8Array[]> {
  while (!(await reader.isAtEnd())) {
    const start = reader.offset;
    const line = new TextDecoder().decode(await reader.readLine(MAX_LINE_BYTES));
    if (line.startsWith("#")) continue;
    const count = numberOf(line, "*");
    if (count === null || count < 1 || count > MAX_ARGUMENTS) {
      throw new FormatError(`at byte ${start} no command begins`);
    }
    const words: Uint8Array[] = [];
    let bytes = 0;
    while (words.length < count) {
      const word = await readWord(reader, MAX_COMMAND_BYTES - bytes);
      bytes += word.length;
      words.push(word);
    }
    yield words;
  }
}

async function readWord(reader: ByteReader, maxBytes: number): Promise<Uint8Array> {
  const start = reader.offset;
  const length = numberOf(new TextDecoder().decode(await reader.readLine(MAX_LINE_BYTES)), "$");
  if (length === null) throw new FormatError(`at byte ${start} is no string of a command`);
  if (length > maxBytes) {
    throw new FormatError(`at byte ${start} is a command of more than ${MAX_COMMAND_BYTES} bytes`);
  }
  const word = await reader.read(length);
  const end = await reader.read(2);
  if (end[0] !== 0x0d || end[1] !== 0x0a) {
    throw new FormatError(`at byte ${start} is a string whose length is not true`);
  }
  return word;
}

function numberOf(line: string, mark: string): number | null {
  return line.startsWith(mark) && /^\d{1,10}$/.test(line.slice(1)) ? Number(line.slice(1)) : null;
}

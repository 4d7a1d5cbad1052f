/** Reading standard input within bounds: all of it, or line by line. */
import { concat } from "@std/bytes";
import { ValueTooLargeError } from "../client/errors.ts";
import { errorMessage } from "../platform/errors.ts";
import type { Environment } from "./environment.ts";
import { UsageError } from "./errors.ts";

/** Longest value that is read from standard input or a file; it is more than any cluster takes. */
export const MAX_VALUE_INPUT_BYTES = 8_388_608;
/** Longest line of commands: a value with every byte escaped, and a key. */
const MAX_LINE_BYTES = 4 * MAX_VALUE_INPUT_BYTES;

/** A line of input, or a marker for one that was too long. */
export type Line = { readonly kind: "line"; readonly bytes: Uint8Array } | { readonly kind: "tooLong" };

/** Reads all of `stream`. Throws {@link ValueTooLargeError} past {@link MAX_VALUE_INPUT_BYTES}. */
export async function readValueFrom(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_VALUE_INPUT_BYTES) throw valueTooLarge("standard input");
  }
  return concat(chunks);
}

/** Reads a file that holds a value. Throws {@link UsageError}, and {@link ValueTooLargeError} as above. */
export function readValueFile(path: string, environment: Pick<Environment, "readFile">): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = environment.readFile(path, MAX_VALUE_INPUT_BYTES);
  } catch (error) {
    throw new UsageError(`Cannot read the file ${path}: ${errorMessage(error)}.`);
  }
  if (bytes.length > MAX_VALUE_INPUT_BYTES) throw valueTooLarge(path);
  return bytes;
}

/** Returns the error for a value that is too long to be read. */
function valueTooLarge(source: string): ValueTooLargeError {
  return new ValueTooLargeError(
    `Cannot take the value from ${source}: it is longer than ${MAX_VALUE_INPUT_BYTES} bytes, which no cluster takes.`,
  );
}

/** The byte order mark, which some editors put at the beginning of a text file. */
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * Reads the lines of `stream`, without their ends (LF or CRLF) and without a byte order mark at the beginning. The last
 * line may lack its end.
 */
export async function* readLines(
  stream: AsyncIterable<Uint8Array>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<Line> {
  let chunks: Uint8Array[] = [];
  let length = 0;
  let isFirst = true;
  const keep = (bytes: Uint8Array): void => {
    length += bytes.length;
    if (length <= maxBytes) chunks.push(bytes.slice());
    else chunks = [];
  };
  const take = (): Line => {
    const bytes = length <= maxBytes ? concat(chunks) : null;
    chunks = [];
    length = 0;
    const mayHaveMark = isFirst;
    isFirst = false;
    if (bytes === null) return { kind: "tooLong" };
    const hasMark = mayHaveMark && BYTE_ORDER_MARK.every((byte, position) => bytes[position] === byte);
    const start = hasMark ? BYTE_ORDER_MARK.length : 0;
    return { kind: "line", bytes: bytes.subarray(start, bytes.at(-1) === 0x0d ? -1 : bytes.length) };
  };
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      keep(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    keep(chunk.subarray(start));
  }
  if (length > 0) yield take();
}

/** The LZF compression of strings in RDB files. */
import { FormatError } from "../items.ts";

/** A control byte below this is the number of literal bytes, less one; another begins a copy of earlier output. */
const LITERALS_END = 32;
/** A copy of this length, of at most 7, has the rest of its length in the next byte. */
const LONG_COPY = 7;

/** Decompresses `input` to exactly `length` bytes. Throws {@link FormatError} for input that is not such. */
export function decompressLzf(input: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length);
  let [read, written] = [0, 0];
  const next = (): number => {
    const byte = input[read];
    if (byte === undefined) throw damaged();
    read += 1;
    return byte;
  };
  while (read < input.length) {
    const control = next();
    if (control < LITERALS_END) {
      const literals = input.subarray(read, read + control + 1);
      if (literals.length <= control || written + literals.length > length) throw damaged();
      output.set(literals, written);
      read += literals.length;
      written += literals.length;
      continue;
    }
    const short = control >> 5;
    const count = (short === LONG_COPY ? short + next() : short) + 2;
    const from = written - ((control & 0x1f) << 8) - next() - 1;
    if (from < 0 || written + count > length) throw damaged();
    // The ranges may overlap: byte by byte, a copy repeats what it has just written.
    for (let position = 0; position < count; position++) {
      output[written + position] = output[from + position] ?? 0;
    }
    written += count;
  }
  if (written !== length) throw damaged();
  return output;
}

function damaged(): FormatError {
  return new FormatError("a compressed string is damaged");
}

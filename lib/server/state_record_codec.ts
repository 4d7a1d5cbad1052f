/** The canonical bytes of a state record: what a state hash is made of, on every node and version alike. */
import { assertNever } from "../assert.ts";
import type { StateRecord } from "../kv/mod.ts";
import { encodeResult } from "../net/command_codec.ts";
import { MessagePackWriter } from "../net/message_pack_writer.ts";

/** Bytes of its buffer that the encoder keeps between records. */
const RETAINED_BYTES = 65_536;

/** Makes a function that encodes records, one MessagePack array each; its result is valid until the next call. */
export function stateRecordEncoder(): (record: StateRecord) => Uint8Array {
  const out = new MessagePackWriter();
  return (record) => {
    out.clear(RETAINED_BYTES);
    out.array(record.length);
    out.string(record[0]);
    switch (record[0]) {
      case "header":
      case "session": {
        const [, ...numbers] = record;
        for (const number of numbers) out.integer(number);
        break;
      }
      case "key": {
        const [, key, value, ...numbers] = record;
        out.binary(key);
        out.binary(value);
        for (const number of numbers) out.integer(number);
        break;
      }
      case "answer": {
        const [, sessionId, sequence, answer] = record;
        out.integer(sessionId);
        out.integer(sequence);
        out.binary(encodeResult(answer));
        break;
      }
      default:
        assertNever(record);
    }
    return out.view();
  };
}

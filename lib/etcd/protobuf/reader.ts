/** Reads the bytes of a message, and counts its parts: their objects take many times their bytes. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** Messages and repeated values within one message: many times those of the largest transaction. */
export const MAX_PARTS = 32_768;

/** The bytes of one message. */
export class MessageReader extends BinaryReader {
  #parts = 0;

  /** Counts a message, or a repeated value. Throws an error, as for malformed bytes. */
  countPart(): void {
    this.#parts += 1;
    if (this.#parts > MAX_PARTS) throw new Error("it has too many parts");
  }
}

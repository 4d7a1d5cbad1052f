/**
 * Large JSON documents, read in parts: the objects of one array, each by itself, and what is around them. Only one object
 * is held at a time.
 */
import { concat } from "@std/bytes";
import { FormatError } from "./items.ts";

/**
 * Bytes of one object: a key and a value in base64 that are longer than any cluster takes. Parsed, an object of many empty ones
 * takes forty times as much.
 */
const MAX_OBJECT_BYTES = 16_777_216;
/** Bytes around the objects of one document. */
const MAX_FRAME_BYTES = 65_536;

/** A part of a document. */
export type JsonPart =
  /** An object of the array. */
  | { readonly kind: "object"; readonly document: Readonly<Record<string, unknown>> }
  /** The whole document, with the array empty. */
  | { readonly kind: "frame"; readonly document: unknown };

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];
const SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads the documents of a stream. `depth`: how many brackets are open around the array; 0 for a document that is it, 1
 * for one that is a member of the document. Throws {@link FormatError} for what is not JSON, or cut off.
 */
export async function* readJsonParts(
  chunks: AsyncIterable<Uint8Array>,
  depth: 0 | 1,
): AsyncGenerator<JsonPart> {
  const splitter = new Splitter(depth);
  for await (const chunk of chunks) yield* splitter.take(chunk);
  splitter.end();
}

/** Splits bytes at the ends of objects and documents. */
class Splitter {
  /** Bytes before the present chunk. */
  #offset = 0;
  readonly #arrayDepth: number;
  /** Brackets that are open. */
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** Whether the present position is in the array; between its objects `#separator` is what must come. */
  #isInArray = false;
  #next: "first" | "object" | "comma" = "first";
  #collected: Uint8Array[] = [];
  #collectedBytes = 0;
  #frame: Uint8Array[] = [];
  #frameBytes = 0;

  constructor(arrayDepth: number) {
    this.#arrayDepth = arrayDepth;
  }

  /** Returns the parts that end in a chunk. */
  *take(chunk: Uint8Array): Generator<JsonPart> {
    let start = 0;
    for (let position = 0; position < chunk.length; position++) {
      if (this.#isInString) {
        position = this.#skipString(chunk, position);
        continue;
      }
      const byte = chunk[position] ?? 0;
      if (this.#isBetweenObjects()) {
        if (SPACES.includes(byte)) {
          start = position + 1;
          continue;
        }
        this.#checkSeparator(byte, position);
        if (byte === COMMA) start = position + 1;
      }
      if (byte === QUOTE) this.#isInString = true;
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (this.#opens(byte)) {
          this.#keep(chunk.subarray(start, position + 1), position);
          start = position + 1;
          this.#isInArray = true;
          this.#next = "first";
        }
        this.#depth += 1;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        const part = this.#close(chunk.subarray(start, position + 1), position);
        if (part !== null) {
          yield part;
          start = position + 1;
        }
      }
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start), chunk.length);
    this.#offset += chunk.length;
  }

  /** Throws {@link FormatError} unless the last document is complete. */
  end(): void {
    if (this.#depth > 0 || this.#isInString) {
      throw new FormatError(
        `it is cut off: the JSON document is not complete at byte ${this.#offset}, its end`,
      );
    }
    if (concat(this.#frame).some((byte) => !SPACES.includes(byte))) {
      throw this.#bad(0, "something follows the JSON document");
    }
  }

  #opens(byte: number): boolean {
    return byte === OPEN_BRACKET && this.#depth === this.#arrayDepth && !this.#isInArray;
  }

  #isBetweenObjects(): boolean {
    return this.#isInArray && this.#depth === this.#arrayDepth + 1;
  }

  #checkSeparator(byte: number, position: number): void {
    const next = this.#next;
    const isExpected = byte === CLOSE_BRACKET
      ? next !== "object"
      : byte === (next === "comma" ? COMMA : OPEN_BRACE);
    if (!isExpected) {
      throw this.#bad(position, `${next === "comma" ? "a comma" : "an object"} should be there`);
    }
    this.#next = next === "comma" ? "object" : "comma";
  }

  /** Returns the position of the string's end in the chunk. */
  #skipString(chunk: Uint8Array, from: number): number {
    for (let position = from; position < chunk.length; position++) {
      const byte = chunk[position];
      if (this.#isEscaped) this.#isEscaped = false;
      else if (byte === BACKSLASH) this.#isEscaped = true;
      else if (byte === QUOTE) {
        this.#isInString = false;
        return position;
      }
    }
    return chunk.length;
  }

  #close(bytes: Uint8Array, position: number): JsonPart | null {
    this.#depth -= 1;
    if (this.#depth < 0) throw this.#bad(position, "a bracket is closed that was not opened");
    if (this.#isInArray && this.#depth === this.#arrayDepth) {
      this.#isInArray = false;
      if (this.#depth > 0) return null;
    }
    if (this.#isBetweenObjects()) {
      this.#keep(bytes, position);
      const document = this.#parse(this.#collected, position);
      [this.#collected, this.#collectedBytes] = [[], 0];
      if (isObject(document)) return { kind: "object", document };
      throw this.#bad(position, "it is no object");
    }
    if (this.#depth > 0) return null;
    this.#keep(bytes, position);
    const document = this.#parse(this.#frame, position);
    [this.#frame, this.#frameBytes] = [[], 0];
    return { kind: "frame", document };
  }

  #keep(bytes: Uint8Array, position: number): void {
    const isOfObject = this.#isInArray;
    const length = isOfObject ? this.#collectedBytes += bytes.length : this.#frameBytes += bytes.length;
    if (length > (isOfObject ? MAX_OBJECT_BYTES : MAX_FRAME_BYTES)) {
      throw this.#bad(
        position,
        isOfObject ? "an object is too long" : "too much is around the array of keys",
      );
    }
    (isOfObject ? this.#collected : this.#frame).push(bytes.slice());
  }

  #parse(chunks: readonly Uint8Array[], position: number): unknown {
    try {
      return JSON.parse(utf8.decode(concat(chunks)));
    } catch {
      throw this.#bad(position, "what ends here is not JSON");
    }
  }

  #bad(position: number, reason: string): FormatError {
    return new FormatError(`at byte ${this.#offset + position}: ${reason}`);
  }
}

function isObject(document: unknown): document is Readonly<Record<string, unknown>> {
  return typeof document === "object" && document !== null && !Array.isArray(document);
}

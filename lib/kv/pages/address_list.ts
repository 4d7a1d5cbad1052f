/** A stack of addresses. */

const CHUNK_ADDRESSES = 1_024;

/** A stack of addresses in typed arrays, which the garbage collector does not scan. */
export class AddressList {
  readonly #chunks: Uint32Array[] = [];
  #length = 0;

  /** Number of addresses. */
  get length(): number {
    return this.#length;
  }

  /** Adds an address. */
  push(address: number): void {
    const position = this.#length % CHUNK_ADDRESSES;
    if (position === 0) this.#chunks.push(new Uint32Array(CHUNK_ADDRESSES));
    const chunk = this.#chunks[this.#chunks.length - 1];
    if (chunk !== undefined) chunk[position] = address;
    this.#length++;
  }

  /** Removes the address added last and returns it; 0 when there is none. */
  pop(): number {
    if (this.#length === 0) return 0;
    this.#length--;
    const position = this.#length % CHUNK_ADDRESSES;
    const address = this.#chunks[this.#chunks.length - 1]?.[position] ?? 0;
    if (position === 0) this.#chunks.pop();
    return address;
  }

  /** The addresses from the first to the last. */
  *[Symbol.iterator](): Iterator<number> {
    for (let position = 0; position < this.#length; position++) {
      yield this.#chunks[Math.floor(position / CHUNK_ADDRESSES)]?.[position % CHUNK_ADDRESSES] ?? 0;
    }
  }
}

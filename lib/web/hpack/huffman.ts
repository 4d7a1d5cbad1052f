/**
 * The Huffman code of HPACK (RFC 7541, appendix B). The code is canonical: codes of one length are consecutive numbers in
 * the order of their symbols, and begin behind those of shorter lengths. So the lengths alone define it.
 *
 * The decoder is a state machine over halves of bytes. A state is an inner node of the code's tree; the shortest code has
 * five bits, so four bits complete at most one symbol.
 */

/** Lengths in bits of the codes of the bytes 0 to 255, and of the end of the string. */
// deno-fmt-ignore
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const END_OF_STRING = 256;
const MAX_CODE_LENGTH = 30;
/** Inner nodes of the tree: one less than its leaves. */
const STATES = CODE_LENGTHS.length - 1;

/** In a transition: a symbol was completed; its number is in the lowest byte. The next state begins at bit 16. */
const HAS_SYMBOL = 0x100;
/** In a transition: the string has the code of its end in it, which is an error. */
const IS_ERROR = 0x200;
const STATE_SHIFT = 16;

/** The state machine: transitions by state and half of a byte, and the states in which a string may end. */
interface Machine {
  readonly transitions: Int32Array;
  readonly mayEnd: Uint8Array;
}

const MACHINE = buildMachine();

/**
 * Appends the decoded form of bytes `begin` to `end` of `input` to `output`, which has space for 8/5 of them. Returns how
 * many bytes were written, or null where the input is no valid encoding.
 */
export function decodeHuffman(
  input: Uint8Array,
  range: { readonly begin: number; readonly end: number },
  output: Uint8Array,
): number | null {
  const { transitions, mayEnd } = MACHINE;
  let state = 0;
  let written = 0;
  for (let at = range.begin; at < range.end; at++) {
    const byte = input[at] ?? 0;
    for (let half = 0; half < 2; half++) {
      const bits = half === 0 ? byte >> 4 : byte & 0xf;
      const transition = transitions[(state << 4) | bits] ?? IS_ERROR;
      if ((transition & IS_ERROR) !== 0) return null;
      if ((transition & HAS_SYMBOL) !== 0) output[written++] = transition & 0xff;
      state = transition >> STATE_SHIFT;
    }
  }
  return mayEnd[state] === 1 ? written : null;
}

/** Returns the code of each symbol. */
function canonicalCodes(): readonly number[] {
  const codes = new Array<number>(CODE_LENGTHS.length).fill(0);
  let next = 0;
  for (let length = 1; length <= MAX_CODE_LENGTH; length++) {
    next *= 2;
    CODE_LENGTHS.forEach((own, symbol) => {
      if (own === length) codes[symbol] = next++;
    });
  }
  return codes;
}

/** Builds the tree, and from it the transitions for four bits at a time. */
function buildMachine(): Machine {
  const codes = canonicalCodes();
  // Children of inner nodes: an inner node as its number, a leaf as the complement of its symbol.
  const children = new Int32Array(2 * STATES);
  let nodes = 1;
  CODE_LENGTHS.forEach((length, symbol) => {
    let node = 0;
    for (let bit = length - 1; bit >= 0; bit--) {
      const child = 2 * node + (((codes[symbol] ?? 0) >> bit) & 1);
      if (bit === 0) children[child] = ~symbol;
      else if (children[child] === 0) children[child] = nodes++;
      node = children[child] ?? 0;
    }
  });
  const transitions = new Int32Array(STATES * 16);
  for (let state = 0; state < STATES; state++) {
    for (let bits = 0; bits < 16; bits++) {
      transitions[(state << 4) | bits] = transitionOf(children, { state, bits });
    }
  }
  return { transitions, mayEnd: endStates(children) };
}

function transitionOf(
  children: Int32Array,
  { state, bits }: { readonly state: number; readonly bits: number },
): number {
  let node = state;
  let flags = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = children[2 * node + ((bits >> bit) & 1)] ?? 0;
    node = Math.max(child, 0); // behind a symbol the next one begins at the root
    if (child >= 0) continue;
    if (~child === END_OF_STRING) return IS_ERROR;
    flags = HAS_SYMBOL | ~child;
  }
  return flags | (node << STATE_SHIFT);
}

/** Marks the states that up to seven one bits reach from the root: the padding of the last byte (RFC 7541 §5.2). */
function endStates(children: Int32Array): Uint8Array {
  const mayEnd = new Uint8Array(STATES);
  let node = 0;
  for (let bits = 0; bits <= 7; bits++) {
    mayEnd[node] = 1;
    node = children[2 * node + 1] ?? 0;
  }
  return mayEnd;
}

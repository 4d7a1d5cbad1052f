/** The pieces from which arbitrary messages are made. */
import fc from "fast-check";

/** Integers near the places where their encoding changes, and any others. */
export function integer(range: { readonly min?: number; readonly max: number }): fc.Arbitrary<number> {
  const { min = 0, max } = range;
  const edges = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
    .filter((edge) => edge >= min && edge <= max);
  return fc.oneof(fc.constantFrom(...edges, min), fc.integer({ min, max }));
}

/** Bytes of the lengths at which their encoding changes, and any others. */
export function binary(): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 20, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(255, 256, 65_535, 65_536).map((length) => new Uint8Array(length)),
    },
  );
}

/** An object with a usual prototype: what the codecs make, and so what compares equal to it. */
export function record<const T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

/** Any text. */
export function text(): fc.Arbitrary<string> {
  return fc.string({ unit: "binary", maxLength: 40 });
}

/** A value or null. */
export function nullable<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.option(arbitrary, { nil: null });
}

/** An IPv4 address that names one machine. */
const unicast = fc.ipV4().filter((text) => Number.parseInt(text, 10) > 0 && Number.parseInt(text, 10) < 224);

/** An address in its one written form. */
export function address(): fc.Arbitrary<string> {
  const host = fc.oneof(fc.constantFrom("localhost", "node1.example", "[::1]", "[2001:db8::5]"), unicast);
  return fc.tuple(host, fc.integer({ min: 1, max: 65_535 })).map(([name, port]) => `${name}:${port}`);
}

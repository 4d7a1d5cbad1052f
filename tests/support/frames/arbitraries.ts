/** Arbitrary values of fields and frames, made from their shapes in the table. */
import fc from "fast-check";
import type { RowShape, Shape, TextFormat, Values } from "../../../lib/protocol/field.ts";

const MAX_LIST_LENGTH = 20;
/** Values of a nested list by its level: three such lists in each value have fewer than 128 in all. */
const NESTED_LIST_LENGTHS: readonly number[] = [3, 2, 1, 0];

/** Arbitrary values of one shape, whose integers go up to `maxInteger`. */
export type Maker = (maxInteger: number) => fc.Arbitrary<unknown>;

/** Arbitraries that do not follow from a shape, by the name of the frame or of the custom field. */
export type Makers = Readonly<Record<string, Maker>>;

/** Returns arbitrary values of a shape; rules over several fields hold. */
export function arbitraryOf(shape: Shape, maxInteger: number, makers: Makers = {}): fc.Arbitrary<unknown> {
  return arbitrary(shape, 0, { maxInteger, makers });
}

/** Returns the same of a shape within so many nested lists. */
function arbitrary(
  shape: Shape,
  levels: number,
  options: { readonly maxInteger: number; readonly makers: Makers },
): fc.Arbitrary<unknown> {
  const { maxInteger, makers } = options;
  const inner = (of: Shape): fc.Arbitrary<unknown> => arbitrary(of, levels, options);
  switch (shape.kind) {
    case "integer":
      return integer({ min: shape.minimum, max: Math.min(maxInteger, shape.maximum) });
    case "boolean":
      return fc.boolean();
    case "presence":
      return fc.constantFrom(true, undefined);
    case "optional":
      return fc.option(integer({ min: 1, max: maxInteger }), { nil: undefined });
    case "bytes":
      return shape.minBytes === 0
        ? binary().map((bytes) => bytes.slice(0, shape.maxBytes))
        : fc.uint8Array({ minLength: shape.minBytes, maxLength: shape.maxBytes });
    case "text":
      return TEXTS[shape.format]();
    case "numbered":
      return fc.constantFrom(...Object.keys(shape.numbers));
    case "oneOf":
      return fc.constantFrom(...shape.names);
    case "nullable":
      return fc.option(inner(shape.of), { nil: shape.whenNil });
    case "atMostOne":
      return nullable(inner(shape.of));
    case "omittable":
      return fc.oneof(inner(shape.of), fc.constant(shape.whenMissing));
    case "list":
      return fc.array(inner(shape.of), { maxLength: Math.min(shape.maxLength, MAX_LIST_LENGTH) });
    case "nestedList": {
      const maxLength = NESTED_LIST_LENGTHS[levels] ?? 0;
      return maxLength === 0
        ? fc.constant([])
        : fc.array(arbitrary(shape.of(), levels + 1, options), { maxLength });
    }
    case "record":
    case "group":
      return objectOf(shape.row, {}, inner);
    case "variants":
      return fc.oneof(
        ...[...shape.variants].map(([kind, { row }]) =>
          makers[kind]?.(maxInteger) ?? objectOf(row, { kind: fc.constant(kind) }, inner)
        ),
      );
    case "custom": {
      const made = makers[shape.name]?.(maxInteger);
      if (made === undefined) throw new Error(`The field ${shape.name} needs an arbitrary of its own`);
      return made;
    }
  }
}

function objectOf(
  row: RowShape,
  model: Readonly<Record<string, fc.Arbitrary<unknown>>>,
  inner: (shape: Shape) => fc.Arbitrary<unknown>,
): fc.Arbitrary<Values> {
  const columns = row.columns.map(({ name, field }) => [name, inner(field.shape)] as const);
  return record<Values>({ ...model, ...Object.fromEntries(columns) })
    .map((value) => Object.fromEntries(Object.entries(value).filter(([, element]) => element !== undefined)))
    .filter((value) => row.rules.every((rule) => rule(value) === null));
}

/** Integers near the limits of their encodings, and any others. */
export function integer(range: { readonly min?: number; readonly max: number }): fc.Arbitrary<number> {
  const { min = 0, max } = range;
  const edges = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
    .filter((edge) => edge >= min && edge <= max);
  return fc.oneof(fc.constantFrom(...edges, min), fc.integer({ min, max }));
}

/** Bytes of lengths at the limits of their encodings, and any others. */
export function binary(): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 20, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(255, 256, 65_535, 65_536).map((length) => new Uint8Array(length)),
    },
  );
}

/** An object with the usual prototype, so that it is equal to the decoder's. */
export function record<const T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

/** A value or null. */
export function nullable<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.option(arbitrary, { nil: null });
}

/** An IPv4 address of a single machine. */
const unicast = fc.ipV4().filter((text) => Number.parseInt(text, 10) > 0 && Number.parseInt(text, 10) < 224);

/** An address in its canonical form. */
export function address(): fc.Arbitrary<string> {
  const host = fc.oneof(fc.constantFrom("localhost", "node1.example", "[::1]", "[2001:db8::5]"), unicast);
  return fc.tuple(host, fc.integer({ min: 1, max: 65_535 })).map(([name, port]) => `${name}:${port}`);
}

const text = (): fc.Arbitrary<string> => fc.string({ unit: "binary", maxLength: 40 });

const TEXTS: Readonly<Record<TextFormat, () => fc.Arbitrary<string>>> = {
  any: text,
  sentence: text,
  address,
  URL: () => address().map((text) => `http://${text}`),
};

/** Frames with hostile fields, made from their shapes in the table, so that new frames are covered without changes here. */
import type { ValueType } from "@std/msgpack";
import type { RowShape, Shape } from "../../../lib/protocol/field.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { address, binary, filled, integer, isHostile, text, trailing } from "./values.ts";

/** Makes the element of a field with a special meaning, such as a key. */
export type Meaning = (random: SeededRandom) => ValueType;
/** The meanings of fields, by their names. */
export type Meanings = Readonly<Record<string, Meaning>>;

const LENGTHS: readonly number[] = [0, 17, 5_000];
const MAX_REPEATED = 17;
/** Levels of nested lists at which further ones are empty: above the number that is allowed. */
const MAX_NESTED_LEVELS = 6;

/** Returns the elements of a row: most are valid, some hostile. It is within so many nested lists. */
export function hostileRow(
  row: RowShape,
  random: SeededRandom,
  meanings: Meanings,
  levels = 0,
): ValueType[] {
  return row.columns.flatMap(({ name, field: { shape } }) => {
    if (shape.kind === "group") return hostileRow(shape.row, random, meanings, levels);
    return [meanings[name]?.(random) ?? hostileElement(shape, random, meanings, levels)];
  });
}

/** Returns a value of a shape, valid or hostile. */
export function hostileElement(
  shape: Shape,
  random: SeededRandom,
  meanings: Meanings,
  levels = 0,
): ValueType {
  switch (shape.kind) {
    case "integer":
      return integer(random, shape.minimum + random.below(4));
    case "boolean":
    case "presence":
      return random.chance(0.5);
    case "optional":
      return integer(random, random.below(4));
    case "bytes":
      return binary(random, filled(random.chance(0.5) ? shape.minBytes : random.below(300)));
    case "text":
      return shape.format === "address" ? address(random) : text(random, "text");
    case "numbered":
      return integer(random, random.pick(Object.values(shape.numbers)));
    case "oneOf":
      return text(random, random.pick(shape.names));
    case "nullable":
    case "omittable":
      return random.chance(0.3) ? null : hostileElement(shape.of, random, meanings, levels);
    case "atMostOne":
      return random.chance(0.3) ? [] : [hostileElement(shape.of, random, meanings, levels)];
    case "nestedList": {
      const length = levels >= MAX_NESTED_LEVELS ? 0 : random.below(4);
      return Array.from({ length }, () => hostileElement(shape.of(), random, meanings, levels + 1));
    }
    case "list": {
      const length = isHostile(random) ? random.pick(LENGTHS) : 1 + random.below(3);
      const element = hostileElement(shape.of, random, meanings, levels);
      // Thousands of large ones would fit no frame.
      return Array.from({ length }, (_, position) => position < MAX_REPEATED ? element : 1);
    }
    case "record":
      return [...hostileRow(shape.row, random, meanings, levels), ...trailing(random)];
    case "variants": {
      const { number, row } = random.pick([...shape.variants.values()]);
      return [integer(random, number), ...hostileRow(row, random, meanings, levels), ...trailing(random)];
    }
    case "group":
    case "custom":
      throw new Error(`A ${shape.kind} has no element of its own`);
  }
}

/** Samples of each kind of a shape for the golden files, and the kinds in given values. */
import { assert } from "@std/assert";
import type { RowShape, Shape, Values } from "../../../lib/protocol/field.ts";

/** A value with the name of its golden file. */
export interface Sample {
  readonly name: string;
  readonly value: unknown;
}

/**
 * Returns a sample of each kind of a union, and of each kind of a union in one of its fields: `get`,
 * `changeMembership_add`, `changeMembership_remove`. `custom` has the values of custom fields. The integers of an object
 * count up; if that violates a rule of the object, its golden file is written by hand.
 */
export function samplesOf(shape: Shape, custom: Values = {}): readonly Sample[] {
  return samples(shape, { name: "value", position: 0, levels: 0 }, custom);
}

/** The place of a value in its object, and the number of nested lists around it. */
interface Place {
  readonly name: string;
  readonly position: number;
  readonly levels: number;
}

function samples(shape: Shape, place: Place, custom: Values): readonly Sample[] {
  const only = (value: unknown): readonly Sample[] => [{ name: "", value }];
  switch (shape.kind) {
    case "integer":
      return only(Math.min(shape.minimum + place.position, shape.maximum));
    case "boolean":
    case "presence":
      return only(true);
    case "optional":
      return only(1 + place.position);
    case "bytes": {
      const name = new TextEncoder().encode(place.name);
      const bytes = new Uint8Array(Math.max(shape.minBytes, Math.min(name.length, shape.maxBytes)));
      bytes.set(name.subarray(0, bytes.length));
      return only(bytes);
    }
    case "text":
      return only(
        { address: "127.0.0.1:7001", URL: "http://127.0.0.1:2379" }[String(shape.format)] ?? place.name,
      );
    case "numbered":
      return only(Object.keys(shape.numbers)[0]);
    case "oneOf":
      return only(shape.names[0]);
    case "nullable":
    case "omittable":
    case "atMostOne":
      return samples(shape.of, place, custom).slice(0, 1);
    case "list":
      return only(samples(shape.of, place, custom).map(({ value }) => value));
    case "nestedList":
      // The outermost list has a value of each kind, one within it is empty.
      return place.levels > 0
        ? only([])
        : only(samples(shape.of(), { ...place, levels: 1 }, custom).map(({ value }) => value));
    case "record":
    case "group":
      return objects(shape.row, place.levels, custom);
    case "variants":
      return [...shape.variants].flatMap(([kind, { row }]) =>
        objects(row, place.levels, custom).map(({ name, value }) => ({
          name: name === "" ? kind : `${kind}_${name}`,
          value: { kind, ...value },
        }))
      );
    case "custom":
      assert(shape.name in custom, `the field ${shape.name} has a sample of its own`);
      return only(custom[shape.name]);
  }
}

/** An object for each sample of the one field that has several. */
function objects(
  row: RowShape,
  levels: number,
  custom: Values,
): readonly { readonly name: string; readonly value: Values }[] {
  const columns = row.columns.map(({ name, field }, position) => ({
    name,
    cases: samples(field.shape, { name, position, levels }, custom),
  }));
  const first = Object.fromEntries(columns.map(({ name, cases }) => [name, cases[0]?.value]));
  const several = columns.find(({ cases }) => cases.length > 1);
  if (several === undefined) return [{ name: "", value: first }];
  return several.cases.map(({ name, value }) => ({ name, value: { ...first, [several.name]: value } }));
}

/**
 * Returns the kinds of all unions in a shape, as `union.kind`; the shape's own union is called `name`. Lists nested in
 * others have the same kinds as these.
 */
export function kindsIn(shape: Shape, name = "frame", levels = 0): readonly string[] {
  const inRow = (row: RowShape): readonly string[] =>
    row.columns.flatMap((column) => kindsIn(column.field.shape, column.name, levels));
  switch (shape.kind) {
    case "nullable":
    case "omittable":
    case "atMostOne":
    case "list":
      return kindsIn(shape.of, name, levels);
    case "nestedList":
      return levels > 0 ? [] : kindsIn(shape.of(), name, 1);
    case "record":
    case "group":
      return inRow(shape.row);
    case "variants":
      return [...shape.variants].flatMap(([kind, { row }]) => [`${name}.${kind}`, ...inRow(row)]);
    default:
      return [];
  }
}

/** Returns the kinds of all unions in a value, named as by {@link kindsIn}. */
export function kindsOf(value: unknown, name = "frame"): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((element) => kindsOf(element, name));
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
  const inner = Object.entries(value).flatMap(([property, element]) => kindsOf(element, property));
  return "kind" in value ? [`${name}.${value.kind}`, ...inner] : inner;
}

const WIDTH = 108;

/** Returns a readable form of a value: printable bytes as text, an object on one line where it fits. */
export function describe(value: unknown, indent = ""): string {
  if (value instanceof Uint8Array) {
    const text = new TextDecoder().decode(value);
    return /^[ -~]*$/.test(text) ? `bytes ${JSON.stringify(text)}` : `bytes 0x${value.toHex()}`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const parts = (deeper: string): string[] =>
    Array.isArray(value)
      ? value.map((element) => describe(element, deeper))
      : Object.entries(value).map(([name, element]) => `${name}: ${describe(element, deeper)}`);
  const line = `${open} ${parts("").join(", ")} ${close}`;
  if (parts("").length === 0) return open + close;
  if (!line.includes("\n") && indent.length + line.length <= WIDTH) return line;
  const deeper = `${indent}  `;
  return `${open}\n${parts(deeper).map((part) => `${deeper}${part},\n`).join("")}${indent}${close}`;
}

/** The kinds of options of a server: how the text of each is read and checked. */
import { shortened } from "../../platform/errors.ts";
import { AddressError } from "../../platform/address.ts";
import { nearest } from "./nearest.ts";

/** An option as the command line and the help know it. */
export interface ServerOption {
  /** Name of the flag, without dashes, and of the key in the config file. */
  readonly name: string;
  /** Stands for the value in the help; null for a switch, which has none. */
  readonly placeholder: string | null;
  readonly help: string;
  /** The allowed values, in words. */
  readonly allowed: string;
  /** The value that applies when none is given, with `<n>` for the node id; null when one must be given. */
  readonly fallback: string | null;
  /** A valid value. */
  readonly example: string;
  /** Where the value is a path: whether the file is only read, or the file or directory also written. */
  readonly path?: PathUse;
}

/** The use of what a path leads to. */
export type PathUse = "read" | "write";

/** The types of values in the config file. */
export type SettingType = "number" | "text" | "switch";

/** An option with the reading of its value. */
export interface TypedOption<T> extends ServerOption {
  readonly type: SettingType;
  /** The value when none is given, where it is not what `fallback` reads as. */
  readonly absent?: T;
  /** Returns the value that `text` stands for; a sentence with the reason when it stands for none. */
  read(text: string): { readonly value: T } | { readonly reason: string };
}

/** Makes an option with an integer of a range. */
export function integerOption(
  { range: { min, max }, ...option }: Omit<ServerOption, "allowed"> & { range: { min: number; max: number } },
): TypedOption<number> {
  return {
    ...option,
    type: "number",
    allowed: `an integer from ${min} to ${max > 2 ** 51 ? `2^${Math.log2(max + 1)} - 1` : max}`,
    read(text): { value: number } | { reason: string } {
      const value = Number(text);
      if (!/^[+-]?[0-9]+$/.test(text)) return { reason: `"${shortened(text)}" is not an integer` };
      if (!Number.isSafeInteger(value) || value > max) return { reason: `${shortened(text)} is too large` };
      return value < min ? { reason: `${shortened(text)} is too small` } : { value };
    },
  };
}

/** Milliseconds of the units of time in which durations are given. */
const UNITS_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Makes an option with a duration such as 15m; a number alone is seconds. Its value is in milliseconds. */
export function durationOption(
  { range: { minMs, maxMs }, ...option }: Omit<ServerOption, "allowed"> & {
    readonly range: { readonly minMs: number; readonly maxMs: number };
  },
): TypedOption<number> {
  return {
    ...option,
    type: "text",
    allowed: `a number of s, m, h or d, from ${minMs / 1_000}s to ${maxMs / 86_400_000}d`,
    read(text): { value: number } | { reason: string } {
      const [, number = "", unit = ""] = /^([0-9]{1,9})([smhd]?)$/.exec(text) ?? [];
      const value = Number(number) * (UNITS_MS[unit === "" ? "s" : unit] ?? NaN);
      if (number === "") return { reason: `"${shortened(text)}" is no time` };
      if (value > maxMs) return { reason: `${text} is too long` };
      return value < minMs ? { reason: `${text} is too short` } : { value };
    },
  };
}

/** Makes an option that `parse` reads; it throws AddressError. */
export function addressOption<T>(option: ServerOption, parse: (text: string) => T): TypedOption<T> {
  return {
    ...option,
    type: "text",
    read(text): { value: T } | { reason: string } {
      try {
        return { value: parse(text) };
      } catch (error) {
        if (error instanceof AddressError) return { reason: error.message.replace(/\.$/, "") };
        throw error;
      }
    },
  };
}

/** Makes an option with a text of a pattern. */
export function textOption({ pattern, ...option }: ServerOption & { pattern: RegExp }): TypedOption<string> {
  return {
    ...option,
    type: "text",
    read: (text) => pattern.test(text) ? { value: text } : { reason: `"${shortened(text)}" can't be used` },
  };
}

/** Makes an option with a path. A server uses only paths that such options name. */
export function pathOption(option: ServerOption & { readonly path: PathUse }): TypedOption<string> {
  return textOption({ ...option, pattern: /^[^\0]+$/ });
}

/** Makes an option with one of some names. */
export function choiceOption<T extends string>(
  { choices, ...option }: Omit<ServerOption, "allowed"> & { choices: readonly T[] },
): TypedOption<T> {
  return {
    ...option,
    type: "text",
    allowed: choices.join(", "),
    read(text): { value: T } | { reason: string } {
      const value = choices.find((choice) => choice === text);
      if (value !== undefined) return { value };
      const near = nearest(text, choices);
      return { reason: `there is no "${shortened(text)}"${near === null ? "" : `; the nearest is ${near}`}` };
    },
  };
}

/** Makes an option that is off, unless it is given. */
export function flagOption(option: Pick<ServerOption, "name" | "help">): TypedOption<boolean> {
  return {
    ...option,
    placeholder: null,
    type: "switch",
    allowed: "true or false in the config file; as a flag it has no value",
    fallback: "false",
    example: "",
    read(text): { value: boolean } | { reason: string } {
      if (text === "" || text === "true") return { value: true };
      return text === "false"
        ? { value: false }
        : { reason: `"${shortened(text)}" is neither true nor false` };
    },
  };
}

/** Makes an option whose value is null, and not its fallback, where none is given. */
export function nullWhenAbsent<T>(option: TypedOption<T>): TypedOption<T | null> {
  return { ...option, absent: null };
}

/** Makes an option whose value 0 is read as null. */
export function nullForZero(option: TypedOption<number>): TypedOption<number | null> {
  return {
    ...option,
    read(text): { value: number | null } | { reason: string } {
      const result = option.read(text);
      return "value" in result && result.value === 0 ? { value: null } : result;
    },
  };
}

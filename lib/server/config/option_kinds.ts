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
export type SettingType = "number" | "amount" | "text" | "switch";

/** An option with the reading of its value. */
export interface TypedOption<T> extends ServerOption {
  readonly type: SettingType;
  /** The least and the greatest number, of a number or an amount. */
  readonly range?: { readonly min: number; readonly max: number };
  /** The allowed texts, where they can be listed. */
  readonly choices?: readonly string[];
  /** The value when none is given, where it is not what `fallback` reads as. */
  readonly absent?: T;
  /** Returns the value that `text` stands for; a sentence with the reason when it stands for none. */
  read(text: string): { readonly value: T } | { readonly reason: string };
  /** Returns a value as it is printed, where that is not the text that was given. */
  show?(value: T): string;
}

/** Makes an option with an integer of a range. */
export function integerOption(
  { range: { min, max }, ...option }: Omit<ServerOption, "allowed"> & { range: { min: number; max: number } },
): TypedOption<number> {
  return {
    ...option,
    type: "number",
    range: { min, max },
    allowed: `an integer from ${min} to ${max > 2 ** 51 ? `2^${Math.log2(max + 1)} - 1` : max}`,
    read(text): { value: number } | { reason: string } {
      const value = Number(text);
      if (!/^[+-]?[0-9]+$/.test(text)) return { reason: `"${shortened(text)}" is not an integer` };
      if (!Number.isSafeInteger(value) || value > max) return { reason: `${shortened(text)} is too large` };
      return value < min ? { reason: `${shortened(text)} is too small` } : { value };
    },
  };
}

/** The units of an amount. */
interface Units {
  /** Names what is measured, with an article. */
  readonly noun: string;
  /** The values of the units, from the smallest to the greatest. */
  readonly factors: Readonly<Record<string, number>>;
  /** The value of a number without a unit; 1 where it is left out. */
  readonly plain?: number;
  /** Ways to write an amount. */
  readonly examples: string;
}

/** Units of sizes in bytes. */
export const BYTES: Units = {
  noun: "a size",
  factors: { KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824, TiB: 1_099_511_627_776 },
  examples: "65536, 512KiB or 64MiB",
};
/** Units of times in milliseconds. */
export const MILLISECONDS: Units = {
  noun: "a time",
  factors: { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 },
  examples: "1500 (milliseconds), 1500ms, 30s or 5m",
};
/** Units of times in seconds. */
export const SECONDS: Units = {
  noun: "a time",
  factors: { s: 1, m: 60, h: 3_600, d: 86_400 },
  examples: "90 (seconds), 90s, 5m, 24h or 7d",
};

/** Units of times whose values are milliseconds, while a number without a unit counts seconds. */
export const SECONDS_IN_MS: Units = {
  noun: "a time",
  factors: { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 },
  plain: 1_000,
  examples: "900 (seconds), 15m, 1h or 1d",
};

/** Returns an amount in the greatest unit of which it is a whole number: `64MiB`, `1s`, `100ms`, `1000` (bytes). */
export function amountText(value: number, { factors }: Units): string {
  const unit = Object.entries(factors).findLast(([, factor]) => value !== 0 && value % factor === 0);
  return unit === undefined ? String(value) : `${value / unit[1]}${unit[0]}`;
}

/** Makes an option with an amount of a range: a number, or one with a unit. */
export function amountOption(
  { range: { min, max }, units, ...option }: Omit<ServerOption, "allowed"> & {
    readonly range: { readonly min: number; readonly max: number };
    readonly units: Units;
  },
): TypedOption<number> {
  const { noun, factors, examples, plain = 1 } = units;
  const greatest = max > 2 ** 51 ? `2^${Math.log2(max + 1)} - 1` : amountText(max, units);
  return {
    ...option,
    type: "amount",
    range: { min: min / plain, max: max / plain },
    allowed: `${noun} from ${amountText(min, units)} to ${greatest}, such as ${examples}`,
    read(text): { value: number } | { reason: string } {
      const [, number, unit = ""] = /^([+-]?[0-9]+)([A-Za-z]*)$/.exec(text) ?? [];
      if (number === undefined) return { reason: `"${shortened(text)}" is not ${noun}` };
      const factor = unit === "" ? plain : factors[unit];
      if (factor === undefined) {
        return {
          reason: `"${shortened(text)}" is not ${noun}; its units are ${Object.keys(factors).join(", ")}`,
        };
      }
      const value = Number(number) * factor;
      if (!Number.isSafeInteger(value) || value > max) return { reason: `${shortened(text)} is too large` };
      return value < min ? { reason: `${shortened(text)} is too small` } : { value };
    },
    show: (value) => amountText(value, units),
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
    choices,
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
export function nullForZero({ show, ...option }: TypedOption<number>): TypedOption<number | null> {
  return {
    ...option,
    ...(show === undefined ? {} : { show: (value: number | null): string => show(value ?? 0) }),
    read(text): { value: number | null } | { reason: string } {
      const result = option.read(text);
      return "value" in result && result.value === 0 ? { value: null } : result;
    },
  };
}

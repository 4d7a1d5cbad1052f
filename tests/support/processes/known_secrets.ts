/** Texts that must not appear anywhere, and the search for them. */

/** Bytes of a secret as lists of numbers are printed. */
const SEPARATORS = [",", ", "];

/** Secrets, by what they are. */
export class KnownSecrets {
  readonly #forms: readonly { readonly what: string; readonly form: string; readonly text: string }[];

  /** `secrets` are texts of at least eight characters that occur nowhere by chance. */
  constructor(secrets: Readonly<Record<string, string>>) {
    this.#forms = Object.entries(secrets).flatMap(([what, secret]) => {
      const bytes = new TextEncoder().encode(secret);
      return [
        { what, form: "text", text: secret },
        { what, form: "hexadecimal", text: bytes.toHex() },
        // The last group of base64 depends on what follows.
        { what, form: "base64", text: btoa(secret).slice(0, -4) },
        ...SEPARATORS.map((separator) => ({ what, form: "numbers", text: bytes.join(separator) })),
      ];
    });
  }

  /** Returns which secrets are in a text, in which form. */
  foundIn(text: string): readonly string[] {
    return this.#forms.filter((one) => text.includes(one.text)).map(({ what, form }) => `${what} as ${form}`);
  }
}
